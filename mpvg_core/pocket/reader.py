"""Reads the toy world's pixels back: where a clip plays, who acts in it from left to right, and what each one does.

The reader knows the world, but not the scene, so it measures what a model has drawn. Place: the nearest empty place
under a truncated distance, which minds no actors. Actors: runs of columns with colours of the palette that the place
lacks. Colour: a vote of pixels. Shape: correlation with drawn bodies of many sizes and tilts. Motion: nearest track.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .templates import (
    OTHERS,
    PALETTE,
    PATCH,
    bodies,
    centroids,
    opponent,
    patches,
    places,
    poses,
    sample,
    soften,
    standardised,
    tracks,
    unmix,
)
from .world import COLOURS, MOTIONS, RADIUS, SHAPES, SIZE, Role, Scene

STANDING = "standing"  # neither moves nor waves: no motion of the world's
_DIFFERS = 60.0  # sum of three channels' differences from the place that noise does not reach
_FAVOUR = (
    2.0  # of the palette over outline, eyes and place in squared distance, since blur mixes small bodies with them
)
_SHOWN = 0.25  # share of all coloured pixels in the frames that show an actor: near ones count more than far ones
_LEAST_PIXELS = 12
_WIDEST = 40
_THIN = 2  # columns of little colour within one body; between two bodies are columns of none
_RAISED = (
    0.4  # dark pixels above the right shoulder per pixel of radius: arms alike stay below 0.3, waving ones above 0.5
)
_STILL = 0.3  # pixels that a standing actor's measured track trembles by
_SEEN_PARTS = (1.0, 0.6, 0.3)
_TRACK_WEIGHTS = np.array([1, 1, 12], np.float32)  # pixels that a pixel and a unit of log size count for in a track


@dataclass(frozen=True)
class ActorReading:
    """One actor as seen: the names, its mean place `x` in pixels, and how sure each name is.

    colour_share: share of its coloured pixels that vote for the colour; shape_match: mean correlation with the best
    drawn body, up to 1; track_error: root mean square distance from the motion's track, pixels.
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
    """The pixels unlike the place: t, y, x [N], rgb and place behind [N, 3], palette index or -1, how sure."""

    t: np.ndarray
    y: np.ndarray
    x: np.ndarray
    rgb: np.ndarray
    behind: np.ndarray
    label: np.ndarray
    sure: np.ndarray


def read_clip(clip: np.ndarray) -> Reading:
    """Read a clip, uint8 [T, 64, 64, 3] with T >= 5; raises ValueError for anything else."""
    if not isinstance(clip, np.ndarray) or clip.dtype != np.uint8 or clip.shape[1:] != (SIZE, SIZE, 3) or len(clip) < 5:
        found = f"{clip.dtype} {list(clip.shape)}" if isinstance(clip, np.ndarray) else type(clip).__name__
        raise ValueError(
            f"cannot read {found} as a clip of the toy world; expected uint8 [5 or more, {SIZE}, {SIZE}, 3]"
        )
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
    return _Ink(
        t, y, x, rgb, behind, np.where(nearest < _FAVOUR * other, label, -1), 1 - nearest / (nearest + other + 1)
    )


def _find_actors(ink: _Ink, frames: int) -> np.ndarray:
    """Middles of the actors' columns [T, n]; the number is the largest seen for a good part of the time."""
    painted = ink.label >= 0
    columns = np.zeros((frames, SIZE), np.int64)
    np.add.at(columns, (ink.t[painted], ink.x[painted]), 1)
    found = [_runs(row) for row in columns]
    shown = np.array([len(runs) for runs in found])
    mass = columns.sum(1) / max(columns.sum(), 1)
    count = max(n for n in range(shown.max() + 1) if n == 0 or mass[shown >= n].sum() >= _SHOWN)
    if count == 0:
        return np.zeros((frames, 0))
    anchors = np.flatnonzero(shown == count)
    middles = np.array([found[t] for t in anchors]).T
    return np.stack([np.interp(np.arange(frames), anchors, track) for track in middles], axis=1)


