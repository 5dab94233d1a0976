"""Who is in a shot and where it is set, as its prompt says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..storyboard.model import Named
from ..storyboard.wording import expand_looks

# "Actor 1", "Robot 12": what can be told from prose without knowing the cast. A number makes a word a name.
_NUMBERED = re.compile(r"\b[A-Z][a-z]+ \d+\b")
_SET = re.compile(r"\b(?:on|in|at|inside|under|by) the ([a-z][a-z-]+)")
_NO_PLACES = {"morning", "evening", "afternoon", "night", "end", "beginning", "middle", "background", "foreground"}


@dataclass(frozen=True)
class Roles:
    """For each shot the actors and places its prompt names; `guessed`: the names were read from the prompts."""

    actors: tuple[tuple[str, ...], ...]
    places: tuple[tuple[str, ...], ...]
    guessed: bool


def roles_of(prompts: Sequence[str], actors: Sequence[str] | None, places: Sequence[str] | None) -> Roles:
    """Which of `actors` and `places` each prompt names, by the storyboard's own rule for the looks of its cast.

    None for either list reads the names from the prompts: for actors a capitalised word and a number ("Actor 1"), for
    places the word after "on the", "in the", "at the" and the like. A film of named people needs its cast told.
    """
    guessed = actors is None or places is None
    if actors is None:
        actors = sorted({name for prompt in prompts for name in _NUMBERED.findall(prompt)})
    if places is None:
        places = sorted({name for prompt in prompts for name in _SET.findall(prompt)} - _NO_PLACES)
    return Roles(
        tuple(_mentioned(prompt, actors) for prompt in prompts),
        tuple(_mentioned(prompt, places) for prompt in prompts),
        guessed,
    )


def _mentioned(prompt: str, names: Sequence[str]) -> tuple[str, ...]:
    return expand_looks(prompt, [Named(name=name) for name in names])[1]
