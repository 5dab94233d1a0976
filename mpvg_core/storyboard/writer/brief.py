"""What a storyboard is to be written about, and for whom."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError, Problem
from ..model import MAX_SEED, MAX_SHOTS
from ..plan import ModelLimits

LONGEST_IDEA = 4000
"""Characters."""


@dataclass(frozen=True)
class Brief:
    """An idea and what is asked of its storyboard. Raises InputError for all that makes no sense, at once.

    shots: how many, None = as the story needs. layout: with boxes that say where everyone is. seed: another seed, other
    choices, and the board's own seed. limits: of the model that shall film it, None = any; the board then keeps to its
    lengths, prompts and words.
    """

    idea: str
    shots: int | None = None
    layout: bool = False
    seed: int = 0
    limits: ModelLimits | None = None

    def __post_init__(self) -> None:
        problems = []
        idea = " ".join(self.idea.split())
        if not idea:
            problems.append(Problem("idea", "it is empty", "a sentence or two", 'mpvg write "a fox finds the sea"'))
        elif len(idea) > LONGEST_IDEA:
            problems.append(Problem("idea", f"it has {len(idea)} characters", f"at most {LONGEST_IDEA}", "shorten it"))
        elif not idea.isprintable():
            problems.append(Problem("idea", "it holds control characters", "printable text", "remove them"))
        if self.shots is not None and not 1 <= self.shots <= MAX_SHOTS:
            problems.append(Problem("--shots", f"{self.shots}", f"a number from 1 to {MAX_SHOTS}"))
        if not 0 <= self.seed <= MAX_SEED:
            problems.append(Problem("--seed", f"{self.seed}", f"a number from 0 to {MAX_SEED}"))
        if problems:
            raise InputError(problems)
        object.__setattr__(self, "idea", idea)
