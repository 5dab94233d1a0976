"""What a sudden or a gradual change is: a cut, a flash, fast motion, a fade.

A frame's score alone does not tell a cut from a flash or from a pan. What follows and what came before does, and a
picture of 16 x 16 block means shows it: grain is averaged away there, motion is small, a new scene is not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .dips import Dips

GRID = 16  # blocks of a thumbnail each way

Thumbnail = NDArray[np.float32]  # [GRID * GRID * 3] in 0..255

_LENGTHS = (2, 3, 4, 6, 8, 11, 16, 22, 32, 45, 64, 90, 128)  # frames of a gradual change that are tried
_LONGEST, _SHORTEST = 2.5, 0.19  # seconds of a gradual change
_SHORT = 8  # frames that are tried whatever the rate, also where no times are known
_SEEN = 128 + 64 + 8  # frames that are remembered
_NEARLY = 1.001  # all lengths are looked at together first, a thousandth less strictly than one by one
_CHANGE = 12.0  # of 255: the least mean change of a fade
_STRAIGHT = 0.22  # how far from the straight line between its ends a fade may stray, as a part of their distance
_FEW = 3  # frames; so few lie on a line by chance, and have to do so better and to change more
_FEW_CHANGE, _FEW_STRAIGHT = 24.0, 0.12
_AT_ONCE, _SETTLED, _SETTLING = 0.55, 0.1, 0.02  # see `_is_smeared`
_STILL = 0.35  # how much may change beside a fade, as a part of its own change
_BLACK = 40.0  # of 255: no block of a black picture is brighter
_FLASH_SECONDS, _FLASH_FRAMES = 0.15, 2
_RETURNED = 0.35  # a flash is over when this part of its change is left
_STANDS_OUT, _SCORES_OUT = 1.6, 1.4  # times the change, and the score, of the frames around it
_AROUND = 3  # frames each way
_HELD = 0.5  # of a frame's change: one next to it that changes less shows a picture that is held


def thumbnail(frame: NDArray[np.uint8]) -> Thumbnail:
    """Block means of a picture uint8 [H, W, 3]; large pictures are looked at through a sieve of 128 pixels or more."""
    step = max(1, max(frame.shape[:2]) // 128)
    small: NDArray[np.float32] = frame[::step, ::step].astype(np.float32)
    for axis in (0, 1):
        if small.shape[axis] < GRID:
            small = small.repeat(-(-GRID // small.shape[axis]), axis=axis)
    height, width = small.shape[:2]
    rows, columns = _blocks(height), _blocks(width)
    # Sums of bytes, so exact whatever the order in which a product of matrices takes them.
    sums = columns @ (rows @ small.reshape(height, -1)).reshape(GRID, width, 3)
    pixels = rows.sum(axis=1)[:, None] * columns.sum(axis=1)
    return (sums / pixels[..., None]).ravel()


@cache
def _blocks(size: int) -> NDArray[np.float32]:
    """Which of `size` pixels belong to which block: 1 or 0, [GRID, size]."""
    edges = np.arange(GRID + 1)[:, None] * size // GRID
    pixels = np.arange(size)
    return ((edges[:-1] <= pixels) & (pixels < edges[1:])).astype(np.float32)


@dataclass(frozen=True)
class Change:
    """Frames `start` to `end` (exclusive) lie between two scenes; `start == end` where one follows the other at once.
    `end` is the first frame of the new scene alone."""

    start: int
    end: int


@dataclass(frozen=True)
class _Seen:
    time: float
    picture: Thumbnail
    step: float  # mean change from the frame before
    score: float
    above: bool


@dataclass(frozen=True)
class _Fade:
    start: int
    end: int
    quality: float
    from_black: bool
    to_black: bool


class Events:
    """Sorts changes into cuts and fades; flashes and fast motion are neither. Looks ahead, so it answers late.

    Nothing is added to the frames whose score is above the threshold: cuts are chosen among them.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._frames: deque[_Seen] = deque(maxlen=_SEEN)
        self._pictures = np.empty((2 * _SEEN, GRID * GRID * 3), np.float32)  # theirs, the newest at `_filled` - 1
        self._filled = 0
        self._count = 0
        self._open: list[int] = []  # frames above the threshold that are not judged yet
        self._fades: list[_Fade] = []
        self._dips = Dips()
        self._last_cut = 0

    def add(self, frame: NDArray[np.uint8], time: float, score: float, above: bool) -> list[Change]:
        """The changes that are certain after this frame, whose `score` is `above` the threshold or not."""
        picture = thumbnail(frame)
        step = _apart(picture, self._frames[-1].picture) if self._frames else 0.0
        if self._filled == len(self._pictures):
            self._pictures[:_SEEN] = self._pictures[_SEEN:]
            self._filled = _SEEN
        self._pictures[self._filled] = picture
        self._filled += 1
        self._frames.append(_Seen(time, picture, step, score, above))
        self._count += 1
        if above:
            self._open.append(self._count - 1)
        if (dip := self._dips.add(picture)) and self._at(dip.end).time - self._at(dip.start).time >= _SHORTEST:
            self._keep(_Fade(dip.start, dip.end, dip.change, from_black=False, to_black=False))
        self._look_for_fades()
        return self._settle(final=False)

    def finish(self) -> list[Change]:
        """The changes that were still open at the film's end."""
        self._look_for_fades(final=True)
        return self._settle(final=True)

    def _at(self, number: int) -> _Seen:
        return self._frames[number - self._count + len(self._frames)]

    @property
    def _first(self) -> int:
        return self._count - len(self._frames)

    # ---------------------------------------------------------------------------------------------------------- fades

    def _look_for_fades(self, final: bool = False) -> None:
        now = self._count - 1
        spans = []
        for length in _LENGTHS:
            beside = max(2, length // 2)
            for end in range(max(now - beside, 1), now + 1) if final else (now - beside,):
                start = end - length
                if start < self._first or (length > _SHORT and self._at(end).time - self._at(start).time > _LONGEST):
                    continue
                spans.append((start, end))
        for start, end in self._possible(spans):
            fade = self._fade(start, end, max(2, (end - start) // 2))
            if fade is not None:
                self._keep(fade)

    def _possible(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those spans that change enough and whose middle lies about on the line between their ends."""
        if not spans:
            return []
        starts, ends = np.array(spans).T
        a, b, middle = (self._pictures[at - self._count + self._filled] for at in (starts, ends, (starts + ends) // 2))
        few = ends - starts <= _FEW
        way, passed = b - a, middle - a
        change = np.abs(way).mean(axis=1)
        square = np.einsum("ij,ij->i", way, way)
        share = np.einsum("ij,ij->i", passed, way) / np.maximum(square, 1e-9)
        stray = np.abs(passed - share[:, None] * way).mean(axis=1)
        possible = change * _NEARLY >= np.where(few, _FEW_CHANGE, _CHANGE)
        possible &= stray <= _NEARLY * np.where(few, _FEW_STRAIGHT, _STRAIGHT) * change
        return [span for span, one in zip(spans, possible, strict=True) if one]

    def _fade(self, start: int, end: int, beside: int) -> _Fade | None:
        """The fade between the pictures of two frames, or None if there is none between them.

        In a fade every picture is a mixture (1 − x) A + x B of those at its ends, x grows from 0 to 1 in small steps,
        and A and B last (or are black). In a pan the pictures are no such mixtures, or the change goes on beside it.
        """
        a, b = self._at(start).picture, self._at(end).picture
        change = _apart(a, b)
        few = end - start <= _FEW
        straight = (_FEW_STRAIGHT if few else _STRAIGHT) * change
        if change < (_FEW_CHANGE if few else _CHANGE):
            return None
        middle = self._at((start + end) // 2).picture
        way = b - a
        square = float(way @ way)
        share = float((middle - a) @ way) / square
        if not 0.05 < share < 0.95 or _apart(middle, a + share * way) > straight:
            return None
        dark_before, dark_after = a.max() < _BLACK, b.max() < _BLACK
        now, first = self._count - 1, self._first
        if not dark_before and _apart(self._at(max(start - beside, first)).picture, a) > _STILL * change:
            return None
        if not dark_after and _apart(self._at(min(end + beside, now)).picture, b) > _STILL * change:
            return None
        inner = np.stack([self._at(number).picture for number in range(start, end + 1)]) - a
        shares = inner @ way / square
        strays = np.abs(inner - shares[:, None] * way).mean(axis=1)
        steps = np.diff(shares)
        if strays.max() > straight or steps.max() > (0.75 if end - start < 6 else 0.5) or steps.min() < -0.1:
            return None
        moving = np.flatnonzero((shares > 0.03) & (shares < 0.97))
        if not len(moving) or _is_smeared(shares):
            return None
        start, end = start + int(moving[0]), start + int(moving[-1]) + 1
        if self._at(end).time - self._at(start).time < _SHORTEST:
            return None
        return _Fade(
            start,
            end,
            change - float(strays.mean()),
            bool(dark_before),
            bool(dark_after),
        )

    def _keep(self, fade: _Fade) -> None:
        """Keep the best of those that overlap."""
        rivals = [other for other in self._fades if fade.start < other.end and other.start < fade.end]
        if all(fade.quality > other.quality for other in rivals):
            self._fades = [*(other for other in self._fades if other not in rivals), fade]

    # ----------------------------------------------------------------------------------------------------------- cuts

    def _settle(self, *, final: bool) -> list[Change]:
        changes = []
        while self._open and (final or self._seen_enough(self._open[0])):
            number = self._open.pop(0)
            if self._is_cut(number):
                changes.append(Change(number, number))
                self._last_cut = number
        edge = self._open[0] if self._open else self._count
        while fades := sorted(self._fades, key=lambda fade: fade.start):
            through_black = len(fades) > 1 and fades[0].to_black and fades[1].from_black
            together = fades[: 2 if through_black and fades[1].start - fades[0].end <= _SHORT else 1]
            end = together[-1].end
            if not final and not (end < edge and self._seen_enough(end)):
                break
            for fade in together:
                self._fades.remove(fade)
            changes.append(Change(together[0].start, end))
        return changes

    def _seen_enough(self, number: int) -> bool:
        after = self._count - 1 - number
        seconds = self._frames[-1].time - self._at(max(number, self._first)).time
        return after >= _SEEN - 40 or (after > 1.5 * _SHORT and seconds > 1.5 * _LONGEST)

    def _is_cut(self, number: int) -> bool:
        if any(fade.start <= number <= fade.end for fade in self._fades):
            return False
        if number - self._last_cut < self._least:
            return False
        return not self._is_flash(number) and self._stands_out(number)

    def _is_flash(self, number: int) -> bool:
        """Whether the picture is soon again what it was before, or was so a moment ago."""
        now, first = self._count - 1, self._first
        for begin in range(max(number - _AROUND * 4, first + 1), number + 1):
            if not self._at(begin).above:
                continue
            before, lit = self._at(begin - 1), self._at(begin)
            for end in range(max(begin + 1, number), min(begin + _AROUND * 4, now) + 1):
                after = self._at(end)
                if after.time - lit.time > _FLASH_SECONDS and end - begin > _FLASH_FRAMES:
                    break
                if after.above and _apart(before.picture, after.picture) < _RETURNED * min(lit.step, after.step):
                    return True
        return False

    def _stands_out(self, number: int) -> bool:
        """Whether the frame changes more than those around it, which keep changing under fast motion and grain."""
        this = self._at(number)
        around = [*self._beside(number, -1), *self._beside(number, 1)]
        if not around:
            return True
        step, score = (float(np.median([getattr(seen, what) for seen in around])) for what in ("step", "score"))
        return this.step > _STANDS_OUT * step and this.score > _SCORES_OUT * score

    def _beside(self, number: int, way: int) -> list[_Seen]:
        """The frames next to one, three before (`way` = -1) or after it; of held pictures, as where a film has more
        frames a second than pictures, those that bring a new one."""
        last = self._count - 1 if way > 0 else max(self._first + 1, 1)
        reach = _AROUND * _AROUND
        frames = [self._at(other) for other in range(number + way, last + way, way)[:reach]]
        new = [at for at, seen in enumerate(frames) if seen.step > _HELD * self._at(number).step][:_AROUND]
        ends = [len(frames)] if new and len(new) < _AROUND and len(frames) < reach else []  # the film's own
        enough = len(new) == _AROUND or bool(ends)
        held = enough and all(b - a <= _AROUND for a, b in pairwise([-1, *new, *ends]))
        return [frames[at] for at in new] if held else frames[:_AROUND]


def _is_smeared(shares: NDArray[np.float64]) -> bool:
    """Whether a change begins with most of its way and ends in ever smaller steps: a cut that a model's decoder, which
    sees several frames together, smears over the next ones. A fade goes on evenly."""
    steps = np.diff(shares)
    largest = int(steps.argmax())
    begins = steps[largest] > _AT_ONCE and shares[largest] < _SETTLED
    return bool(begins and (np.diff(steps[largest:]) <= _SETTLING).all())


def _apart(one: Thumbnail, other: Thumbnail) -> float:
    return float(np.abs(one - other).mean())
