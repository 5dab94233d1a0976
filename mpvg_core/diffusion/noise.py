"""The noise a shot starts from: the same for the same seed on every device and in every precision."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError, Problem

SEED_LIMIT = 2**64  # what torch takes, and what a storyboard may ask for


def _generator(seed: int) -> torch.Generator:
    if not 0 <= seed < SEED_LIMIT:
        raise InputError(Problem("seed", f"{seed} cannot seed the noise", f"a whole number from 0 to {SEED_LIMIT - 1}"))
    return torch.Generator(device="cpu").manual_seed(seed)


def shot_noise(
    seed: int,
    shape: Sequence[int],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal noise of `shape` ([1, F, C, h, w] for a shot), drawn on the CPU in float32, then cast and moved.

    Raises InputError for a seed outside 0 .. 2^64 - 1.
    """
    noise = torch.randn(tuple(shape), generator=_generator(seed), dtype=torch.float32)
    return noise.to(device=device, dtype=dtype)


def step_generator(seed: int) -> torch.Generator:
    """The CPU generator of a shot's per-step noise (DPM), independent of what `shot_noise` draws from the same seed.

    Were it seeded with the seed itself, the first step would add the very noise that the shot starts from.
    """
    _generator(seed)
    digest = hashlib.sha256(f"{seed}/steps".encode()).digest()
    return _generator(int.from_bytes(digest[:8], "big") >> 1)


def mix_noise(shared: Tensor, own: Tensor, ratio: float) -> Tensor:
    """sqrt(r) shared + sqrt(1 - r) own: unit variance; r = 0 is `own` itself, r = 1 `shared` itself.

    Two shots mixed from the same `shared` noise correlate by r. Both tensors have one shape. Raises InputError unless
    0 <= r <= 1.
    """
    if not 0.0 <= ratio <= 1.0:
        raise InputError(Problem("noise ratio", f"{ratio}", "a number from 0 (own noise) to 1 (shared noise)"))
    if shared.shape != own.shape:
        raise ValueError(f"noise of two shapes cannot be mixed: {tuple(shared.shape)} and {tuple(own.shape)}")
    return ratio**0.5 * shared + (1.0 - ratio) ** 0.5 * own
