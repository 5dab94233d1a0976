"""Trains the pocket's base: a stock CogVideoX transformer and its T5 text encoder, without any history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..backbone.construct import new_scheduler, new_text_encoder, new_transformer, new_word_tokenizer
from ..training.optimise import Journal, MovingAverage, Optimisers, warmup_stable_decay
from .batches import SceneBatches, scene_loader
from .language import MAX_TOKENS, vocabulary
from .latents import CHANNELS, LatentBasis
from .world import FRAMES, SIZE

TEXT_ENCODER: dict[str, Any] = {
    "d_model": 96, "d_kv": 24, "num_heads": 4, "num_layers": 2, "d_ff": 256, "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0, "relative_attention_num_buckets": 16, "relative_attention_max_distance": 32,
    "is_encoder_decoder": False, "use_cache": False, "tie_word_embeddings": False,
    "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 3, "attention_head_dim": 64, "num_layers": 6, "time_embed_dim": 96, "text_embed_dim": 96,
    "in_channels": CHANNELS, "out_channels": CHANNELS, "patch_size": 4, "max_text_seq_length": MAX_TOKENS,
    "sample_width": SIZE // 4, "sample_height": SIZE // 4, "sample_frames": FRAMES, "temporal_compression_ratio": 4,
    "use_rotary_positional_embeddings": False, "spatial_interpolation_scale": 1.0, "temporal_interpolation_scale": 1.0,
}  # fmt: skip
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "prediction_type": "sample", "rescale_betas_zero_snr": True, "snr_shift_scale": 1.0, "timestep_spacing": "trailing",
    "clip_sample": False, "set_alpha_to_one": True,
}  # fmt: skip
TEXT_DROPOUT = 0.1
ACTOR_WEIGHT = 3.0
MAX_LOSS_WEIGHT = 5.0


def tokenizer() -> Any:
    return new_word_tokenizer(vocabulary(), MAX_TOKENS)


def token_ids(words: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Token ids [B, 40], padded; a prompt with an unknown word or too many is a fault of the recipe."""
    encoded = words(list(prompts), padding="max_length", truncation=False, return_tensors="pt").input_ids
    if encoded.shape[1] > MAX_TOKENS or bool((encoded == words.unk_token_id).any()):
        raise ValueError("a prompt of the toy world is too long or has a word outside the vocabulary")
    return encoded


def denoising_loss(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    latents: torch.Tensor,
    actors: torch.Tensor,
    alphas_cumprod: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean error of the predicted clean latents, weighted like a v-prediction and more on the actors, one value a
    sample [B].

    With x = a·x0 + s·ε and v = a·ε − s·x0 the error of v is the error of x0 over s, so the weight is min(1/s², 5).
    Timesteps are stratified over the batch: one in each of B equal parts of the schedule.
    """
    batch, steps = len(latents), len(alphas_cumprod)
    spread = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    timesteps = (spread * steps).long().clamp(max=steps - 1)
    noise = torch.randn(latents.shape, generator=generator)
    signal = alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1)
    noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
    error = (predict(noisy, timesteps).float() - latents).square() * (1 + ACTOR_WEIGHT * actors)
    weight = (1 / (1 - signal.flatten())).clamp(max=MAX_LOSS_WEIGHT)
    return weight * error.mean(dim=(1, 2, 3, 4))


def train_base(
    folder: Path,
    basis: LatentBasis,
    *,
    steps: int,
    batch: int = 48,
    seed: int = 0,
    workers: int = 1,
    save_every: int = 200,
) -> dict[str, nn.Module]:
    """Trains to `steps` in all, resuming from the folder's checkpoint; returns the averaged modules."""
    torch.manual_seed(seed)
    words = tokenizer()
    text_encoder = new_text_encoder({**TEXT_ENCODER, "vocab_size": len(words)})
    transformer = new_transformer(TRANSFORMER)
    modules = {"transformer": transformer, "text_encoder": text_encoder}
    alphas_cumprod = new_scheduler(SCHEDULER).alphas_cumprod.float()
    optimisers = Optimisers(
        modules,
        matrix_lr=2e-3,
        other_lr=1e-3,
        outer=("shared", "patch_embed", "proj_out", "time_embedding", "relative_attention"),
    )
    average = MovingAverage(modules, decay=0.998)
    journal, start = Journal(folder), 0
    checkpoint = journal.load()
    if checkpoint:
        for name, module in modules.items():
            module.load_state_dict(checkpoint["modules"][name])
        optimisers.load_state_dict(checkpoint["optimisers"])
        average.shadow, average.count, start = checkpoint["average"], checkpoint["step"], checkpoint["step"]
    batches = scene_loader(SceneBatches(basis, batch, seed=seed, skip=start), workers)
    running = 0.0
    for step in range(start, steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        sample = next(batches)
        prompts = [p if torch.rand((), generator=generator) >= TEXT_DROPOUT else "" for p in sample["prompts"]]
        ids = token_ids(words, prompts)

        def predict(noisy: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor = ids) -> torch.Tensor:
            # On a CPU the plain form of attention has the faster backward pass at this length.
            with torch.autocast("cpu", dtype=torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
                embeds = text_encoder(input_ids=ids).last_hidden_state
                out: torch.Tensor = transformer(noisy, embeds, timesteps, return_dict=False)[0]
                return out

        losses = denoising_loss(predict, sample["latents"], sample["actors"], alphas_cumprod, generator)
        losses.mean().backward()
        norm = optimisers.step(warmup_stable_decay(step, steps))
        average.update(modules)
        running = losses.mean().item() if step == start else 0.98 * running + 0.02 * losses.mean().item()
        if step % 20 == 0:
            thirds = [round(float(part.mean()), 4) for part in losses.detach().chunk(3)]
            journal.log(step=step, loss=round(running, 5), thirds=thirds, norm=round(norm, 3))
        if (step + 1) % save_every == 0 or step + 1 == steps:
            journal.save(
                {
                    "step": step + 1,
                    "modules": {name: module.state_dict() for name, module in modules.items()},
                    "optimisers": optimisers.state_dict(),
                    "average": average.shadow,
                }
            )
    average.copy_to(modules)
    return modules
