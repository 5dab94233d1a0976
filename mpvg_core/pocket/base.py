"""Trains the pocket's base: a stock CogVideoX transformer and its T5 text encoder, without any history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..backbone.construct import new_scheduler, new_text_encoder, new_transformer, new_word_tokenizer
from ..training.binding import attention_binding_loss, watched
from ..training.optimise import Optimisers, warmup_stable_decay
from ..training.partial import kept_cells, only_tokens
from ..training.run import Run
from .batches import SceneBatches
from .binding import look_words, new_word_reader, video_lanes, word_lanes, word_loss, word_owners
from .language import MAX_TOKENS, vocabulary
from .latents import CHANNELS, LatentBasis
from .world import FRAMES, SIZE

TEXT_ENCODER: dict[str, Any] = {
    "d_model": 96, "d_kv": 24, "num_heads": 4, "num_layers": 4, "d_ff": 256, "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0, "relative_attention_num_buckets": 16, "relative_attention_max_distance": 32,
    "is_encoder_decoder": False, "use_cache": False, "tie_word_embeddings": False,
    "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 3, "attention_head_dim": 64, "num_layers": 6, "time_embed_dim": 96, "text_embed_dim": 96,
    "in_channels": CHANNELS, "out_channels": CHANNELS, "patch_size": 2, "max_text_seq_length": MAX_TOKENS,
    "sample_width": SIZE // 4, "sample_height": SIZE // 4, "sample_frames": FRAMES, "temporal_compression_ratio": 4,
    "use_rotary_positional_embeddings": False, "spatial_interpolation_scale": 1.0, "temporal_interpolation_scale": 1.0,
}  # fmt: skip
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "snr_shift_scale": 1.0,
    "timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True,
}  # fmt: skip
TEXT_DROPOUT = 0.1
BINDING = 0.3  # weight of the loss that teaches the text encoder whose words are whose, and where in the picture
ATTENDING = 0.2  # weight of the loss that teaches the transformer to look there
BINDING_BLOCKS = (1, 3)
ACTOR_WEIGHT = 8.0  # the places are learned soon, the shapes of bodies late
TEXT_UNTIL = 0.8  # of the steps train the text encoder: from then on words mean what an adapter may already learn from
MAX_LOSS_WEIGHT = 5.0
CPU = torch.device("cpu")
WHOLE_FROM = 0.95  # until this part of the steps, each step computes a part of the video tokens
KEPT_FRAMES = 3
KEPT_SKY = 0.3  # of the tokens in the upper quarter, where actors seldom are


def tokenizer() -> Any:
    return new_word_tokenizer(vocabulary(), MAX_TOKENS)


def token_ids(words: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Token ids [B, 40], padded; a prompt with an unknown word or too many is a fault of the recipe."""
    encoded = words(list(prompts), padding="max_length", truncation=False, return_tensors="pt").input_ids
    if encoded.shape[1] > MAX_TOKENS or bool((encoded == words.unk_token_id).any()):
        raise ValueError("a prompt of the toy world is too long or has a word outside the vocabulary")
    return encoded


@dataclass(frozen=True)
class Noised:
    """Clips on their way: latents and what is left of them, noisy = a·x0 + s·ε [B, F, C, h, w]; timesteps [B]; signal
    a² [B, 1, 1, 1, 1]."""

    latents: torch.Tensor
    noisy: torch.Tensor
    timesteps: torch.Tensor
    signal: torch.Tensor

    def clean(self, output: torch.Tensor) -> torch.Tensor:
        """The clean clip that a model's output v means: x0 = a·x − s·v."""
        return self.signal.sqrt() * self.noisy - (1 - self.signal).sqrt() * output.float()

    def error(
        self, output: torch.Tensor, target: torch.Tensor, actors: torch.Tensor, kept: torch.Tensor | None
    ) -> torch.Tensor:
        """Mean square error of the clean clip that `output` means, actors counting more, one value a sample [B].

        The error of v is the error of x0 over s, so the weight is min(1/s², 5). With `kept`, indices of tokens, over
        those alone.
        """
        error = (self.clean(output) - target).square() * (1 + ACTOR_WEIGHT * actors)
        weight = (1 / (1 - self.signal.flatten())).clamp(max=MAX_LOSS_WEIGHT)
        if kept is None:
            return weight * error.mean(dim=(1, 2, 3, 4))
        frames, _, height, width = target.shape[1:]
        cells = kept_cells(kept, frames, height, width, TRANSFORMER["patch_size"]).to(error)
        return weight * (error * cells).mean(dim=(1, 2, 3, 4)) / cells.mean()


def add_noise(latents: torch.Tensor, alphas_cumprod: torch.Tensor, generator: torch.Generator) -> Noised:
    """Timesteps are stratified over the batch: one in each of B equal parts of the schedule. Drawn on the CPU, so that
    every device learns from the same noise."""
    batch, steps = len(latents), len(alphas_cumprod)
    spread = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    timesteps = (spread * steps).long().clamp(max=steps - 1)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    signal = alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1).to(latents)
    noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
    return Noised(latents, noisy, timesteps.to(latents.device), signal)


