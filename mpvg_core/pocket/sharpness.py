"""How sharp an autoencoder of the toy world is: peak signal-to-noise ratio on held-out clips."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .batches import as_pixels
from .figures import Figure, average
from .latents import LatentBasis
from .world import draw_scene, draw_story


def reconstruction_psnr(vae: Any, clips: int = 40) -> Figure:
    """Decibels of held-out clips, encoded and decoded by `vae`; mean over clips."""
    return average(decibels(_decoded(vae, vae.encode(video).latent_dist.mean), video) for video in _videos(clips))


def decoder_psnr(vae: Any, basis: LatentBasis, clips: int = 40) -> Figure:
    """Decibels of held-out clips, decoded by `vae` from the latents that the closed form gives; mean over clips."""
    given = ((basis.encode(video.transpose(1, 2)).transpose(1, 2), video) for video in _videos(clips))
    return average(decibels(_decoded(vae, latents), video) for latents, video in given)


def decibels(found: Tensor, wanted: Tensor) -> float:
    """10 log10(2² / mean square error), for pixels in -1..1."""
    return float(10 * torch.log10(4 / (found - wanted).square().mean()))


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    pixels: Tensor = vae.decode(latents).sample.clamp(-1, 1)
    return pixels


def _videos(clips: int) -> list[Tensor]:
    """Each [1, 3, 17, 64, 64]."""
    scenes = (draw_story(seed, shots=1).scenes[0] for seed in range(clips))
    return [as_pixels(draw_scene(scene)[None]).transpose(1, 2) for scene in scenes]
