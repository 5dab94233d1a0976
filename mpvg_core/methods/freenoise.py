"""FreeNoise: a long clip starts from the noise of one window, shuffled again and again, so that its look stays."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.noise import step_generator
from ..errors import InputError, Problem
from .technique import Technique


def freenoise(window: int, overlap: int, seed: int) -> Technique:
    """Start from noise in which all windows of `codenoise` see the same frames of noise, each in another order.

    Every frame is still standard normal noise, and within a window all frames differ; only frames that no window sees
    together repeat. A clip no longer than the window keeps its noise, bit for bit. Raises InputError for an overlap
    that leaves no stride.
    """
    freenoise_order(window, window, overlap, seed)

    def repeated(noise: Tensor) -> Tensor:
        if noise.shape[1] <= window:
            return noise
        return noise[:, torch.tensor(freenoise_order(noise.shape[1], window, overlap, seed), device=noise.device)]

    return Technique("FreeNoise", noise=repeated)


def freenoise_order(frames: int, window: int, overlap: int, seed: int) -> list[int]:
    """Which of the first `window` frames of noise each of `frames` latent frames takes.

    With the stride S = window - overlap, frames i .. i + S - 1 from `window` on take those of i - window ..
    i - window + S - 1, shuffled: the ones that leave when a window moves on come back behind it, so that every window
    that begins at a multiple of S has all of them once. Of a last, shorter chunk only the ones that leave are shuffled,
    and the window moved back to end with the clip has all of them once as well.

    Raises InputError for an overlap that leaves no stride.
    """
    if not 0 <= overlap < window:
        raise InputError(Problem("overlap", f"{overlap} latent frames", f"0 to {max(window - 1, 0)}, below the window"))
    # Another stream than the shot's own noise, which is drawn from the seed itself.
    generator = step_generator(seed)
    order = list(range(min(frames, window)))
    while len(order) < frames:
        count = min(window - overlap, frames - len(order))
        leaving = order[len(order) - window :][:count]
        order += [leaving[i] for i in torch.randperm(count, generator=generator).tolist()]
    return order
