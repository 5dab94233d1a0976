"""Where a film cuts: the mean change of hue, saturation and value from frame to frame, and what it tells.

V_t = Σ_c w_c D_c / Σ_c |w_c|, D_c = mean |L − R| over the pixels of frame t − 1 and frame t in channel c of HSV; a
frame with V_t ≥ threshold may begin a new scene. These are the scores of PySceneDetect's ContentDetector (without its
optional edges), to the last bit. What becomes of the frames at or above the threshold is the filter's affair.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, Problem
from .events import Change, Events
from .hsv import channel_distances, rgb_to_hsv
from .spacing import Merge, Suppress

Filter = Literal["events", "merge", "suppress"]
Kind = Literal["cut", "fade"]


@dataclass(frozen=True)
class CutSettings:
    """How cuts are found.

    weights: of hue, saturation and value.
    threshold: the V_t from which on a frame begins a new scene.
    min_frames: the least number of frames from one cut to the next, and from the film's beginning to the first.
    circular_hue: measure hue on its circle.
    filter: "events" passes over flashes and fast motion and tells fades from cuts; "merge" and "suppress" are
        ContentDetector's two ways with cuts less than `min_frames` apart ("merge" is its default), cut for cut.

    Raises InputError for values out of range.
    """

    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    threshold: float = 27.0
    min_frames: int = 4
    circular_hue: bool = False
    filter: Filter = "events"

    def __post_init__(self) -> None:
        problems = []
        if len(self.weights) != 3 or not all(np.isfinite(self.weights)) or not any(self.weights):
            expected = "three numbers for hue, saturation and value, not all 0"
            problems.append(Problem("weights", f"{self.weights} cannot weigh", expected))
        if not np.isfinite(self.threshold):
            problems.append(Problem("threshold", f"is {self.threshold}", "a number"))
        if self.min_frames < 0:
            problems.append(Problem("min_frames", f"is {self.min_frames}", "0 or more"))
        if self.filter not in get_args(Filter):
            problems.append(Problem("filter", f"is {self.filter!r}", f"one of {', '.join(get_args(Filter))}"))
        if problems:
            raise InputError(problems)


@dataclass(frozen=True)
class Cut:
    """One change of scene: `frame` is the first frame of the new scene alone, shown at `time` seconds.

    A fade (to or from black, or a dissolve) takes the `extent` frames before it, a cut none. `score` is V_t of the
    frame, for a fade the largest within it.
    """

    frame: int
    time: float
    score: float
    kind: Kind = "cut"
    extent: int = 0


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `end` (exclusive), shown from `start_time` to `end_time` seconds."""

    start: int
    end: int
    start_time: float
    end_time: float


@dataclass(frozen=True)
class Scenes:
    """What was found in a film: V_t of every frame (float32 [T], V_0 = 0), its times (float64 [T], s), its cuts."""

    scores: NDArray[np.float32]
    times: NDArray[np.float64]
    cuts: tuple[Cut, ...]
    settings: CutSettings

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The scenes between hard cuts, one more than there are such cuts; none for a film without frames."""
        frames = len(self.times)
        if not frames:
            return ()
        ends = [*(cut.frame for cut in self.cuts if cut.kind == "cut"), frames]
        starts = [0, *ends[:-1]]
        times = [*self.times.tolist(), self._end()]
        return tuple(Segment(start, end, times[start], times[end]) for start, end in zip(starts, ends, strict=True))

    def _end(self) -> float:
        """When the last frame ends: shown as long as the one before it."""
        times = self.times
        return float(2 * times[-1] - times[-2]) if len(times) > 1 else float(times[-1])


def find_scenes(
    frames: Iterable[NDArray[np.uint8]],
    settings: CutSettings | None = None,
    *,
    fps: float | None = None,
    times: Iterable[float] | None = None,
) -> Scenes:
    """Find the cuts of a film given frame by frame, uint8 [H, W, 3] RGB; all it keeps are two frames and thumbnails.

    times: of the frames, in seconds; or fps, frames a second of a steady rate (the default is 1: times are numbers).

    Raises InputError for frames of changing size or type, and for settings that are none.
    """
    finder = CutFinder(settings or CutSettings())
    clock = iter(times) if times is not None else (number / (fps or 1.0) for number in count())
    for number, frame in enumerate(frames):
        if (time := next(clock, None)) is None:
            raise InputError(Problem("times", f"has {number} entries", "one for every frame"))
        finder.add(frame, time)
    return finder.scenes()


class CutFinder:
    """Finds cuts while frames arrive: `add` each, then ask for the `scenes`."""

    def __init__(self, settings: CutSettings) -> None:
        self.settings = settings
        self._weights = [float(weight) for weight in settings.weights]
        self._scale = sum(abs(weight) for weight in self._weights)
        self._scores, self._times = array("d"), array("d")
        self._before: NDArray[np.uint8] | None = None
        self._cuts: list[Cut] = []
        self._events = Events(settings.min_frames) if settings.filter == "events" else None
        self._spacing = (Suppress if settings.filter == "suppress" else Merge)(settings.min_frames)

    def add(self, frame: NDArray[np.uint8], time: float) -> None:
        number = len(self._scores)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            found = f"has shape {list(frame.shape)} of {frame.dtype}"
            raise InputError(Problem(f"frame {number}", found, "uint8 [height, width, 3]"))
        hsv = rgb_to_hsv(frame)
        if self._before is not None and hsv.shape != self._before.shape:
            sizes = [f"{shape[2]}x{shape[1]}" for shape in (hsv.shape, self._before.shape)]
            raise InputError(Problem(f"frame {number}", f"is {sizes[0]}", f"{sizes[1]} as the frame before"))
        score = 0.0 if self._before is None else self._score(self._before, hsv)
        self._before = hsv
        self._scores.append(score)
        self._times.append(time)
        above = score >= self.settings.threshold
        if self._events is None:
            for cut in self._spacing.add(number, above):
                self._note(cut, cut)
        else:
            self._note_all(self._events.add(frame, time, score, above))

    @property
    def certain(self) -> tuple[Cut, ...]:
        """The cuts that are certain by now; later frames may tell of more, also of earlier ones."""
        return tuple(sorted(self._cuts, key=lambda cut: cut.frame))

    def scenes(self) -> Scenes:
        """All that was found; no frame can be added after it."""
        if self._events is not None:
            self._note_all(self._events.finish())
        times = np.array(self._times, np.float64)
        return Scenes(np.array(self._scores, np.float32), times, self.certain, self.settings)

    def _note_all(self, changes: list[Change]) -> None:
        for change in changes:
            self._note(change.start, change.end)

    def _note(self, start: int, frame: int) -> None:
        score = max(self._scores[start : frame + 1])
        self._cuts.append(Cut(frame, self._times[frame], score, "fade" if start < frame else "cut", frame - start))

    def _score(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
        distances = channel_distances(left, right, circular_hue=self.settings.circular_hue)
        return sum(apart * weight for apart, weight in zip(distances, self._weights, strict=True)) / self._scale