@contextmanager
def computing(transformer: nn.Module, kept: torch.Tensor | None) -> Iterator[None]:
    """Half precision where it is safe, and only the tokens `kept`."""
    kind = next(transformer.parameters()).device.type
    with torch.autocast(kind, dtype=torch.bfloat16), nullcontext() if kept is None else only_tokens(transformer, kept):
        yield


def token_subset(generator: torch.Generator) -> torch.Tensor:
    """Indices of the video tokens that one training step computes: three frames, a part of their sky."""
    frames, side = (FRAMES - 1) // 4 + 1, SIZE // 4 // TRANSFORMER["patch_size"]
    shown = torch.randperm(frames, generator=generator)[:KEPT_FRAMES].sort().values
    kept = torch.zeros(frames, side, side, dtype=torch.bool)
    kept[shown] = True
    sky = torch.rand(frames, side // 4, side, generator=generator) < KEPT_SKY
    kept[:, : side // 4] &= sky
    return kept.flatten().nonzero().flatten()


def new_base(device: torch.device = CPU) -> dict[str, nn.Module]:
    """What `train_base` trains, with random weights; the word reader serves the training alone."""
    return {
        "transformer": new_transformer(TRANSFORMER).to(device),
        "text_encoder": new_text_encoder({**TEXT_ENCODER, "vocab_size": len(tokenizer())}).to(device),
        "reader": new_word_reader(TEXT_ENCODER["d_model"]).to(device),
    }


def open_run(folder: Path, modules: Mapping[str, nn.Module], *, seed: int = 0, save_every: int = 200) -> Run:
    """The run of `train_base`, at its newest checkpoint."""
    optimisers = Optimisers(
        modules,
        matrix_lr=2e-3,
        other_lr=1e-3,
        outer=("shared", "patch_embed", "proj_out", "time_embedding", "relative_attention", "reader"),
    )
    return Run(folder, modules, optimisers, decay=0.99, seed=seed, save_every=save_every)


def train_base(
    folder: Path,
    basis: LatentBasis,
    *,
    steps: int,
    batch: int = 32,
    seed: int = 0,
    workers: int = 1,
    save_every: int = 200,
    device: torch.device = CPU,
) -> dict[str, nn.Module]:
    """Trains to `steps` in all, resuming from the folder's checkpoint; returns the averaged modules."""
    torch.manual_seed(seed)
    words, modules = tokenizer(), new_base(device)
    transformer, text_encoder, reader = modules["transformer"], modules["text_encoder"], modules["reader"]
    alphas_cumprod = new_scheduler(SCHEDULER).alphas_cumprod.float()
    run = open_run(folder, modules, seed=seed, save_every=save_every)
    batches = SceneBatches(basis, batch, seed=seed, skip=run.start).ahead(workers)
    running = 0.0
    for step in range(run.start, steps):
        generator = run.generator(step)
        sample = next(batches)
        prompts = [p if torch.rand((), generator=generator) >= TEXT_DROPOUT else "" for p in sample["prompts"]]
        ids = token_ids(words, prompts).to(device)
        kept = token_subset(generator) if step < WHOLE_FROM * steps else None
        noised = add_noise(sample["latents"].to(device), alphas_cumprod, generator)
        pieces = [words.convert_ids_to_tokens(row) for row in ids.tolist()]
        of_words, orders = word_lanes(pieces, sample["orders"]), sample["orders"]
        of_video = video_lanes(sample["actors"], orders, TRANSFORMER["patch_size"])
        of_video = of_video if kept is None else of_video[:, kept]
        with computing(transformer, kept), watched(transformer, BINDING_BLOCKS) as heads:
            with torch.set_grad_enabled(step < TEXT_UNTIL * steps):
                embeds = text_encoder(input_ids=ids).last_hidden_state
                binding = word_loss(reader, of_words, word_owners(pieces), embeds)
            output = transformer(noised.noisy, embeds, noised.timesteps, return_dict=False)[0]
        looks = torch.where(look_words(pieces), of_words, -1)
        attending = attention_binding_loss(heads, looks.to(device), of_video.to(device))
        losses = noised.error(output, noised.latents, sample["actors"].to(device), kept)
        loss = losses.mean() + BINDING * binding + ATTENDING * attending
        norm = run.update(loss, warmup_stable_decay(step, steps))
        running = losses.mean().item() if step == run.start else 0.98 * running + 0.02 * losses.mean().item()
        if step % 20 == 0:
            thirds = [round(float(part.mean()), 4) for part in losses.detach().chunk(3)]
            run.journal.log(
                step=step,
                loss=round(running, 5),
                thirds=thirds,
                binding=round(float(binding.detach()), 4),
                attending=round(float(attending.detach()), 4),
                norm=round(norm, 3),
            )
        run.save_if_due(step, steps)
    run.average.copy_to(modules)
    return modules
