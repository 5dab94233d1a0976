"""Where a film cuts: the mean change of hue, saturation and value from frame to frame, and what it tells.

V_t = Σ_c w_c D_c / Σ_c |w_c|, D_c = mean |L − R| over the pixels of frame t − 1 and frame t in channel c of HSV; a
frame with V_t ≥ threshold begins a new scene. This is PySceneDetect's ContentDetector (without its optional edges),
score for score.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, Problem
from .hsv import channel_distances, rgb_to_hsv
from .spacing import Merge, Suppress

Filter = Literal["merge", "suppress"]


@dataclass(frozen=True)
class CutSettings:
    """How cuts are found.

    weights: of hue, saturation and value.
    threshold: the V_t from which on a frame begins a new scene.
    min_frames: the least number of frames from one cut to the next.
    circular_hue: measure hue on its circle.
    filter: what becomes of cuts that follow one another faster.
    """

    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    threshold: float = 27.0
    min_frames: int = 4
    circular_hue: bool = False
    filter: Filter = "merge"


@dataclass(frozen=True)
class Cut:
    """One change of scene: `frame` is the first frame of the new scene, shown at `time` seconds."""

    frame: int
    time: float
    score: float
    kind: Literal["cut", "fade"] = "cut"


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
    """Find the cuts of a film given frame by frame, uint8 [H, W, 3] RGB; no more than two frames are held.

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
        self._spacing = {"merge": Merge, "suppress": Suppress}[settings.filter](settings.min_frames)
        self._cuts: list[int] = []

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
        self._cuts.extend(self._spacing.add(number, score >= self.settings.threshold))

    def scenes(self) -> Scenes:
        cuts = tuple(Cut(frame, self._times[frame], self._scores[frame]) for frame in self._cuts)
        return Scenes(np.array(self._scores, np.float32), np.array(self._times, np.float64), cuts, self.settings)

    def _score(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
        distances = channel_distances(left, right, circular_hue=self.settings.circular_hue)
        return sum(apart * weight for apart, weight in zip(distances, self._weights, strict=True)) / self._scale
