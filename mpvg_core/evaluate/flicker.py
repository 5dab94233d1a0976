"""Light that jumps from frame to frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colour import Floats, grey

_GRID = 8


def light(frame: NDArray[np.uint8]) -> Floats:
    """The mean luma in 8 x 8 fields of a frame [H, W, 3], 0..255; a picture of fewer pixels has fewer fields."""
    shades = grey(frame)
    rows, columns = (np.linspace(0, size, min(_GRID, size) + 1).astype(int)[:-1] for size in shades.shape)
    sums = np.add.reduceat(np.add.reduceat(shades, rows, axis=0), columns, axis=1)
    areas = np.outer(np.diff([*rows, shades.shape[0]]), np.diff([*columns, shades.shape[1]]))
    return (sums / areas).astype(np.float32)


def flicker(first: Floats, second: Floats, third: Floats) -> float:
    """How far the light of the middle one of three frames (each as `light` gives it) is off the line of its neighbours.

    The median over the fields of |l(t) - (l(t-1) + l(t+1)) / 2|, in levels of 255; a shot's flicker is the mean over
    its frames. 0 for still light and for light that changes evenly. VBench's temporal flickering, the mean difference
    of neighbouring frames, is made for still scenes; the median over fields leaves out those where something moves.

    A proxy: fooled by motion that fills more than half of the picture, blind to flicker on less than half of it.
    """
    return float(np.median(np.abs(second - (first + third) / 2)))
