"""Clips of structure alone, uint8 [T, H, W, 3]: what a control clip may show.

Edges are found in pixels, boxes come from a storyboard's layout, depth from whatever measures it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError, Problem
from ..storyboard.layout import Placed, tracks
from .regions import box_clip

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def layout_clip(layout: Iterable[Placed], frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """A shot's layout as a clip: each entity's box filled with a colour of its own, on black, later entities on top."""
    drawn: torch.Tensor = box_clip(list(tracks(layout).values()), frames, height, width)
    return drawn.numpy()


def depth_clip(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Depth [T, H, W], larger is nearer (as inverse depth is), as grey: the nearest is white, the farthest black.

    One scale for the whole clip, or what stands still would flicker; a clip of one depth is black. Raises InputError
    for numbers that are not finite.
    """
    if depth.ndim != 3 or not np.isfinite(depth).all():
        raise InputError(Problem("depth", f"{list(depth.shape)} or not finite", "finite numbers [T, H, W]"))
    low, high = float(depth.min()), float(depth.max())
    grey = np.zeros(depth.shape) if high == low else (depth - low) / (high - low)
    return _as_rgb(np.rint(grey * 255).astype(np.uint8))


def canny_clip(
    clip: NDArray[np.uint8], low: float = 100.0, high: float = 200.0, smooth: float = 0.0
) -> NDArray[np.uint8]:
    """Edges of a clip, uint8 [T, H, W, 3], in white on black, by Canny (1986), each frame by itself.

    smooth: standard deviation in pixels of a Gaussian blur before, against grain. low, high: thresholds of the gradient
    |dx| + |dy| by 3x3 Sobel of the luma (0..255): a pixel above `low` whose gradient is the largest across the edge is
    drawn if it hangs together with one above `high`. Raises InputError unless 0 <= low <= high.
    """
    if not 0.0 <= low <= high:
        raise InputError(Problem("edge thresholds", f"{low} and {high}", "0 <= low <= high"))
    edges = np.stack([_edges(np.rint(frame @ _LUMA), low, high, smooth) for frame in clip])
    return _as_rgb(edges.astype(np.uint8) * np.uint8(255))


def _edges(grey: NDArray[np.floating], low: float, high: float, smooth: float) -> NDArray[np.bool_]:
    """[H, W] in 0..255 to the pixels of its edges."""
    across, down = sobel(_blurred(grey, smooth) if smooth > 0 else grey)
    strength = np.abs(across) + np.abs(down)
    thin = (strength > low) & _largest_across(strength, across, down)
    return connected(thin & (strength > high), thin)


def sobel(grey: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Gradients (across, down) of [H, W] by Sobel's 3x3 kernels; the border's pixels are repeated beyond it."""
    padded = np.pad(grey, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2]


def _largest_across(
    strength: NDArray[np.floating], across: NDArray[np.floating], down: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Which pixels are stronger than both neighbours in the direction of the gradient, to the nearest 45 degrees.

    Of two that are equally strong, the right or lower one goes; along diagonals both do.
    """
    padded = np.pad(strength, 1)
    height, width = strength.shape

    def beside(dy: int, dx: int) -> NDArray[np.floating]:
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    flat, steep = np.tan(np.pi / 8), np.tan(3 * np.pi / 8)
    x, y = np.abs(across), np.abs(down)
    same = across * down >= 0  # falling from the upper left to the lower right, or the reverse
    by_row = (strength > beside(0, -1)) & (strength >= beside(0, 1))
    by_column = (strength > beside(-1, 0)) & (strength >= beside(1, 0))
    falling = (strength > beside(-1, -1)) & (strength > beside(1, 1))
    rising = (strength > beside(-1, 1)) & (strength > beside(1, -1))
    diagonal = np.where(same, falling, rising)
    found: NDArray[np.bool_] = np.where(y < flat * x, by_row, np.where(y > steep * x, by_column, diagonal))
    return found


def connected(seeds: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels [H, W] of `allowed` that hang together with one of `seeds`, over edges or corners."""
    width = allowed.shape[1] + 2
    open_ = np.pad(allowed, 1).ravel()
    found = np.zeros_like(open_)
    front = np.flatnonzero(np.pad(seeds & allowed, 1))
    steps = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    while len(front):
        found[front] = True
        around = np.unique(front[:, None] + steps)
        front = around[open_[around] & ~found[around]]
    return found.reshape(-1, width)[1:-1, 1:-1]


def _blurred(grey: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if side == axis else (0, 0) for side in (0, 1)]
        padded, length = np.pad(grey, padding, mode="edge"), grey.shape[axis]
        parts = (np.take(padded, range(shift, shift + length), axis) for shift in range(len(weights)))
        grey = np.sum([weight * part for weight, part in zip(weights, parts, strict=True)], axis=0)
    return grey


def _as_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1)
