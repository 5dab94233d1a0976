"""Visual features of a clip straight from its latents: no encoder to load, no lossy trip through pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .interface import ClipFeatures

MOST_FRAMES = 3
PATCH = 2
MOST_PATCHES = 8  # along the longer side


def describe_latents(latents: Tensor) -> ClipFeatures:
    """Patches of a clip's first, middle and last latent frames: latents [F, C, h, w] to tokens [T, 4C].

    The picture is pooled so that its longer side has at most 8 patches of 2×2 latents: T <= 3·64 whatever its size.
    """
    frames, channels, height, width = latents.shape
    count = min(MOST_FRAMES, frames)
    chosen = torch.linspace(0, frames - 1, count).round().long()
    picture = latents[chosen.to(latents.device)].float()
    factor = min(1.0, MOST_PATCHES * PATCH / max(height, width))
    rows, columns = (max(PATCH, round(side * factor / PATCH) * PATCH) for side in (height, width))
    if (rows, columns) != (height, width):
        picture = functional.adaptive_avg_pool2d(picture, (rows, columns))
    down, across = rows // PATCH, columns // PATCH
    patches = picture.reshape(count, channels, down, PATCH, across, PATCH).permute(0, 2, 4, 1, 3, 5)
    tokens = patches.reshape(count * down * across, channels * PATCH * PATCH)
    time = chosen.float() / max(frames - 1, 1)
    grid = torch.meshgrid(time, _middles(down), _middles(across), indexing="ij")
    return ClipFeatures(tokens=tokens.contiguous(), positions=torch.stack(grid, -1).reshape(-1, 3).to(tokens.device))


def _middles(count: int) -> Tensor:
    return (torch.arange(count) + 0.5) / count
