"""What the reader of pixels compares with: colours, body masks and tracks of the toy world.

Colours are compared in an opponent space, where black, grey and white lie on one axis: a body's edge that is blurred
into its dark outline or into snow keeps its hue there.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .world import (
    COLOURS,
    LEG,
    MOTIONS,
    PLACES,
    RADIUS,
    SHAPES,
    SIZE,
    Look,
    Role,
    Scene,
    background,
    draw_scene,
    track,
)

OTHERS = np.array([(38, 34, 46), (255, 255, 255)], np.float32)  # outline and eyes
PALETTE = np.array(list(COLOURS.values()), np.float32)
_LIGHTNESS_WEIGHT = 0.4
_OPPONENT = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], np.float32)
_OPPONENT /= np.linalg.norm(_OPPONENT, axis=1, keepdims=True)

PATCH = 33
_POSES = {  # frames that show a body at other sizes and tilts, in this order: 9 smaller and smaller, 8 + 1 + 1 tilted
    "walking away": slice(0, None, 2),
    "dancing": slice(0, 8),
    "running": slice(8, 9),
    "skiing": slice(8, 9),
}
_SMALLER, _TILTED, _RUNNING, _SKIING = 9, slice(9, 17), 17, 18
PHASES = 16
_OUTLINE_WEIGHT = 0.6
_NEAR = 3.0
_RIDGE = 0.03


def opponent(rgb: np.ndarray) -> np.ndarray:
    """RGB [..., 3] in 0..255 to (lightness, red less green, yellow less blue), lightness weighing less."""
    return (rgb @ _OPPONENT.T) * np.array([_LIGHTNESS_WEIGHT, 1, 1], np.float32)


def unmix(colour: np.ndarray, pixels: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """How much of `colour` [3] and of dark outline lies over `behind` [N, 3] in `pixels` [N, 3]: shares [N, 2] in 0..1.

    Least squares of pixels - behind in the ways to the colour, the outline and the white of eyes, with a ridge that
    keeps shares small where two of them look alike. Linear, so that blur moves shares but keeps their sum.
    """
    ways = np.stack([np.broadcast_to(colour, behind.shape), *np.broadcast_to(OTHERS[:, None], (2, *behind.shape))], 1)
    ways = (ways - behind[:, None]) / 255  # (N, 3, rgb)
    moved = (pixels - behind)[..., None] / 255
    normal = ways @ ways.transpose(0, 2, 1) + _RIDGE * np.eye(3, dtype=np.float32)
    return np.clip(np.linalg.solve(normal, ways @ moved)[:, :2, 0], 0, 1)


@lru_cache(maxsize=1)
def places() -> tuple[tuple[tuple[str, bool], ...], np.ndarray]:
    """The names (place, mirrored) and pictures float32 [12, 64, 64, 3] of all empty places."""
    names = tuple((place, mirrored) for place in PLACES for mirrored in (False, True))
    return names, np.stack([background(*name) for name in names])


@lru_cache(maxsize=18)
def bodies(count: int, colour: int) -> np.ndarray:
    """Bodies as drawn among `count` actors, upright, tilted and far away: patches, float32 [4, K, 2 PATCH²].

    Each is of zero mean and unit length, so that its product with such a patch of a clip is their correlation.
    """
    empty = background("snow", False)
    drawn = []
    for shape in SHAPES:
        for motion, frames in _POSES.items():
            roles = tuple(Role(index, Look(list(COLOURS)[colour], shape), motion) for index in range(count))
            clip = draw_scene(Scene(roles, "snow"))[frames].astype(np.float32)
            t, y, x = np.nonzero((np.abs(clip - empty).sum(-1) > 2) & (np.arange(SIZE) < SIZE // count))
            shares = np.zeros((*clip.shape[:3], 2), np.float32)
            shares[t, y, x] = unmix(PALETTE[colour], clip[t, y, x], empty[y, x])
            drawn.append(patches(soften(shares)))
    return standardised(np.concatenate(drawn)).reshape(len(SHAPES), -1, 2 * PATCH * PATCH)


def poses(motion: str, frames: int) -> np.ndarray:
    """Which of the poses in `bodies` an actor of this motion can show in each frame, bool [frames, K]."""
    fits = np.zeros((frames, _SKIING + 1), bool)
    if motion == "walking away":
        seen = np.linspace(0, _SMALLER - 1, frames)[:, None]
        fits[:, :_SMALLER] = np.abs(seen - np.arange(_SMALLER)) <= 1
    else:
        shown: dict[str, slice | int] = {"dancing": _TILTED, "running": _RUNNING, "skiing": _SKIING}
        fits[:, shown.get(motion, 0)] = True  # the rest stay upright, as at the start of walking away
    return fits


def patches(shares: np.ndarray) -> np.ndarray:
    """Shares [N, 64, 64, 2] of body and outline around the body's centre of mass, [N, 2 PATCH²]."""
    x, y, _ = centroids(shares[..., 0])
    offsets = np.arange(PATCH, dtype=np.float32) - PATCH // 2
    dx, dy = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
    x, y = x[:, None] + dx, y[:, None] + dy
    near = np.minimum(_NEAR * soften(soften(shares[..., :1])), 1)[..., 0]  # the outline is near the body, limbs are not
    shares = np.stack([shares[..., 0], shares[..., 1] * near], axis=-1)
    return np.concatenate([sample(shares[..., 0], x, y), _OUTLINE_WEIGHT * sample(shares[..., 1], x, y)], axis=1)


def soften(shares: np.ndarray) -> np.ndarray:
    """Pictures [N, H, W, C] lightly blurred by (1, 2, 1) / 4 both ways, as a decoder blurs them."""
    for axis in (1, 2):
        shares = 0.5 * shares + 0.25 * (np.roll(shares, 1, axis) + np.roll(shares, -1, axis))
    return shares


def standardised(flat: np.ndarray) -> np.ndarray:
    """Patches [..., P] less their mean, divided by their length."""
    centred = flat - flat.mean(-1, keepdims=True)
    length = np.sqrt((centred * centred).sum(-1, keepdims=True))
    return np.asarray(centred / np.maximum(length, 1e-6), np.float32)


def centroids(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of mass x, y and the masses of masks [N, H, W], each [N]."""
    rows, columns = masks.sum(2), masks.sum(1)
    mass = np.maximum(rows.sum(1), 1e-6)
    return columns @ np.arange(columns.shape[1]) / mass, rows @ np.arange(rows.shape[1]) / mass, mass


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
    lanes = min(max(count, 1), 3)
    result = np.zeros((len(MOTIONS), PHASES, frames, 3), np.float32)
    for phase in range(PHASES):
        for index, motion in enumerate(MOTIONS):
            moves = track(motion, frames, lanes, phase / PHASES)
            middle = moves.down - (LEG + 0.85 * RADIUS[lanes]) * moves.size
            result[index, phase] = np.stack([moves.right, middle, np.log(moves.size)], axis=-1)
    return result - result.mean(2, keepdims=True)
