"""The errors a user meets: each says where, what is wrong, what was expected and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class MPVGError(Exception):
    """Anything that MPVG itself refuses or cannot do; the message is meant to be read by the artist."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input.

    `where` names the file, line and shot (``board.yaml:12: shot 'chase'``) or the option; the other three say what was
    found, what was expected, and what to do about it.
    """

    where: str
    what: str
    expected: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        parts = [self.what]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.remedy:
            parts.append(self.remedy)
        return f"{self.where}: {'; '.join(parts)}"


class InputError(MPVGError):
    """All problems found in an input, together, so that the artist mends them in one go."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("an InputError needs at least one problem")
        super().__init__("\n".join(str(problem) for problem in self.problems))
