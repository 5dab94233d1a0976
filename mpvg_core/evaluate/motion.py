"""How much a shot moves: a film that stands still is as consistent as can be, and no film."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colour import Floats, grey

SIDE = 64
"""Pixels of the short side at which motion is looked for."""
_BLOCK, _SEARCH = 4, 6  # pixels of a block's side; how far it is looked for, which is the longest motion found
_STRONGEST = 0.05  # share of the picture that counts: a small actor may run in a still place
_DULL = 2.0  # levels: a block that differs by less than this from where it was has not moved


def change(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Mean difference of the 5 % of pixels that change most between two frames [H, W, 3], in levels of 255.

    0 for a still picture. A proxy for motion: also raised by flicker, grain and cuts, and low for motion without
    contrast.
    """
    differences = np.abs(before.astype(np.int16) - after).max(axis=-1)
    return _strongest_mean(differences.ravel())


def flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """How far the 5 % of the picture that moves most moves between two frames [H, W, 3], in parts of the short side.

    After VBench's dynamic degree (Huang et al. 2024), which takes the strongest 5 % of RAFT's optical flow and calls a
    video dynamic above 6/256 = 0.023 between frames 1/8 s apart. Here: block matching. Blocks of 4 x 4 pixels of the
    luma, at a short side of about 64, are looked for up to 6 pixels away (so 0.13 at most, in steps of 0.016), with
    what is around them; a block stays where it is unless elsewhere it fits clearly better.

    Fooled by noise (it moves everywhere) and by repeated patterns; blind to motion below half a pixel of the small
    picture, to motion longer than 6, and to its rim of 4 pixels.
    """
    old, new = grey(before), grey(after)
    height, width = (size // _BLOCK * _BLOCK for size in old.shape)
    if not height or not width:
        return 0.0  # smaller than a block
    old, new = old[:height, :width], new[:height, :width]
    padded = np.pad(old, _SEARCH, mode="edge")
    still = _unlike((new - old)[:, None])[:, 0]  # [rows, columns] of blocks
    steps = np.arange(-_SEARCH, _SEARCH + 1)
    unlike = np.stack([_unlike(np.subtract(new[:, None], _moved(padded, top, new.shape))) for top in range(len(steps))])
    far = np.hypot(steps[:, None, None, None], steps[None, None, :, None])
    costs = (unlike + 1e-3 * far).swapaxes(1, 2).reshape(len(steps) ** 2, *still.shape)  # of equal fits the nearest
    moved = np.broadcast_to(far.swapaxes(1, 2), (len(steps), len(steps), 1, 1)).reshape(-1)[costs.argmin(axis=0)]
    moved = np.where(costs.min(axis=0) < still - np.maximum(_DULL, 0.15 * still), moved, 0.0)
    inner = moved[1:-1, 1:-1] if min(moved.shape) > 2 else moved  # at the rim what comes in has no place it came from
    return _strongest_mean(inner.ravel()) / min(old.shape)


def _moved(padded: Floats, top: int, shape: tuple[int, ...]) -> Floats:
    """The old picture from row `top` on, moved by every number of columns, [H, shifts, W]."""
    windows: Floats = np.lib.stride_tricks.sliding_window_view(padded[top : top + shape[0]], shape[1], axis=1)
    return windows


def _unlike(differences: Floats) -> Floats:
    """Mean absolute difference of each block and its surroundings: [H, n, W] gives [rows, n, columns]."""
    height, count, width = differences.shape
    parts = np.abs(differences).reshape(height // _BLOCK, _BLOCK, count, width // _BLOCK, _BLOCK)
    blocks = parts.mean(axis=(1, 4))
    around = np.pad(blocks, ((1, 1), (0, 0), (1, 1)), mode="edge")
    cross = around[:-2, :, 1:-1] + around[2:, :, 1:-1] + around[1:-1, :, :-2] + around[1:-1, :, 2:]
    mean: Floats = (2 * blocks + 0.5 * cross) / 4
    return mean


def _strongest_mean(values: NDArray[np.generic]) -> float:
    count = max(1, round(_STRONGEST * values.size))
    return float(np.partition(values, values.size - count)[-count:].mean())
