"""Which frames of a video become a clip: pure arithmetic on the times of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..evaluate.cuts import Scenes, Segment
from ..storyboard.lengths import longest_length
from .settings import SHORTEST, ClipSettings

_STEP = SHORTEST - 1
_LITTLE = 1e-4  # seconds: containers round times


@dataclass(frozen=True)
class Chosen:
    """A clip's frames as numbers of the video's frames, in order; a number stands twice where the video is slower.

    cut: the clip's first frame behind the cut; None for a clip of one scene. start, stop: seconds in the video.
    """

    frames: tuple[int, ...]
    start: float
    stop: float
    cut: int | None = None


def parts_between(scenes: Scenes) -> tuple[Segment, ...]:
    """The scenes of a video, without the frames of fades between them; of a fade nothing is in any scene."""
    return tuple(part for part in _parts(scenes) if part.end > part.start)


def sides_of_first_cut(scenes: Scenes) -> tuple[Segment, ...]:
    """The scenes before and behind the first hard cut, up to fades and other cuts; all of the video if it has none."""
    for number, cut in enumerate(scenes.cuts):
        if cut.kind == "cut":
            return _parts(scenes)[number : number + 2]
    times = scenes.times
    return (Segment(0, len(times), float(times[0]), scenes.segments[-1].end_time),)


def _parts(scenes: Scenes) -> tuple[Segment, ...]:
    """One part more than there are changes; a part between two fades may be empty."""
    times = [*scenes.times.tolist(), scenes.segments[-1].end_time]
    starts = [0, *(cut.frame for cut in scenes.cuts)]
    ends = [*(cut.frame - cut.extent for cut in scenes.cuts), len(scenes.times)]
    pairs = [(start, max(start, end)) for start, end in zip(starts, ends, strict=True)]
    return tuple(Segment(start, end, times[start], times[end]) for start, end in pairs)


def choose_scene(times: NDArray[np.float64], span: Segment, settings: ClipSettings) -> Chosen | str:
    """The middle of a scene, as long as may be; or why there is no clip: 'too short' or 'too long'."""
    seconds = span.end_time - span.start_time
    if settings.max_scene is not None and seconds > settings.max_scene + _LITTLE:
        return "too long"
    there = _count(seconds, settings.fps)
    if seconds < settings.min_scene - _LITTLE or there < SHORTEST:
        return "too short"
    count = longest_length(min(there, settings.frames), _STEP)
    start = span.start_time + (there - count) // 2 / settings.fps
    moments = start + np.arange(count) / settings.fps
    return Chosen(_shown(times, moments, span), start, start + count / settings.fps)


def choose_transition(
    times: NDArray[np.float64], before: Segment, after: Segment, settings: ClipSettings
) -> Chosen | str:
    """As much of two neighbouring scenes as lies within half the longest clip of their cut; or 'too short'.

    The cut falls on a frame of the clip exactly: frames lie at cut + k / fps.
    """
    half = settings.frames // 2
    cut = after.start_time
    least = max(1, _count(settings.min_scene, settings.fps))
    # The frame at cut - k / fps belongs to the scene before for k = 1 ... as long as the scene has begun.
    earlier = min(half, int((cut - before.start_time + _LITTLE) * settings.fps))
    later = min(half + 1, _count(after.end_time - cut, settings.fps))
    if min(earlier, later) < least or earlier + later < SHORTEST:
        return "too short"
    surplus = earlier + later - longest_length(earlier + later, _STEP)
    for _ in range(surplus):
        if earlier >= later:
            earlier -= 1
        else:
            later -= 1
    if min(earlier, later) < least:
        return "too short"
    ahead = _shown(times, cut - np.arange(earlier, 0, -1) / settings.fps, before)
    behind = _shown(times, cut + np.arange(later) / settings.fps, after)
    return Chosen((*ahead, *behind), cut - earlier / settings.fps, cut + later / settings.fps, cut=earlier)


def _count(seconds: float, fps: int) -> int:
    """How many moments 0, 1 / fps, 2 / fps … lie before `seconds`."""
    return max(0, int(np.ceil((seconds - _LITTLE) * fps)))


def _shown(times: NDArray[np.float64], moments: NDArray[np.float64], span: Segment) -> tuple[int, ...]:
    """For each moment the number of the frame that is on the screen, never one of another scene."""
    numbers = np.searchsorted(times, moments + _LITTLE, side="right") - 1
    return tuple(int(number) for number in np.clip(numbers, span.start, span.end - 1))
