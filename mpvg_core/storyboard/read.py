"""Reads a storyboard, whatever way it is written.

How the format is told, in this order, and the same for the same input always:

1. A file ending in .yaml or .yml is YAML; one ending in .json is JSON.
2. Text that starts with ``{`` is JSON. JSON with 'scenes' and no 'shots' is a StoryMem script, other JSON is our own.
3. Text with one of HoloCine's tags (``[global caption]``, ``[per shot caption]``, ``[shot cut]``) is HoloCine's; a list
   of JSON is read as JSON, which says what is missing (``[Mia] runs.`` is a prompt).
4. Text with a line that starts with ``shots:`` or ``version:`` is our own YAML.
5. A text that is one transition prompt - 'Previous scene: …; next scene: …', or a single line of clauses joined by
   semicolons - is that.
6. All else is plain text: a shot a line, or blocks between lines of ``---``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import InputError, Problem
from .decode import MAX_BYTES, decode
from .draft import Draft, finish
from .model import Storyboard
from .readers.holocine import is_holocine, read_holocine
from .readers.own import read_json, read_yaml
from .readers.plain import read_plain
from .readers.storymem import read_storymem
from .readers.transition import is_transition, read_transition
from .spelling import did_you_mean

READERS: Mapping[str, Callable[[str, str], Draft]] = {
    "yaml": read_yaml,
    "json": read_json,
    "text": read_plain,
    "transition": read_transition,
    "storymem": read_storymem,
    "holocine": read_holocine,
}
"""Each format's name and reader."""

_JSON_LIST = re.compile(r"""\s*\[\s*(?:[{\["\]\d-]|$)""")
_OWN_KEY = re.compile(r"^(?:shots|version)\s*:", re.MULTILINE)


def read_storyboard(path: str | Path) -> Storyboard:
    """The storyboard in a file. Raises `InputError` with every problem found."""
    source = str(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        remedy = "name the storyboard in it" if isinstance(error, IsADirectoryError) else "check the path"
        raise InputError(Problem(source, f"cannot be read ({reason})", "a storyboard file", remedy)) from None
    return parse_storyboard(data, source)


def parse_storyboard(data: str | bytes, source: str = "<text>", format: str | None = None) -> Storyboard:
    """The storyboard in `data`; `source` names it in problems, `format` is one of `READERS` (None: `tell_format`).

    Raises `InputError` with every problem found.
    """
    text = decode(data, source)
    if format is not None and format not in READERS:
        remedy = did_you_mean(format, READERS, "")
        raise InputError(Problem(source, f"there is no format '{format}'", "one of " + ", ".join(READERS), remedy))
    return finish(READERS[format or tell_format(text, source)](text, source), source)


def tell_format(text: str, source: str = "<text>") -> str:
    """The name of the format of `text`, by the rules at the top of this file."""
    ending = source.lower().rpartition(".")[2]
    if ending in ("yaml", "yml"):
        return "yaml"
    if ending == "json" or text.lstrip().startswith("{"):
        return "json"
    if is_holocine(text):
        return "holocine"
    if _JSON_LIST.match(text):
        return "json"
    if _OWN_KEY.search(text):
        return "yaml"
    if is_transition(text):
        return "transition"
    return "text"
