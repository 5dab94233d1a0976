"""Guesses what a mistyped word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str], likeness: float = 0.65) -> str | None:
    """The known word most like `word`, letter case aside; None if none is close.

    likeness: from 0 to 1, `difflib`'s ratio of matching letters.
    """
    by_fold = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(word[:100].casefold(), list(by_fold), n=1, cutoff=likeness)
    return by_fold[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A remedy: the close known word, or `otherwise`."""
    guess = closest(word, known)
    return f"did you mean '{guess}'?" if guess else otherwise
