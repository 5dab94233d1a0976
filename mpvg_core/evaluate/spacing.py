"""PySceneDetect's two rules for scenes that would be shorter than a least length, in frames."""

from __future__ import annotations


class Suppress:
    """After a cut, and at the film's beginning, cuts are passed over until the least length is reached."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._last: int | None = None

    def add(self, frame: int, above: bool) -> list[int]:
        """The cuts that are certain after this frame, which is `above` the threshold or not."""
        if self._least <= 0:
            return [frame] if above else []
        if self._last is None:
            self._last = frame
        if not above or frame - self._last < self._least:
            return []
        self._last = frame
        return [frame]


class Merge:
    """Cuts that follow one another too soon are merged into the last of them, if they last for the least length.

    The rule as it is, with its edges: the first cut of a crowd stands; the crowd's last cut is told only when the
    least length has passed after it without another, so never at a film's end; cuts near the film's beginning are
    passed over.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._last: int | None = None  # the last frame above the threshold, at first the film's first
        self._merging_since: int | None = None
        self._any = False

    def add(self, frame: int, above: bool) -> list[int]:
        """The cuts that are certain after this frame, which is `above` the threshold or not."""
        if self._least <= 0:
            return [frame] if above else []
        if self._last is None:
            self._last = frame
        long_enough = frame - self._last >= self._least
        if above:
            self._last = frame
        if self._merging_since is not None:
            if long_enough and not above and self._last - self._merging_since >= self._least:
                self._merging_since = None
                return [self._last]
            return []
        if not above:
            return []
        if long_enough:
            self._any = True
            return [frame]
        if self._any:
            self._merging_since = frame
        return []