def _runs(row: np.ndarray) -> list[float]:
    """Centres of mass of the runs of coloured columns that can be a body; a star's points hang on by thin ones."""
    active = row >= max(2.0, 0.25 * row.max())
    inside = np.flatnonzero(active)
    for left, right in pairwise(inside):
        if right - left <= _THIN + 1 and row[left + 1 : right].all():
            active[left:right] = True
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
    labels = ink.label[mine]
    votes = np.bincount(labels[labels >= 0], ink.sure[mine][labels >= 0] ** 4, minlength=len(PALETTE))
    colour = int(votes.argmax())
    if (labels == colour).sum() < _LEAST_PIXELS:
        return None
    mine = mine[np.abs(ink.y[mine] - _heights(ink, mine[labels == colour], frames)[ink.t[mine]]) <= PATCH // 2]
    shares = np.zeros((frames, SIZE, SIZE, 2), np.float32)
    shares[ink.t[mine], ink.y[mine], ink.x[mine]] = unmix(PALETTE[colour], ink.rgb[mine], ink.behind[mine])
    x, y, mass = centroids(shares[..., 0])
    raised = _raised_arm(shares[..., 1], x, y, count)
    motion, error = _read_motion(np.stack([x, y, 0.5 * np.log(mass)], axis=-1), mass, count, raised)
    inside = np.clip(np.minimum(x, SIZE - 1 - x) / RADIUS[min(count, 3)], 0.05, 1)  # less of a body cut off by the edge
    shape, match = _read_shape(shares, inside * mass, bodies(min(count, 3), colour), poses(motion, frames))
    share = float(votes[colour] / votes.sum())
    return ActorReading(list(COLOURS)[colour], shape, motion, float(x @ mass / mass.sum()), share, match, error)


def _heights(ink: _Ink, body: np.ndarray, frames: int) -> np.ndarray:
    """Mean y of a body's pixels in each frame [T], interpolated where it is not seen."""
    number = np.bincount(ink.t[body], minlength=frames)
    seen = np.flatnonzero(number)
    height = np.bincount(ink.t[body], ink.y[body], frames)[seen] / number[seen]
    return np.interp(np.arange(frames), seen, height)


def _read_shape(shares: np.ndarray, shown: np.ndarray, drawn: np.ndarray, fits: np.ndarray) -> tuple[str, float]:
    """The shape whose `drawn` bodies [4, K, P] match best, among the poses that `fits` [T, K] allows in each frame.

    shown [T]: how much of the body each frame shows.
    """
    seen = standardised(patches(soften(shares)))
    matches = np.stack([np.where(fits, seen @ body.T, -1).max(1) for body in drawn])  # (4, T)
    weight = shown**2 * np.exp(6 * matches.max(0))  # large and sharp bodies tell more than small and smeared ones
    match = matches @ (weight / weight.sum())
    best = int(match.argmax())
    return SHAPES[best], float(match[best])


def _read_motion(track: np.ndarray, mass: np.ndarray, count: int, raised: float) -> tuple[str, float]:
    """The nearest motion and its distance; frames in which little of the body is seen weigh less.

    Soft pictures damp what swings, so that a track also counts when only a part of it is seen.
    """
    weight = np.clip(2 * mass / mass.max(), 0, 1)[:, None]
    weight = weight / weight.sum()
    scaled = track * _TRACK_WEIGHTS
    scaled = scaled - (scaled * weight).sum(0)
    drawn = tracks(len(track), count) * _TRACK_WEIGHTS  # (6, phases, T, 3)
    drawn = drawn - (drawn * weight).sum(2, keepdims=True)
    errors = np.stack([((scaled - part * drawn) ** 2 * weight).sum((2, 3)).min(1) for part in _SEEN_PARTS]).min(0)
    error = dict(zip(MOTIONS, np.sqrt(errors), strict=True))
    still = error.pop("waving")
    nearest = min(error, key=lambda motion: error[motion])
    if raised >= _RAISED and still < max(1.0, 2 * error[nearest]):
        return "waving", float(still)
    if still < _STILL:
        return STANDING, float(still)
    return nearest, float(error[nearest])


def _raised_arm(outline: np.ndarray, x: np.ndarray, y: np.ndarray, count: int) -> float:
    """How much higher the right arm is than the left one: mean over frames of dark pixels, about 0 for arms alike."""
    radius = RADIUS[min(count, 3)]
    across, along = np.meshgrid(np.arange(0.85, 1.7, 1 / radius) * radius, np.arange(-0.9, 1.1, 1 / radius) * radius)
    side, down = across.ravel(), along.ravel()
    above = np.where(down < 0.1 * radius, 1, -1)
    right, left = (sample(outline, x[:, None] + sign * side, y[:, None] + down) for sign in (1, -1))
    return float(((right - left) @ above).mean() / radius)


def agreement(reading: Reading, scene: Scene) -> dict[str, bool | float]:
    """What of `scene` the reading confirms: place, mirrored, count; colour, shape and motion as shares of the roles.

    Roles are compared with the actors that `paired` gives them; a role without an actor is wrong in all three.
    """
    pairs = paired(reading, scene)
    seen = [(actor, role) for role, actor in pairs if actor is not None]
    total = max(len(pairs), 1)
    return {
        "place": reading.place == scene.place,
        "mirrored": reading.mirrored == scene.mirrored,
        "count": len(reading.actors) == len(scene.roles),
        "colour": sum(actor.colour == role.look.colour for actor, role in seen) / total,
        "shape": sum(actor.shape == role.look.shape for actor, role in seen) / total,
        "motion": sum(actor.motion == role.motion for actor, role in seen) / total,
    }


def paired(reading: Reading, scene: Scene) -> tuple[tuple[Role, ActorReading | None], ...]:
    """Each role with the actor read for it: in their order where the numbers agree.

    Otherwise a role's actor is the one nearest to the middle of the role's lane, if it is within the lane.
    """
    count = len(scene.roles)
    if len(reading.actors) == count:
        return tuple(zip(scene.roles, reading.actors, strict=True))
    lane = SIZE / max(count, 1)
    pairs: list[tuple[Role, ActorReading | None]] = []
    for index, role in enumerate(scene.roles):
        inside = {abs(a.x - lane * (index + 0.5)): a for a in reading.actors if int(a.x // lane) == index}
        pairs.append((role, inside[min(inside)] if inside else None))
    return tuple(pairs)
