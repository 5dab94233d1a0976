"""From films of the toy world to figures: what was asked for, who looks like whom, how much moves; with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .reader import Reading, agreement, paired, read_clip
from .world import Look, Scene


@dataclass(frozen=True)
class Figure:
    """A share or mean with half the width of its 95 % interval and the number of values behind it."""

    mean: float
    interval: float
    n: int

    def __str__(self) -> str:
        return "-" if self.n == 0 else f"{self.mean:.3f} ± {self.interval:.3f}"


def share(values: Iterable[float | bool]) -> Figure:
    """A share of yes and no; its interval is Wilson's, right near 0 and 1 too."""
    array = np.array([float(value) for value in values])
    if not len(array):
        return Figure(math.nan, math.nan, 0)
    mean, count, z = float(array.mean()), len(array), 1.96
    half = z * math.sqrt(mean * (1 - mean) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Figure(round(mean, 4), round(half, 4), count)


def average(values: Iterable[float]) -> Figure:
    """A mean of any numbers; its interval is the normal one."""
    array = np.array(list(values), np.float64)
    if len(array) < 2:
        return Figure(float(array.mean()) if len(array) else math.nan, math.nan, len(array))
    half = 1.96 * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Figure(round(float(array.mean()), 4), round(half, 4), len(array))


@dataclass(frozen=True)
class Shot:
    """A filmed shot and what the reader sees in it."""

    scene: Scene
    reading: Reading
    motion_degree: float


def look_at(scene: Scene, clip: np.ndarray) -> Shot:
    return Shot(scene, read_clip(clip), motion_degree(clip))


def motion_degree(clip: np.ndarray) -> float:
    """How much moves: mean absolute difference of one frame to the next over all pixels and channels, levels of 255.

    A proxy for VBench's dynamic degree, which thresholds optical flow; a still clip has 0.
    """
    return float(np.abs(np.diff(clip.astype(np.float32), axis=0)).mean())


def prompt_figures(shots: Sequence[Shot]) -> dict[str, Figure]:
    """Right place, number of actors (a shot each) and motion (an actor each)."""
    agreed = [agreement(shot.reading, shot.scene) for shot in shots]
    motions = [
        actor is not None and actor.motion == role.motion
        for shot in shots
        for role, actor in paired(shot.reading, shot.scene)
    ]
    return {
        "place": share(bool(found["place"]) for found in agreed),
        "motion": share(motions),
        "count": share(bool(found["count"]) for found in agreed),
    }


def look_of(shot: Shot, index: int) -> Look | None:
    """The look of the actor with this index; None if it cannot be told which actor it is."""
    if len(shot.reading.actors) != len(shot.scene.roles):
        return None
    for role, actor in zip(shot.scene.roles, shot.reading.actors, strict=True):
        if role.index == index:
            return Look(actor.colour, actor.shape)
    return None


def look_figures(pairs: Iterable[tuple[Look | None, Look | None]]) -> dict[str, Figure]:
    """Same colour and same shape over (reference, seen); a seen look that cannot be told counts as wrong.

    A reference that cannot be told leaves the actor out: nobody can say what it should look like.
    """
    known = [(first, seen) for first, seen in pairs if first is not None]
    return {
        "colour": share(seen is not None and seen.colour == first.colour for first, seen in known),
        "shape": share(seen is not None and seen.shape == first.shape for first, seen in known),
    }
