"""Colours as people see them apart: sRGB to CIELAB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
_WHITE = np.array([0.9505, 1.0, 1.089], np.float32)  # D65
_STEPS = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_STEPS <= 0.04045, _STEPS / 12.92, ((_STEPS + 0.055) / 1.055) ** 2.4).astype(np.float32)


def lab(pixels: NDArray[np.uint8]) -> Floats:
    """CIELAB (CIE 1976, D65) of sRGB pixels [..., 3]: float32 [..., 3], L in 0..100, a and b about -110..110."""
    xyz = (_LINEAR[pixels] @ _TO_XYZ.T) / _WHITE  # [..., 3]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def grey(pixels: NDArray[np.uint8]) -> Floats:
    """Luma of sRGB pixels [..., 3] (BT.709 weights): float32 [...], 0..255."""
    return pixels.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)
