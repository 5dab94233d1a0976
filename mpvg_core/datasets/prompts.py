"""The two prompts of a transition: with markers, and with nothing but a semicolon between its scenes."""

from __future__ import annotations

import re
import unicodedata

from ..errors import InputError, Problem
from ..storyboard.readers.transition import split_explicit, split_implied
from ..storyboard.words import shown

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_SEMICOLONS = re.compile(r"\s*[;；]+\s*")
_ENDS = " \t.;,。；，、"


def tidy_caption(text: str) -> str:
    """A caption as one line of printable text; '' for one that says nothing."""
    printable = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in text)
    line = " ".join(printable.split()).strip(" \"'“”")
    return line if any(letter.isalnum() for letter in line) else ""


def transition_prompts(before: str, after: str) -> tuple[str, str]:
    """(explicit, implicit) prompt of two captions, as `storyboard/readers/transition.py` reads them:

        Previous scene: a girl by a tree; then next scene: a wood in the evening
        a girl by a tree; a wood in the evening

    and the same in Chinese where a caption is Chinese. Semicolons inside a caption become commas: they divide scenes.
    Source of the forms: TAV (Transition-Aware Video), prompt groups C and B.

    Raises InputError for captions that cannot be told apart again, as one that itself says "next scene:".
    """
    chinese = bool(_HAN.search(before + after))
    comma, mark = ("，", "；") if chinese else (", ", "; ")
    first, second = (_SEMICOLONS.sub(comma, tidy_caption(text)).strip(_ENDS) for text in (before, after))
    explicit = f"前一场景：{first}；然后下一场景：{second}"
    if not chinese:
        explicit = f"Previous scene: {first}; then next scene: {second}"
    implicit = f"{first}{mark}{second}"
    if split_explicit(explicit) != (first, second) or split_implied(implicit) != (first, second):
        what = f"{shown(before)} and {shown(after)} make no prompt of two scenes"
        raise InputError(Problem("captions", what, "two sentences without words such as 'next scene:'"))
    return explicit, implicit
