"""Frames of a shot of any length in a fixed amount of memory."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..film.pictures import shrunk

Item = TypeVar("Item")


class EvenSample(Generic[Item]):
    """Keeps items spread evenly over a stream whose length is not known: from `least` + 1 to 2 `least` of them.

    It keeps every s-th item, the first included; whenever it holds more than 2 `least` it drops every second one and
    doubles s. A stream of up to 2 `least` items is kept whole.
    """

    def __init__(self, least: int) -> None:
        if least < 1:
            raise ValueError(f"a sample of at least {least} items")
        self._least = least
        self._step = 1
        self._seen = 0
        self._kept: list[Item] = []

    def add(self, item: Item) -> None:
        """See the next item of the stream."""
        if self._seen % self._step == 0:
            self._kept.append(item)
            if len(self._kept) > 2 * self._least:
                self._kept = self._kept[::2]
                self._step *= 2
        self._seen += 1

    @property
    def items(self) -> list[Item]:
        """What is kept, in the stream's order."""
        return [*self._kept]


def reduced(frame: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """A frame [H, W, 3] made smaller by the mean of whole blocks, until its short side is at most `short_side`."""
    factor = -(-min(frame.shape[:2]) // short_side)
    return shrunk(frame, factor)
