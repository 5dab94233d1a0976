"""The text of a storyboard: tidied once, so that the same words always give the same film."""

from __future__ import annotations

import re
import unicodedata

from pydantic_core import PydanticCustomError


def complaint(what: str, expected: str = "", remedy: str = "") -> PydanticCustomError:
    """A validation error that already speaks in the parts of a `Problem`."""
    return PydanticCustomError("storyboard", "{what}", {"what": what, "expected": expected, "remedy": remedy})


def tidy(text: str) -> str:
    """`text` with every run of white space as one space and none at the ends.

    Raises a validation error for control characters and for halves of characters (lone surrogates), which no tokenizer,
    file name or hash can hold.
    """
    words = " ".join(text.split())
    for character in words:
        category = unicodedata.category(character)
        if category in ("Cc", "Cs"):
            kind = "half a character (a lone surrogate)" if category == "Cs" else "a control character"
            raise complaint(f"the text holds {kind}, U+{ord(character):04X}", "printable text", "remove it")
    return words


def tidy_name(text: str) -> str:
    """A tidied name of 1 to 100 characters."""
    name = tidy(text)
    if not any(character.isalnum() for character in name):
        raise complaint(f"the name {shown(name)} has no letter", "a name with letters or digits")
    if len(name) > 100:
        raise complaint(f"the name has {len(name)} characters", "at most 100", "shorten it")
    return name


def shown(value: object) -> str:
    """`value` as an error message shows it: short, on one line, whatever it is."""
    if isinstance(value, str):
        short = value if len(value) <= 60 else value[:57] + "…"
        return "'" + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short) + "'"
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"


def shot_label(name: str) -> str:
    """How a problem calls a shot: ``shot 2`` for one named by its place, ``shot 'chase'`` for any other."""
    return name if re.fullmatch(r"shot [0-9]+", name) else f"shot {shown(name)}"
