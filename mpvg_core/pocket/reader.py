"""Reads the toy world's pixels back: where a clip plays, who acts in it from left to right, and what each one does.

The reader knows the world, but not the scene, so it measures what a model has drawn. Place: the nearest empty place under a
truncated distance, which minds no actors. Actors: columns with colours of the palette that the place does not have. Colour:
a vote of pixels. Shape: correlation of the coloured body with drawn bodies at any scale and tilt. Motion: the nearest track.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .templates import (
    INK,
    OTHERS,
    PALETTE,
    PATCH,
    bodies,
    opponent,
    places,
    sample,
    share_of,
    standardised,
    tracks,
)
from .world import COLOURS, MOTIONS, SHAPES, SIZE, Role, Scene

STANDING = "standing"  # neither moves nor waves: no motion of the world's
_DIFFERS = 60.0  # sum of three channels' differences from the place that noise does not reach
_LEAST_PIXELS = 12
_WIDEST = 40
_SIZE_WEIGHT = 12.0  # pixels that one unit of log size counts for in a track


@dataclass(frozen=True)
class ActorReading:
    """One actor as seen: the names, its mean place `x` in pixels, and how sure each name is.

    colour_share: share of its coloured pixels that vote for the colour; shape_match: mean correlation with the best drawn
    body, up to 1; track_error: root mean square distance from the motion's track, pixels.
    """

    colour: str
    shape: str
    motion: str
    x: float
    colour_share: float
    shape_match: float
    track_error: float


@dataclass(frozen=True)
class Reading:
    """A clip as seen; actors from left to right, the order in which prompts name them. No actors found: empty."""

    place: str
    mirrored: bool
    actors: tuple[ActorReading, ...]


@dataclass(frozen=True)
class _Ink:
    """The pixels that differ from the place: indices t, y, x [N], rgb [N, 3], the place behind [N, 3], label [N] or -1."""

    t: np.ndarray
    y: np.ndarray
    x: np.ndarray
    rgb: np.ndarray
    behind: np.ndarray
    label: np.ndarray


def read_clip(clip: np.ndarray) -> Reading:
    """Read a clip, uint8 [T, 64, 64, 3] with T >= 5; raises ValueError for anything else."""
    if not isinstance(clip, np.ndarray) or clip.dtype != np.uint8 or clip.shape[1:] != (SIZE, SIZE, 3) or len(clip) < 5:
        found = f"{clip.dtype} {list(clip.shape)}" if isinstance(clip, np.ndarray) else type(clip).__name__
        raise ValueError(f"cannot read {found} as a clip of the toy world; expected uint8 [5 or more, {SIZE}, {SIZE}, 3]")
    frames = clip.astype(np.float32)
    (place, mirrored), empty, tint = _find_place(frames)
    ink = _find_ink(frames - tint, empty)
    centres = _find_actors(ink, len(frames))
    readings = (_read_actor(ink, centres, index) for index in range(centres.shape[1]))
    actors = sorted((actor for actor in readings if actor), key=lambda actor: actor.x)
    return Reading(place, mirrored, tuple(actors))


def _find_place(frames: np.ndarray) -> tuple[tuple[str, bool], np.ndarray, np.ndarray]:
    """The place's name and picture, and the clip's tint against it [3]."""
    names, pictures = places()
    few = frames[:: max(1, len(frames) // 4), ::2, ::2]
    moved = few[None] - pictures[:, None, ::2, ::2]  # (12, n, 32, 32, 3)
    tints = np.clip(np.median(moved.reshape(len(names), -1, 3), axis=1), -30, 30)
    moved -= tints[:, None, None, None]
    distance = np.minimum(np.abs(moved).sum(-1), 120).mean((1, 2, 3))
    best = int(distance.argmin())
    return names[best], pictures[best], tints[best]


def _find_ink(frames: np.ndarray, empty: np.ndarray) -> _Ink:
    t, y, x = np.nonzero(np.abs(frames - empty).sum(-1) > _DIFFERS)
    rgb, behind = frames[t, y, x], empty[y, x]
    seen, candidates = opponent(rgb), opponent(np.concatenate([PALETTE, OTHERS]))
    distance = ((seen[:, None] - candidates) ** 2).sum(-1)
    label = distance[:, : len(PALETTE)].argmin(1)
    nearest = distance[np.arange(len(label)), label]
    other = np.minimum(distance[:, len(PALETTE) :].min(1, initial=np.inf), ((seen - opponent(behind)) ** 2).sum(-1))
    return _Ink(t, y, x, rgb, behind, np.where(nearest < other, label, -1))


def _find_actors(ink: _Ink, frames: int) -> np.ndarray:
    """Middles of the actors' columns [T, n]; the number is the one that most frames show."""
    painted = ink.label >= 0
    columns = np.zeros((frames, SIZE), np.int64)
    np.add.at(columns, (ink.t[painted], ink.x[painted]), 1)
    found = [_runs(row) for row in columns]
    count = int(np.bincount([len(runs) for runs in found]).argmax())
    shown = [t for t, runs in enumerate(found) if len(runs) == count]
    return np.stack(
        [np.interp(np.arange(frames), shown, [found[t][i] for t in shown]) for i in range(count)] or [[]] * 0, axis=1
    ) if count else np.zeros((frames, 0))


