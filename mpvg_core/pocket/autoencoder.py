"""Trains the pocket's autoencoder: a stock CogVideoX VAE on the closed-form latent space.

The latents are given (see latents.py), so the decoder learns latents to pixels and the encoder regresses the latents:
no adversary and no moving target, and the denoiser can be trained at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..backbone.construct import new_vae
from ..training.optimise import Optimisers, warmup_stable_decay
from ..training.run import Run
from .base import CPU
from .batches import FIRST_TRAINING_SEED, as_pixels
from .latents import BLOCK, CHANNELS, LatentBasis
from .sharpness import decibels, decoder_psnr, reconstruction_psnr
from .transitions import draw_cut
from .world import SIZE, draw_story

VAE: dict[str, Any] = {
    "in_channels": 3, "out_channels": 3, "latent_channels": CHANNELS, "block_out_channels": (32, 48, 64),
    "down_block_types": ("CogVideoXDownBlock3D",) * 3, "up_block_types": ("CogVideoXUpBlock3D",) * 3,
    "layers_per_block": 1, "norm_num_groups": 8, "temporal_compression_ratio": 4,
    "sample_height": SIZE, "sample_width": SIZE, "scaling_factor": 1.0,
}  # fmt: skip
CROP = 32
LOG_VARIANCE = -10.0
CUT = 0.2  # of the clips cut to another scene: a later training may teach the denoiser to
LATENT_NOISE = 0.03  # the denoiser's latents are never exact: the decoder must forgive that much


def draw_pixels(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Clips of scenes never held out, [B, 17, 3, 64, 64] in -1..1."""
    stories = (draw_story(int(seed), shots=2) for seed in rng.integers(FIRST_TRAINING_SEED, 2**31, size=count))
    return as_pixels(np.stack([draw_cut(story.scenes[: 1 + int(rng.random() < CUT)]) for story in stories]))


def open_run(folder: Path, modules: Mapping[str, nn.Module], *, seed: int = 0, save_every: int = 100) -> Run:
    """The run of `train_autoencoder`, at its newest checkpoint."""
    optimisers = Optimisers(modules, matrix_lr=2e-3, other_lr=2e-3, outer=("conv_in", "conv_out", "conv_y", "conv_b"))
    return Run(folder, modules, optimisers, decay=0.995, seed=seed, save_every=save_every)


def train_autoencoder(
    folder: Path,
    basis: LatentBasis,
    *,
    steps: int,
    whole_from: float = 0.85,
    batch: int = 8,
    seed: int = 0,
    save_every: int = 100,
    device: torch.device = CPU,
) -> Any:
    """Trains to `steps` in all, resuming from the folder's checkpoint; returns the averaged model.

    Crops of 32×32 first; whole pictures in the last part of the steps, since the group norms see the whole picture in
    use.
    """
    torch.manual_seed(seed)
    vae: Any = new_vae(VAE).to(device)
    modules = {"vae": vae}
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if name.endswith("conv_y.conv.bias"):
                parameter.fill_(1.0)  # spatial norm multiplies by conv_y(z): start as a plain norm
    # An error in a latent's channel moves pixels by one over its scale: count it half for itself, half for that.
    importance = basis.scale.pow(-2)
    importance = 0.5 + 0.5 * (importance / importance.mean()).view(1, -1, 1, 1, 1).to(device)
    run = open_run(folder, modules, seed=seed, save_every=save_every)
    for step in range(run.start, steps):
        generator = run.generator(step)
        rng = np.random.default_rng([seed, 5, step])
        whole = step >= whole_from * steps
        pixels = draw_pixels(rng, batch // 4 if whole else batch)
        latents = basis.encode(pixels)
        if not whole:
            top, left = (int(v) for v in rng.integers(0, (SIZE - CROP) // BLOCK + 1, size=2))
            top = max(top, 3)  # actors walk on the ground: look there more often than at the sky
            pixels = pixels[..., top * BLOCK : top * BLOCK + CROP, left * BLOCK : left * BLOCK + CROP]
            latents = latents[..., top : top + CROP // BLOCK, left : left + CROP // BLOCK]
        video, given = pixels.transpose(1, 2).to(device), latents.transpose(1, 2).to(device)
        noisy = given + LATENT_NOISE * torch.randn(given.shape, generator=generator).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            decoded = vae.decode(noisy).sample.float()
        error = decoded - video
        loss = error.abs().mean() + 4 * error.square().mean()
        with torch.autocast(device.type, dtype=torch.bfloat16):
            posterior = vae.encode(video).latent_dist
        encoded_error = (importance * (posterior.mean.float() - given).square()).mean()
        loss = loss + encoded_error + 1e-3 * (posterior.logvar.float() - LOG_VARIANCE).square().mean()
        run.update(loss, warmup_stable_decay(step, steps, warmup=30))
        if step % 20 == 0:
            run.journal.log(
                step=step,
                psnr=round(decibels(decoded.detach(), video), 2),
                encoder=round(float(encoded_error.detach()), 4),
            )
        if run.save_if_due(step, steps):
            trial = new_vae(VAE)
            run.average.copy_to({"vae": trial})
            with torch.no_grad():
                held_out, both = decoder_psnr(trial, basis, clips=8), reconstruction_psnr(trial, clips=8)
            run.journal.log(step=step, held_out_psnr=held_out.mean, reconstruction_psnr=both.mean)
    run.average.copy_to(modules)
    return vae
