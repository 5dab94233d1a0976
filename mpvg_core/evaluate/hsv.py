"""RGB to HSV in 8-bit integers, bit for bit as OpenCV does it, and how far two such pictures are apart.

Formulas (OpenCV's documentation of RGB <-> HSV): V = max(R, G, B), S = 255 (V − min) / V, and the hue in steps of two
degrees, H = 30 (G − B) / (V − min), plus 60 where G is the largest, plus 120 where B is; negative hues gain 180. The
two divisions are multiplications by reciprocals rounded to 12 bits, and it is that rounding that is reproduced here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HUES = 180  # steps of the hue's circle

_BITS = 12


def _reciprocals(scale: float) -> NDArray[np.int32]:
    """round(scale / i) in 12-bit fixed point for i = 0..255; 0 for i = 0."""
    divisors = np.maximum(np.arange(256, dtype=np.float64), 1)
    table = np.rint(scale * (1 << _BITS) / divisors).astype(np.int32)
    table[0] = 0
    return table


_SATURATION = _reciprocals(255.0)
_HUE = _reciprocals(HUES / 6.0)


def rgb_to_hsv(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture uint8 [H, W, 3] in RGB as uint8 [3, H, W]: hue 0..179, saturation 0..255, value 0..255.

    Equal to ``cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)`` for all 256³ colours, channel first.
    """
    red, green, blue = (frame[..., channel].astype(np.int32) for channel in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    half = 1 << (_BITS - 1)
    sector = np.where(
        value == red, green - blue, np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread)
    )
    hue = (sector * _HUE[spread] + half) >> _BITS
    hue += HUES * (hue < 0)
    hsv = np.empty((3, *value.shape), np.uint8)
    hsv[0] = hue
    hsv[1] = (spread * _SATURATION[value] + half) >> _BITS
    hsv[2] = value
    return hsv


def channel_distances(
    left: NDArray[np.uint8], right: NDArray[np.uint8], *, circular_hue: bool = False
) -> tuple[float, float, float]:
    """D_c = mean |L − R| of hue, saturation and value of two pictures uint8 [3, H, W], in the channels' own units.

    circular_hue: take the hue's distance on its circle, min(d, 180 − d): 179 and 0 are then neighbours.
    """
    apart = np.maximum(left, right) - np.minimum(left, right)
    if circular_hue:
        apart[0] = np.minimum(apart[0], HUES - apart[0])
    sums = apart.reshape(3, -1).sum(axis=1, dtype=np.int64)
    return tuple(float(total) / apart[0].size for total in sums)
