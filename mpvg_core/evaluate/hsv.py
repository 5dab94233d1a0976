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


def _over(scale: float, divisors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """scale / divisors with twelve bits behind the point; where the divisor is 0, what is divided is 0 as well.

    Single precision gives every such quotient, and its product with a spread, to the last bit.
    """
    quotients = np.float32(scale * (1 << _BITS)) / np.maximum(divisors, 1).astype(np.float32)
    np.rint(quotients, out=quotients)
    quotients *= np.float32(1 / (1 << _BITS))
    return quotients


def rgb_to_hsv(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture uint8 [H, W, 3] in RGB as uint8 [3, H, W]: hue 0..179, saturation 0..255, value 0..255.

    Equal to ``cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)`` for all 256³ colours, channel first.
    """
    planes = np.ascontiguousarray(frame.transpose(2, 0, 1))
    value = planes.max(axis=0)
    spread = value - planes.min(axis=0)
    is_red, is_green = value == planes[0], value == planes[1]
    red, green, blue = planes.astype(np.int16)
    step = 2 * spread.astype(np.int16)
    # Masks are multiplied, quotients computed: choosing or looking up pixel by pixel takes several times as long.
    sector = red - green + 2 * step
    sector += is_green * (blue - red + step - sector)
    sector += is_red * (green - blue - sector)
    hue = np.floor(_over(HUES / 6.0, spread) * sector + np.float32(0.5))
    hue += (hue < 0) * np.float32(HUES)
    hsv = np.empty_like(planes)
    hsv[0] = hue
    hsv[1] = _over(255.0, value) * spread + np.float32(0.5)
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
