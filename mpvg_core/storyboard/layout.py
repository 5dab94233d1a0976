"""Where in the picture each of a shot's entities is, and how its box moves through the shot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from .box import Box

Track = tuple[tuple[float, Box], ...]
"""An entity's boxes (time, box) by time, 0 = the shot's first frame, 1 = its last."""


class Placed(Protocol):
    """One line of a layout: an entity, a time, and its box then."""

    @property
    def entity(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def box(self) -> Box: ...


def tracks(layout: Iterable[Placed]) -> Mapping[str, Track]:
    """The track of each entity, in the order in which the layout first names them."""
    found: dict[str, list[tuple[float, Box]]] = {}
    for line in layout:
        found.setdefault(line.entity, []).append((line.at, line.box))
    return {entity: tuple(sorted(track)) for entity, track in found.items()}


def box_at(track: Sequence[tuple[float, Box]], time: float) -> Box:
    """The box at `time`: each of its four numbers goes in a straight line from one given box to the next.

    Before the first and after the last one it stays. Raises ValueError for a track of no boxes.
    """
    if not track:
        raise ValueError("a track has at least one box")
    earlier = [line for line in track if line[0] <= time]
    later = [line for line in track if line[0] > time]
    if not earlier or not later:
        return earlier[-1][1] if earlier else later[0][1]
    (start, first), (end, last) = earlier[-1], later[0]
    along = (time - start) / (end - start)
    x, y, w, h = (a + (b - a) * along for a, b in zip(first, last, strict=True))
    return x, y, w, h
