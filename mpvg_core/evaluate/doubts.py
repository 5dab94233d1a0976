"""When figures say nothing: shots that stand still, are one colour or noise, or are the same clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .shot import ShotFigures, ShotLook

STILL = 3.0
"""Levels of `change` below which a shot stands still; compression of a still picture stays below 2."""
ONE_COLOUR = 2.0
"""Levels of `contrast` below which a picture is one colour."""
NOISE = 0.5
"""Likeness of neighbouring pixels below which a picture is noise."""
SAME = 1.5
"""Mean difference in levels of tiny pictures below which two shots are one clip."""


def mute(shot: ShotFigures) -> str | None:
    """Why a shot's consistency says nothing ("does not move"), or None when it does say something."""
    if shot.contrast < ONE_COLOUR:
        return "is one colour"
    if shot.neighbours < NOISE:
        return "is noise"
    if shot.frames < 2:
        return "is a single frame"
    if shot.change < STILL:
        return "does not move"
    return None


def same_clip(one: ShotLook, other: ShotLook) -> bool:
    """Whether two shots show the same clip: the same picture at every moment that was kept."""
    if len(one.thumbs) != len(other.thumbs):
        return False
    return float(np.abs(one.thumbs.astype(np.int16) - other.thumbs).mean()) < SAME


def telling_pairs(shots: Sequence[ShotFigures], looks: Sequence[ShotLook]) -> list[tuple[int, int]]:
    """The pairs of shots, i < j, whose likeness says something: neither is mute, and they are two clips."""
    able = [index for index, shot in enumerate(shots) if mute(shot) is None]
    return [(i, j) for i in able for j in able if i < j and not same_clip(looks[i], looks[j])]


def doubts(names: Sequence[str], shots: Sequence[ShotFigures], looks: Sequence[ShotLook]) -> tuple[str, ...]:
    """A sentence for each reason to doubt the figures, each naming its shots."""
    said = []
    for what in ("is one colour", "is noise", "is a single frame", "does not move"):
        if found := [name for name, shot in zip(names, shots, strict=True) if mute(shot) == what]:
            left_out = "consistency says nothing there, and they are" if len(found) > 1 else _ONE_LEFT_OUT
            said.append(f"{_listed(found)} {_many(what) if len(found) > 1 else what}: {left_out} left out of the means")
    for group in _groups(looks):
        said.append(f"{_listed([names[i] for i in group])} show the same clip: that they are alike says nothing")
    guessed = [
        name for name, shot in zip(names, shots, strict=True) if shot.found_by == "centre" and mute(shot) is None
    ]
    if guessed:
        what = "the picture moves as a whole, or hardly at all: the subject is taken to be in the middle"
        said.append(f"{_listed(guessed)}: {what}")
    return tuple(said)


_ONE_LEFT_OUT = "consistency says nothing there, and it is"


def _groups(looks: Sequence[ShotLook]) -> list[list[int]]:
    """Indices of shots that show the same clip, two or more together."""
    groups: list[list[int]] = []
    for index, look in enumerate(looks):
        for group in groups:
            if same_clip(looks[group[0]], look):
                group.append(index)
                break
        else:
            groups.append([index])
    return [group for group in groups if len(group) > 1]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _many(what: str) -> str:
    return {
        "is one colour": "are one colour",
        "is noise": "are noise",
        "is a single frame": "are single frames",
        "does not move": "do not move",
    }[what]
