"""Shots that flow into one another, and what a shot's methods build on: settled when the film is planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .method import KeepLook, Method, SameBackground, Settings, SharedNoise
from .model import Shot

_OF_THE_FIRST: tuple[type[Settings], ...] = (KeepLook, SharedNoise, SameBackground)


class Joined(Protocol):
    """A shot with its way of joining the one before."""

    @property
    def transition(self) -> str: ...


def continuous_takes(shots: Sequence[Joined]) -> tuple[range, ...]:
    """The indices of shots that are one continuous take: each with transition `smooth` goes on from the one before."""
    starts = [index for index, shot in enumerate(shots) if shot.transition != "smooth" or index == 0]
    return tuple(range(start, end) for start, end in zip(starts, [*starts[1:], len(shots)], strict=True))


def settled_method(shots: Sequence[Shot], take: range, board: Method) -> Method:
    """The methods of a continuous take: those of its first shot and what the board says beyond them.

    A method that leans on the film's first shot names it; the first take, which has nothing to lean on, goes without.
    """
    own = shots[take.start].method.over(board)
    settled: dict[str, Any] = {}
    for name, settings in own.chosen.items():
        if isinstance(settings, _OF_THE_FIRST) and not settings.shots:
            if take.start == 0:
                continue
            settings = settings.model_copy(update={"shot": shots[0].name})
        settled[name] = settings
    return own.model_construct(**settled)
