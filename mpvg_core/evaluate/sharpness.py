"""How much fine detail a picture has, and whether it is detail or noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colour import grey


def sharpness(frame: NDArray[np.uint8]) -> float:
    """The variance of the Laplacian of a frame's luma [H, W, 3] (Pech-Pacheco et al. 2000), in squared levels.

    0 for one colour, about 100 and less for a blurred photograph, 1,000 and more for a crisp one. Comparable only among
    pictures of the same size and kind: a proxy for focus that noise, dithering and compression raise as detail does.
    """
    shades = grey(frame)
    if min(shades.shape) < 3:
        return 0.0
    inner = shades[1:-1, 1:-1]
    laplacian = shades[:-2, 1:-1] + shades[2:, 1:-1] + shades[1:-1, :-2] + shades[1:-1, 2:] - 4 * inner
    return float(laplacian.var())


def neighbour_likeness(frame: NDArray[np.uint8]) -> float:
    """The correlation of horizontally neighbouring pixels' luma in a frame [H, W, 3], -1..1.

    0.8 and more for pictures of things, near 0 for noise; 1 for one colour, where it is not defined.
    """
    shades = grey(frame).astype(np.float64)
    left, right = shades[:, :-1].ravel(), shades[:, 1:].ravel()
    left, right = left - left.mean(), right - right.mean()
    spread = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum() / spread) if spread > 1e-9 * left.size else 1.0


def contrast(frame: NDArray[np.uint8]) -> float:
    """The largest standard deviation of a colour channel of a frame [H, W, 3], levels; 0 for one colour."""
    return float(frame.reshape(-1, 3).std(axis=0).max())
