"""Shots named by the artist in a line: by number, by range, or by name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import InputError, Problem


def chosen_shots(text: str, names: Sequence[str], option: str) -> list[int]:
    """The numbers (from 1, sorted) that `text` chooses: "3", "2,5-7", "chase", "1,the chase". Names hold no comma.

    Raises InputError, for all parts at once, when a part is neither a number of a shot nor a shot's name.
    """
    chosen: set[int] = set()
    problems = []
    for part in (part.strip() for part in text.split(",")):
        span = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", part, re.ASCII)
        if part in names:
            chosen.update(number for number, name in enumerate(names, start=1) if name == part)
        elif span and 1 <= int(span[1]) <= int(span[2] or span[1]) <= len(names):
            chosen.update(range(int(span[1]), int(span[2] or span[1]) + 1))
        else:
            expected = f"a number from 1 to {len(names)}, or a name"
            problems.append(Problem(option, f"there is no shot {part!r}", expected))
    if problems:
        raise InputError(problems)
    return sorted(chosen)
