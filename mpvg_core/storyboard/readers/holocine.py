"""HoloCine's tagged captions.

    [global caption] … [character1] is a girl in a red coat. … [per shot caption] … [shot cut] … [shot cut] …

Each caption after ``[per shot caption]`` is a shot. ``[character1]`` is written 'Character 1'. A sentence of the global
caption that says who a character is ('[character1] is …', '[character1], a …', '[character1] (…)', '[character1]: …')
gives the look of one of the cast; all its other sentences are the style, except 'This scene contains N shots', which is
checked and left out. Format: HoloCine (arXiv 2510.20822), its prompt templates.
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import Problem
from ..draft import Draft
from ..origin import Path

_TAG = re.compile(r"\[\s*(global\s+captions?|per[\s-]+shot\s+captions?|shot\s+cut)\s*\]", re.IGNORECASE)
_CHARACTER = re.compile(r"\[\s*character[\s_]*([0-9]{1,3})\s*\]", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s*(?=\S)")
_COUNT = re.compile(
    r"\b(?:this|the)\s+(?:scene|video|clip|film)\s+(?:contains|has|consists of)\s+(\w+)\s+shots?\b", re.IGNORECASE
)
_LOOK = re.compile(
    r"\[\s*character[\s_]*(?P<number>[0-9]{1,3})\s*\]\s*"
    r"(?:(?:is|:|：|是)\s*|[,，]\s*(?=(?:an?|the|his|her|their|one|two|wearing|dressed|with)\b)|[(（])"
    r"(?P<look>[^\[]*?)\s*(?=[)）]|[,;，；]?\s*(?:and\s*)?\[\s*character|[.!?。！？;；]?\s*$|[;；])",
    re.IGNORECASE,
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: number for number, word in enumerate(_WORDS)}


def is_holocine(text: str) -> bool:
    """Whether `text` holds one of the format's tags."""
    return bool(_TAG.search(text))


def read_holocine(text: str, source: str) -> Draft:
    """The draft of a tagged caption."""

    def line_at(position: int) -> int:
        return text.count("\n", 0, position) + 1

    problems: list[Problem] = []
    board: dict[str, Any] = {"version": 1}
    lines: dict[Path, int] = {(): 1}
    shots: list[dict[str, Any]] = []
    tags = [(_tag_name(match[1]), match.start(), match.end()) for match in _TAG.finditer(text)]
    if not tags or text[: tags[0][1]].strip():
        expected, remedy = "a tag first", "start with [global caption] or [per shot caption]"
        problems.append(Problem(f"{source}:1", "there is text before the first tag", expected, remedy))
    declared: tuple[int, int] | None = None
    seen: set[str] = set()
    for position, (tag, start, end) in enumerate(tags):
        stop = tags[position + 1][1] if position + 1 < len(tags) else len(text)
        body = text[end:stop].strip().rstrip("|").rstrip()  # some scripts end a shot in a bar
        if tag != "shot cut" and tag in seen:
            problems.append(Problem(f"{source}:{line_at(start)}", f"[{tag}] is given twice", "it once", "remove one"))
            continue
        if tag == "shot cut" and "per shot caption" not in seen:
            what, expected = "[shot cut] comes before [per shot caption]", "[per shot caption] first"
            problems.append(Problem(f"{source}:{line_at(start)}", what, expected, "put it before the first shot"))
        if tag == "global caption" and "per shot caption" in seen:
            what = "[global caption] comes after the shots"
            problems.append(Problem(f"{source}:{line_at(start)}", what, "it first", "move it to the top"))
        seen.add(tag)
        if tag == "global caption":
            lines[("style",)] = lines[("cast",)] = line_at(start)
            count = _read_global(body, board)
            declared = (count, line_at(start)) if count is not None else None
        else:
            lines[("shots", len(shots))] = line_at(start)
            shots.append({"prompt": _named(body)})
    board["shots"] = shots
    if declared and declared[0] != len(shots):
        what = f"the caption says {declared[0]} shots and there are {len(shots)}"
        remedy = "mend the number or a missing [shot cut]"
        problems.append(Problem(f"{source}:{declared[1]}", what, "the same number", remedy))
    return Draft(board, lines, tuple(problems))


def _read_global(caption: str, board: dict[str, Any]) -> int | None:
    """Fills cast and style from the global caption; the number of shots that it declares, if it does."""
    cast: dict[str, str] = {}
    style: list[str] = []
    declared: int | None = None
    for sentence in _SENTENCE.split(" ".join(caption.split())):
        if count := _COUNT.search(sentence):
            word = count[1].lower()
            declared = int(word) if word.isdecimal() else _NUMBERS.get(word)
            continue
        looks = [(m["number"], m["look"].strip(" ,;，；")) for m in _LOOK.finditer(sentence)]
        looks = [(number, look) for number, look in looks if look and f"Character {int(number)}" not in cast]
        cast.update({f"Character {int(number)}": look for number, look in looks})
        if not looks and sentence:
            style.append(_named(sentence))
    board["style"] = " ".join(style)
    board["cast"] = [{"name": name, "look": look} for name, look in cast.items()]
    return declared


def _tag_name(tag: str) -> str:
    """A tag in one spelling: lower case, single spaces, singular."""
    return " ".join(tag.lower().replace("-", " ").split()).rstrip("s")


def _named(text: str) -> str:
    """`text` with ``[character1]`` written as 'Character 1'."""
    return _CHARACTER.sub(lambda match: f"Character {int(match[1])}", text)
