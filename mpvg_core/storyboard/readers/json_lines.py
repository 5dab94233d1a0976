"""JSON as plain data with the line of each part."""

from __future__ import annotations

import json
import re
from typing import Any

from ...errors import InputError, Problem
from ..origin import Path
from ..words import shown

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:\n]|[^\s{}\[\],:"]+')
_DEEPEST_LINE = 6


def load_json(text: str, source: str) -> tuple[Any, dict[Path, int], tuple[Problem, ...]]:
    """(data, line of each part, double keys). Raises `InputError` where the text is not JSON."""
    try:
        data = json.loads(text, parse_int=_integer, parse_constant=_not_a_number)
    except json.JSONDecodeError as error:
        what = f"not JSON, column {error.colno}: {error.msg[0].lower()}{error.msg[1:]}"
        remedy = "check quotes, commas and brackets"
        if text.lstrip().startswith("["):
            remedy = 'write {"shots": […]}, or begin a prompt with a word: what starts with [ is read as JSON'
        raise InputError(Problem(f"{source}:{error.lineno}", what, "", remedy)) from None
    except RecursionError:
        what = "the lists and mappings are nested too deeply"
        raise InputError(Problem(source, what, "", "check the brackets")) from None
    lines, twice = _walk(text, source)
    return data, lines, twice


def _integer(digits: str) -> int | str:
    """An integer of up to 20 digits; a longer one stays text and is refused by name later."""
    return int(digits) if len(digits) <= 21 else digits


def _not_a_number(word: str) -> str:
    return word


def _walk(text: str, source: str) -> tuple[dict[Path, int], tuple[Problem, ...]]:
    """One pass over the tokens of valid JSON: the line of each part, and keys given twice."""
    lines: dict[Path, int] = {}
    problems: list[Problem] = []
    line = 1
    path: list[int | str] = []
    keys: list[set[str] | None] = []  # of each open object; None for a list
    awaiting_key = False

    def note() -> None:
        if len(path) <= _DEEPEST_LINE:
            lines.setdefault(tuple(path), line)

    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
        elif token in "{[":
            note()
            awaiting_key = token == "{"
            keys.append(set() if awaiting_key else None)
            path.append("" if awaiting_key else 0)
        elif token in "}]":
            keys.pop()
            path.pop()
            awaiting_key = False
        elif token == ",":
            if keys[-1] is None:
                path[-1] = int(path[-1]) + 1
            else:
                awaiting_key = True
        elif token == ":":
            awaiting_key = False
        elif awaiting_key:
            key, seen = json.loads(token), keys[-1]
            assert seen is not None
            if key in seen:
                what = f"the key {shown(key)} is given twice"
                problems.append(Problem(f"{source}:{line}", what, "it once", "remove one"))
            path[-1] = len(seen)  # an object's entries count too: cast and places may be written as objects
            note()
            seen.add(key)
            path[-1] = key
            note()
        else:
            note()
    return lines, tuple(problems)
