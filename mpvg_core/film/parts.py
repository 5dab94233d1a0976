"""Continuous takes of several shots: which frames are whose; and the files that methods name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, MPVGError, Problem
from ..storyboard.method import OWN_ADAPTERS
from ..storyboard.plan import FilmPlan
from ..storyboard.words import shot_label


def latent_lengths(frames: Sequence[int], temporal_compression: int) -> tuple[range, ...]:
    """The latent frames of the shots of a take, from the frames each adds: c(F - 1) + 1 of the first, c F of others."""
    found, start = [], 0
    for index, count in enumerate(frames):
        end = start + (1 + (count - 1) // temporal_compression if index == 0 else count // temporal_compression)
        found.append(range(start, end))
        start = end
    return tuple(found)


class Parted:
    """A stream of chunks of frames [n, H, W, 3] that is taken shot by shot."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks, self._left = chunks, None

    def first(self, count: int) -> Iterator[Any]:
        """The next `count` frames, in chunks; fewer where the stream ends."""
        while count:
            chunk = self._left if self._left is not None else next(self._chunks, None)
            if chunk is None:
                return
            own, rest = chunk[:count], chunk[count:]
            self._left = rest if len(rest) else None
            count -= len(own)
            yield own

    def require_end(self) -> None:
        """Raises MPVGError when frames are left."""
        if self._left is not None or next(self._chunks, None) is not None:
            raise MPVGError("the model decoded more frames than were planned")


def found_files(
    plan: FilmPlan, folders: Sequence[Path], companion: Callable[[str], Path | None] = lambda name: None
) -> dict[str, Path]:
    """Where each file lies that methods name: in the first of `folders` that has it, or beside the model, which
    `companion` knows. Adapters by the name that the model's own has are the model's own, where it has one.

    Raises InputError for each shot whose file is missing.
    """
    found, problems = {}, []
    for shot in plan.shots:
        for name in shot.method.files:
            places = [folder / name for folder in folders]
            own = companion(name)
            lying = next((place for place in places if place.is_file()), None)
            path = (own or lying if name in OWN_ADAPTERS else lying or own) or places[0]
            found[name] = path
            if not path.is_file():
                where = shot.where or shot_label(shot.name)
                tried = " or ".join(dict.fromkeys(str(place.parent) for place in places))
                what, remedy = f"the file {name!r} is not in {tried}", "mend its path, or lay it there"
                problems.append(Problem(where, what, remedy=remedy))
    if problems:
        raise InputError(dict.fromkeys(problems))
    return found
