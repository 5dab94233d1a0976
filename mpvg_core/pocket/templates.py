"""What the reader of pixels compares with: colours, body masks and tracks of the toy world.

Colours are compared in an opponent space, where black, grey and white lie on one axis: a body's edge that is blurred
into its dark outline or into snow keeps its hue there.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .world import COLOURS, MOTIONS, PLACES, SHAPES, Look, background, draw_portrait

INK = np.array([38.0, 34.0, 46.0], np.float32)
OTHERS = np.array([INK, (255, 255, 255), (120, 84, 50)], np.float32)  # outline, eyes, skis
PALETTE = np.array(list(COLOURS.values()), np.float32)
_LIGHTNESS_WEIGHT = 0.4
_OPPONENT = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], np.float32)
_OPPONENT /= np.linalg.norm(_OPPONENT, axis=1, keepdims=True)

PATCH = 29
SCALES = np.linspace(0.3, 1.15, 13, dtype=np.float32)
TILTS = (-0.4, -0.2, 0.0, 0.15, 0.3, 0.4)
PHASES = 16
RADIUS = {1: 10.5, 2: 9.0, 3: 7.5}


def opponent(rgb: np.ndarray) -> np.ndarray:
    """RGB [..., 3] in 0..255 to (lightness, red less green, yellow less blue), lightness weighing less."""
    return (rgb @ _OPPONENT.T) * np.array([_LIGHTNESS_WEIGHT, 1, 1], np.float32)


def share_of(colour: np.ndarray, pixels: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """How much of `colour` [3] lies over `behind` in `pixels` [..., 3], 0..1; linear, so that blur keeps its sum.

    The projection of pixels - behind on colour - behind in the plane of the two colour differences.
    """
    way = (colour - behind) @ _OPPONENT[1:].T
    moved = (pixels - behind) @ _OPPONENT[1:].T
    return np.clip((moved * way).sum(-1) / np.maximum((way * way).sum(-1), 900.0), 0, 1)


@lru_cache(maxsize=1)
def places() -> tuple[tuple[tuple[str, bool], ...], np.ndarray]:
    """The names (place, mirrored) and pictures float32 [12, 64, 64, 3] of all empty places."""
    names = tuple((place, mirrored) for place in PLACES for mirrored in (False, True))
    return names, np.stack([background(*name) for name in names])


@lru_cache(maxsize=1)
def bodies() -> np.ndarray:
    """Masks of the coloured bodies at all scales and tilts, float32 [4, scales * tilts, PATCH * PATCH].

    Each is centred on its centroid, of zero mean and unit length, so that a product with a patch of unit length
    correlates.
    """
    behind = np.full(3, 150, np.float32)
    offsets = np.arange(PATCH, dtype=np.float32) - PATCH // 2
    masks = []
    for shape in SHAPES:
        portrait = share_of(PALETTE[0], draw_portrait(Look("red", shape))[0].astype(np.float32), behind)
        x, y = centroid(portrait)
        for scale in SCALES:
            for tilt in TILTS:
                du, dv = np.meshgrid(offsets / scale, offsets / scale)
                u, v = np.cos(tilt) * du + np.sin(tilt) * dv, -np.sin(tilt) * du + np.cos(tilt) * dv
                masks.append(sample(soften(portrait)[None], (x + u).reshape(1, -1), (y + v).reshape(1, -1))[0])
    return standardised(np.stack(masks)).reshape(len(SHAPES), -1, PATCH * PATCH)


def soften(mask: np.ndarray) -> np.ndarray:
    """A light blur (1, 2, 1) along both sides: a template that minds no blur of that size."""
    for axis in (0, 1):
        mask = 0.5 * mask + 0.25 * (np.roll(mask, 1, axis) + np.roll(mask, -1, axis))
    return mask


def standardised(patches: np.ndarray) -> np.ndarray:
    """Patches [..., P] less their mean, divided by their length."""
    centred = patches - patches.mean(-1, keepdims=True)
    length = np.sqrt((centred * centred).sum(-1, keepdims=True))
    return np.asarray(centred / np.maximum(length, 1e-6), np.float32)


def centroid(mask: np.ndarray) -> tuple[float, float]:
    """Centre of mass (x, y) of a mask [H, W] of positive mass."""
    rows, columns = mask.sum(1), mask.sum(0)
    total = max(float(rows.sum()), 1e-6)
    return float(columns @ np.arange(len(columns))) / total, float(rows @ np.arange(len(rows))) / total


def sample(pictures: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples [N, P] of pictures [N, H, W] at pixel coordinates [N, P]; zero outside."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
    number, height, width = padded.shape
    x, y = np.clip(x + 1, 0, width - 1.001), np.clip(y + 1, 0, height - 1.001)
    column, row = x.astype(np.intp), y.astype(np.intp)
    fx, fy = x - column, y - row
    flat, at = padded.ravel(), (np.arange(number)[:, None] * height + row) * width + column
    upper = flat[at] * (1 - fx) + flat[at + 1] * fx
    lower = flat[at + width] * (1 - fx) + flat[at + width + 1] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, np.float32)


@lru_cache(maxsize=16)
def tracks(frames: int, count: int) -> np.ndarray:
    """How each motion moves a body among `count` actors: float32 [6, PHASES, frames, 3], centred in time.

    The three are x and y of the body's middle in pixels, and the logarithm of its size.
    """
    f = np.arange(frames, dtype=np.float32)
    centred, along = f - (frames - 1) / 2, f / (frames - 1)
    lanes, radius = min(max(count, 1), 3), RADIUS[min(max(count, 1), 3)]
    result = np.zeros((len(MOTIONS), PHASES, frames, 3), np.float32)
    for phase in range(PHASES):
        beat = 2 * np.pi * (f / 8 + phase / PHASES)
        scale = 1 - 0.5 * along
        moves = {
            "running": (centred * {1: 1.5, 2: 0.7, 3: 0.5}[lanes], -1.5 * np.abs(np.sin(beat)), 0 * f),
            "skiing": (centred * {1: 1.3, 2: 0.6, 3: 0.4}[lanes], centred * 0.6, 0 * f),
            "jumping": (0 * f, -11 * np.abs(np.sin(beat / 2)), 0 * f),
            "waving": (0 * f, 0 * f, 0 * f),
            "walking away": (0 * f, -14 * along - (5 + 0.85 * radius) * scale, np.log(scale)),
            "dancing": (2.5 * np.sin(beat), 0 * f, 0 * f),
        }
        for index, motion in enumerate(MOTIONS):
            result[index, phase] = np.stack(moves[motion], axis=-1)
    return result - result.mean(2, keepdims=True)
