"""From what a language model says to the JSON object in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_THOUGHTS = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_MOST = 200  # objects looked at, so that no reply takes long to read
_MARK = re.compile(r'["{}\[\]\\]')


class NoObject(ValueError):
    """There is no JSON object to be read; the message says why."""


def json_object(reply: str) -> str:
    """The text of the first balanced JSON object in `reply` that holds 'shots', or of the first one at all.

    Fences and talk around it do not matter; what a model thinks aloud (up to </think>) is passed over. Braces in
    strings do not count. Raises NoObject with the reason.
    """
    said = _THOUGHTS.sub("", reply)
    found, fault, unended = [], "", False
    for text in _balanced(said):
        if text is None:
            unended = True
            continue
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            fault = fault or f"it is not JSON: {error.msg[0].lower()}{error.msg[1:]}, line {error.lineno} of the object"
            continue
        except RecursionError:
            fault = fault or "it is nested too deeply"
            continue
        if "shots" in value:
            return text
        found.append(text)
    if unended:  # what was found inside is a part of it
        raise NoObject("the JSON object in it does not end")
    if found:
        return found[0]
    raise NoObject(fault or "there is no JSON object in it")


def _balanced(text: str) -> Iterator[str | None]:
    """Every outermost {…} of `text`, in order; None for one that does not end, which is then looked into."""
    start = text.find("{")
    for _ in range(_MOST):
        if start < 0:
            return
        end = _end(text, start)
        yield None if end is None else text[start:end]
        start = text.find("{", start + 1 if end is None else end)


def _end(text: str, start: int) -> int | None:
    """Behind the brace that closes the one at `start`; None if none does."""
    depth, in_string, at = 0, False, start
    while match := _MARK.search(text, at):
        mark, at = match[0], match.end()
        if in_string:
            if mark == "\\":
                at += 1
            elif mark == '"':
                in_string = False
        elif mark == '"':
            in_string = True
        elif mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 0:
                return at
    return None