def _runs(row: np.ndarray) -> list[float]:
    """Centres of mass of the runs of coloured columns that can be a body."""
    active = row >= 2
    active[1:-1] |= active[:-2] & active[2:]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    runs = [(int(start), int(end), int(row[start:end].sum())) for start, end in edges.reshape(-1, 2)]
    largest = max((mass for _, _, mass in runs), default=0)
    return [
        float(row[start:end] @ np.arange(start, end)) / mass
        for start, end, mass in runs
        if mass >= max(_LEAST_PIXELS, 0.12 * largest) and 3 <= end - start <= _WIDEST
    ]


def _read_actor(ink: _Ink, centres: np.ndarray, index: int) -> ActorReading | None:
    frames, count = centres.shape
    owner = np.abs(ink.x[:, None] - centres[ink.t]).argmin(1)
    mine = np.flatnonzero((owner == index) & (np.abs(ink.x - centres[ink.t, index]) <= PATCH // 2))
    votes = np.bincount(ink.label[mine][ink.label[mine] >= 0], minlength=len(PALETTE))
    colour = int(votes.argmax())
    body = mine[ink.label[mine] == colour]
    if len(body) < _LEAST_PIXELS:
        return None
    height = np.bincount(ink.t[body], ink.y[body], frames) / np.maximum(np.bincount(ink.t[body], minlength=frames), 1)
    seen = np.unique(ink.t[body])
    height = np.interp(np.arange(frames), seen, height[seen])
    mine = mine[np.abs(ink.y[mine] - height[ink.t[mine]]) <= PATCH // 2]
    mask = np.zeros((frames, SIZE, SIZE), np.float32)
    mask[ink.t[mine], ink.y[mine], ink.x[mine]] = share_of(PALETTE[colour], ink.rgb[mine], ink.behind[mine])
    mass = np.maximum(mask.sum((1, 2)), 1e-6)
    x = mask.sum(1) @ np.arange(SIZE) / mass
    y = mask.sum(2) @ np.arange(SIZE) / mass
    shape, match = _read_shape(mask, x, y, mass)
    motion, error = _read_motion(np.stack([x, y, 0.5 * np.log(mass)], axis=-1), mass, count)
    if motion == "waving" and _raised_arm(ink, centres, index, x, y, mass) < 0.0:
        motion = STANDING
    share = float(votes[colour] / votes.sum())
    return ActorReading(list(COLOURS)[colour], shape, motion, float(x.mean()), share, match, error)


def _read_shape(mask: np.ndarray, x: np.ndarray, y: np.ndarray, mass: np.ndarray) -> tuple[str, float]:
    offsets = np.arange(PATCH, dtype=np.float32) - PATCH // 2
    du, dv = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
    patches = standardised(sample(mask, x[:, None] + du, y[:, None] + dv))
    matches = np.stack([(patches @ drawn.T).max(1) for drawn in bodies()])  # (4, T)
    match = matches @ (mass / mass.sum())
    best = int(match.argmax())
    return SHAPES[best], float(match[best])


def _read_motion(track: np.ndarray, mass: np.ndarray, count: int) -> tuple[str, float]:
    """The nearest motion and its distance; frames in which little of the body is seen weigh less."""
    weight = np.clip(mass / np.median(mass), 0.02, 1)[:, None]
    weight /= weight.sum()
    moved = track - tracks(len(track), count)  # (6, phases, T, 3)
    moved -= (moved * weight).sum(2, keepdims=True)
    error = ((moved * np.array([1, 1, _SIZE_WEIGHT])) ** 2 * weight).sum((2, 3)).min(1)
    best = int(error.argmin())
    return list(MOTIONS)[best], float(np.sqrt(error[best]))


def _raised_arm(ink, centres, index, x, y, mass) -> float:
    return 1.0
