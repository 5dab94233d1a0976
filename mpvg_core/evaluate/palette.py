"""`palette`: a picture's colours and the directions of its edges as a vector; nothing is learned or downloaded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colour import Floats, grey, lab

_BINS = (8, 16, 16)  # of L in 0..100, a and b in -100..100
_CELLS, _DIRECTIONS = 4, 8
_COLOUR = 0.75  # share of the colours in the similarity; the rest is shape


class Palette:
    """Describes pictures by colour histogram and edge histogram.

    Colours: CIELAB in 8 x 16 x 16 bins, each spread over its neighbours, square roots taken: the dot product of two is
    the Bhattacharyya coefficient, 1 for equal colours, 0 for none in common. Shape: in 4 x 4 cells of the box around
    what has weight, how much edge lies in each of 8 directions (as in HOG, Dalal and Triggs 2005), square roots taken.
    The similarity is 0.75 colour + 0.25 shape, in 0..1.

    A proxy for looks: it knows no faces and no things. Fooled by another thing in the same colours, and by another
    light on the same thing.
    """

    name = "palette"
    side = 128

    def describe(self, pictures: NDArray[np.uint8], weights: Floats) -> Floats:
        """Unit vectors [T, 2176] of pictures [T, H, W, 3], of which `weights` [T, H, W] in 0..1 tell what counts."""
        colours, shades = lab(pictures), grey(pictures)
        vectors = [
            np.concatenate([_COLOUR**0.5 * _colour(c, w), (1 - _COLOUR) ** 0.5 * _shape(g, w)])
            for c, g, w in zip(colours, shades, weights, strict=True)
        ]
        return np.stack(vectors).astype(np.float32)

    def describe_texts(self, texts: tuple[str, ...]) -> None:
        """Colours cannot be compared with words."""
        return None


def _colour(colours: Floats, weights: Floats) -> Floats:
    """Square roots of the colour histogram, a unit vector [2048]."""
    unit = np.stack([colours[..., 0] / 100, colours[..., 1] / 200 + 0.5, colours[..., 2] / 200 + 0.5], axis=-1)
    index = np.clip((unit * _BINS).astype(np.int64), 0, np.array(_BINS) - 1)
    flat = np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), _BINS)
    histogram = np.bincount(flat.ravel(), weights.ravel(), int(np.prod(_BINS))).reshape(_BINS)
    for axis in range(3):  # so that a small change of colour does not jump from one bin to the next
        padded = np.pad(histogram, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        below, above = (np.take(padded, np.arange(n, n + _BINS[axis]), axis) for n in (0, 2))
        histogram = 0.25 * below + 0.5 * histogram + 0.25 * above
    return _unit(np.sqrt(histogram.ravel()))


def _shape(shades: Floats, weights: Floats) -> Floats:
    """Square roots of the edges' directions in the cells of the box around the weights, a unit vector [128]; a picture
    without edges is said to have them evenly, so that it is like itself."""
    down, right = np.gradient(shades)
    strength = np.hypot(down, right) * weights
    direction = ((np.arctan2(down, right) / np.pi) % 1 * _DIRECTIONS + 0.5).astype(np.int64) % _DIRECTIONS
    top, bottom, left, right_end = box_around(weights)
    rows = np.clip((np.arange(len(shades)) - top) * _CELLS // max(bottom - top, 1), 0, _CELLS - 1)
    columns = np.clip((np.arange(shades.shape[1]) - left) * _CELLS // max(right_end - left, 1), 0, _CELLS - 1)
    flat = (rows[:, None] * _CELLS + columns[None, :]) * _DIRECTIONS + direction
    edges = np.bincount(flat.ravel(), strength.ravel(), _CELLS * _CELLS * _DIRECTIONS)
    return _unit(np.sqrt(edges if edges.any() else np.ones_like(edges)))


def box_around(weights: Floats, share: float = 0.01) -> tuple[int, int, int, int]:
    """Top, bottom, left and right (ends exclusive) of the box that holds all but `share` of the weight at each side.

    The whole picture where there is no weight.
    """
    ends = []
    for profile in (weights.sum(1), weights.sum(0)):
        total = np.cumsum(profile, dtype=np.float64)
        if total[-1] <= 0:
            ends += [0, len(profile)]
            continue
        first = int(np.searchsorted(total, share * total[-1], side="right"))
        last = int(np.searchsorted(total, (1 - share) * total[-1], side="left"))
        ends += [min(first, last), last + 1]
    return ends[0], ends[1], ends[2], ends[3]


def _unit(vector: NDArray[np.floating]) -> Floats:
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)
