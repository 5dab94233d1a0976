"""Quick fades through black, which lie on no straight line from scene to scene: one darkens, then the other lightens.

While a scene fades it stays the same picture, c times as bright; two scenes are hardly ever multiples of one another.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LONGEST = 12  # frames each way; longer fades lie on straight lines well enough
_GAP = 2  # steps between the last darkening and the first lightening one: from one scene to the other
_BESIDE = 2  # frames that the new scene has to stay
_DIMMER = 0.97  # the least that a step has to change the brightness
_STEP_STRAY, _GRAIN = 0.2, 1.5  # how far a step may be from a multiple: a part of its change, and of 255
_STRAY = 0.25  # the same from a scene to its darkest picture
_DARK = 0.5  # the darkest picture over the darker of the scenes
_APART = 12.0  # of 255: how much the two scenes differ at least, or it is a lamp that failed for a moment
_STILL = 0.35  # how much may change beside the dip, as a part of its own change

Picture = NDArray[np.float32]  # [n] in 0..255


@dataclass(frozen=True)
class Dip:
    """Frames `start` to `end` (exclusive) lie between the scenes; `change` is how far both are from the dark."""

    start: int
    end: int
    change: float


class Dips:
    """Finds them while pictures arrive."""

    def __init__(self) -> None:
        self._pictures: deque[Picture] = deque(maxlen=2 * _LONGEST + _GAP + 2 * _BESIDE + 2)
        self._steps: deque[int] = deque(maxlen=self._pictures.maxlen)  # -1 darkens, 1 lightens, 0 neither
        self._count = 0

    def add(self, picture: Picture) -> Dip | None:
        """The dip whose new scene began `_BESIDE` frames before this picture, if there is one."""
        self._steps.append(_step(self._pictures[-1], picture) if self._pictures else 0)
        self._pictures.append(picture)
        self._count += 1
        steps = list(self._steps)
        end = len(steps) - 1 - _BESIDE
        if end < 1 or steps[end] != 1 or steps[end + 1] == 1:
            return None
        light = _run(steps, end, 1)
        last = next((at for at in range(light - 1, max(light - 2 - _GAP, 0), -1) if steps[at] == -1), None)
        if last is None:
            return None
        start = _run(steps, last, -1)
        before = start - 1 - _BESIDE
        if before < 0 or max(last - start, end - light) >= _LONGEST or not self._is_dip(start, last, light, end):
            return None
        change = _apart(self._pictures[start - 1], self._pictures[last])
        change += _apart(self._pictures[end], self._pictures[light - 1])
        first = self._count - len(steps)
        return Dip(first + start, first + end, change)

    def _is_dip(self, start: int, last: int, light: int, end: int) -> bool:
        """Whether frames start..last darken one lasting scene, and light..end lighten another."""
        pictures = self._pictures
        one, other = pictures[start - 1], pictures[end]
        dark, darker = pictures[last], pictures[light - 1]
        fall, rise = _apart(one, dark), _apart(other, darker)
        return (
            max(dark.mean(), darker.mean()) <= _DARK * min(one.mean(), other.mean())
            and _apart(one, other) >= _APART
            and _multiple(one, dark)[1] <= _STRAY * fall
            and _multiple(other, darker)[1] <= _STRAY * rise
            and _apart(pictures[start - 1 - _BESIDE], one) <= _STILL * fall
            and _apart(pictures[end + _BESIDE], other) <= _STILL * rise
        )


def _run(steps: list[int], at: int, kind: int) -> int:
    """Where the run of a kind of step begins that holds the step `at`."""
    while at > 1 and steps[at - 1] == kind:
        at -= 1
    return at


def _step(before: Picture, after: Picture) -> int:
    change = _apart(before, after)
    if change < 2 * _GRAIN:
        return 0
    for kind, bright, dim in ((-1, before, after), (1, after, before)):
        factor, stray = _multiple(bright, dim)
        if factor < _DIMMER and stray <= max(_STEP_STRAY * change, _GRAIN):
            return kind
    return 0


def _multiple(bright: Picture, dim: Picture) -> tuple[float, float]:
    """c for which c * bright is nearest to dim, and how far it is from it."""
    factor = float(bright @ dim) / max(float(bright @ bright), 1e-9)
    return factor, float(np.abs(dim - factor * bright).mean())


def _apart(one: Picture, other: Picture) -> float:
    return float(np.abs(one - other).mean())
