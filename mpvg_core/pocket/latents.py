"""The pocket's latent space in closed form, so that denoiser and autoencoder can be trained at the same time.

A latent holds a 4×4 pixel block over 4 frames. Its first channels are the leading principal components of the block's
mean over time, the rest those of what changes within the 4 frames; latent 0 describes one frame, so its changing part
is zero. A principal component is divided by the root of its standard deviation: halfway between whitening, which
would blow faint detail up to the size of the scene, and not scaling at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

BLOCK = 4
STATIC = 10
CHANGING = 6
CHANNELS = STATIC + CHANGING


@dataclass(frozen=True)
class LatentBasis:
    """mean [48], static [10, 48], changing [6, 192], scale [16]; pixels in -1..1."""

    mean: torch.Tensor
    static: torch.Tensor
    changing: torch.Tensor
    scale: torch.Tensor

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels [B, 1+4k, 3, H, W] in -1..1 to latents [B, 1+k, 16, H/4, W/4]."""
        first, rest = _blocks(pixels)
        average = rest.mean(dim=-2)
        still = torch.cat([first[:, None], average], dim=1) - self.mean  # (B, 1+k, h, w, 48)
        change = (rest - average.unsqueeze(-2)).flatten(-2)  # (B, k, h, w, 192)
        moving = torch.nn.functional.pad(change @ self.changing.T, (0, 0, 0, 0, 0, 0, 1, 0))
        latents = torch.cat([still @ self.static.T, moving], dim=-1) * self.scale
        return latents.permute(0, 1, 4, 2, 3).contiguous()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [B, 1+k, 16, h, w] to the nearest pixels [B, 1+4k, 3, 4h, 4w] that they stand for, about -1..1."""
        parts = latents.permute(0, 1, 3, 4, 2) / self.scale
        still = parts[..., :STATIC] @ self.static + self.mean  # (B, 1+k, h, w, 48)
        change = (parts[:, 1:, ..., STATIC:] @ self.changing).unflatten(-1, (4, -1))  # (B, k, h, w, 4, 48)
        rest = (still[:, 1:, ..., None, :] + change).permute(0, 1, 4, 2, 3, 5).flatten(1, 2)  # (B, 4k, h, w, 48)
        blocks = torch.cat([still[:, :1], rest], dim=1).unflatten(-1, (BLOCK, BLOCK, 3))
        return blocks.permute(0, 1, 6, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    def state(self) -> dict[str, torch.Tensor]:
        return {"mean": self.mean, "static": self.static, "changing": self.changing, "scale": self.scale}


def fit_basis(clips: np.ndarray) -> LatentBasis:
    """The basis of uint8 clips [N, 1+4k, H, W, 3]."""
    pixels = torch.from_numpy(clips).float().div(127.5).sub(1).permute(0, 1, 4, 2, 3)
    first, rest = _blocks(pixels)
    average = rest.mean(dim=-2)
    still = torch.cat([first.flatten(0, -2), average.flatten(0, -2)])
    change = (rest - average.unsqueeze(-2)).flatten(-2).flatten(0, -2)
    mean = still.mean(0)
    static, static_sd = _principal(still - mean, STATIC)
    changing, changing_sd = _principal(change, CHANGING)
    # Uniform factor: the scene's variance over all channels becomes about one.
    scale = torch.cat([static_sd, changing_sd]).rsqrt()
    variance = (torch.cat([static_sd, changing_sd]) * scale).square().mean()
    return LatentBasis(mean, static, changing, scale / variance.sqrt())


def _principal(samples: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, vectors = torch.linalg.eigh(samples.T @ samples / len(samples))
    order = values.argsort(descending=True)[:count]
    basis = vectors[:, order].T.contiguous()
    # An eigenvector's sign is arbitrary: fix it, so that the same clips give the same basis everywhere.
    sign = basis.gather(1, basis.abs().argmax(1, keepdim=True)).sign()
    return basis * sign, values[order].sqrt()


def _blocks(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels [B, 1+4k, 3, H, W] to blocks: the first frame's [B, h, w, 48] and the rest's [B, k, h, w, 4, 48]."""
    b, t, c, height, width = pixels.shape
    h, w = height // BLOCK, width // BLOCK
    split = (
        pixels.reshape(b, t, c, h, BLOCK, w, BLOCK).permute(0, 1, 3, 5, 4, 6, 2).reshape(b, t, h, w, BLOCK * BLOCK * c)
    )
    rest = split[:, 1:].reshape(b, (t - 1) // 4, 4, h, w, -1).permute(0, 1, 3, 4, 2, 5)
    return split[:, 0], rest
