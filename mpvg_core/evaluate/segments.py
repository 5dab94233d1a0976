"""Does a model cut when its prompt wants a cut? Segments of clips, counted by group of prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from .cuts import CutSettings, Scenes, find_scenes

# Segments found by the authors of TAV (Transition-Aware Video) before and after post-training, for prompts of one
# sentence and for explicit ones of two scenes.
PUBLISHED: Mapping[str, tuple[float, float]] = {"A": (1.18, 2.38), "C": (1.12, 2.90)}


@dataclass(frozen=True)
class Counted:
    """A clip's segments: how many were found, how many its prompt wants, and the seed it was made from."""

    found: int
    wanted: int
    seed: int


@dataclass(frozen=True)
class SegmentFigures:
    """The segments of a group of clips.

    mean: average number found, by which TAV compares groups; a clip cut twice and one never cut even out in it.
    interval: half its 95 % interval over clips. error: mean |n - wanted|, in which nothing evens out. exact: share of
    clips with n = wanted. spread: standard deviation of the seeds' means (0 for one seed). n: clips.
    """

    mean: float
    interval: float
    wanted: float
    error: float
    exact: float
    spread: float
    n: int


def count_segments(clip: Iterable[NDArray[np.uint8]], settings: CutSettings | None = None) -> Scenes:
    """The scenes of a generated clip, frames uint8 [H, W, 3]. See `cuts.find_scenes`; `len(scenes.segments)` counts.

    The least length between cuts is short by default (4 frames): PySceneDetect's own (15) hides cuts in a clip of 17
    to 49 frames.
    """
    return find_scenes(clip, settings or CutSettings())


def segment_figures(counts: Sequence[Counted]) -> SegmentFigures:
    """Figures of one group. Raises ValueError for no clips."""
    if not counts:
        raise ValueError("no clips were counted")
    by_seed: dict[int, list[int]] = {}
    for one in counts:
        by_seed.setdefault(one.seed, []).append(one.found)
    means = [fmean(found) for found in by_seed.values()]
    found = [one.found for one in counts]
    return SegmentFigures(
        mean=fmean(found),
        interval=1.96 * stdev(found) / len(found) ** 0.5 if len(found) > 1 else 0.0,
        wanted=fmean(one.wanted for one in counts),
        error=fmean(abs(one.found - one.wanted) for one in counts),
        exact=fmean(one.found == one.wanted for one in counts),
        spread=stdev(means) if len(means) > 1 else 0.0,
        n=len(counts),
    )
