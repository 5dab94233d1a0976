"""Plain text: a shot a line, or blocks between lines of ``---``.

A line at a time: every line is a shot; empty lines and lines that start with ``#`` are left out; a number or a bullet
before every line is left out too; a line that is a transition prompt with markers gives its scenes. The first lines may
be the board's heads: title, style, negative, seed, fps, size.

Blocks: ``key: value`` heads, then the prompt, on as many lines as it needs.

    title: The chase
    style: Watercolour, soft light.
    ---
    name: start
    seconds: 2
    Mia runs along the beach.
    ---
    Mia rests under a tree.

The first block is the board's if it has no prompt; if it has one, its title, style, fps and size are the board's, the
rest the shot's. A head that is nearly a known key is refused as mistyped, one that stands anywhere else as out of
place, and so are lists and keys of YAML, which this is not; any other 'word: …' begins the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...errors import Problem
from ..draft import Draft
from ..origin import Path
from ..spelling import closest
from ..words import shown
from .numbering import without_numbers
from .transition import split_explicit
from .yaml_nodes import scalar

BOARD_KEYS = ("title", "style", "negative", "seed", "fps", "size")
SHOT_KEYS = ("name", "seconds", "frames", "seed", "transition", "transition_seconds", "looks_back", "negative")
_ONLY_BOARD = tuple(key for key in BOARD_KEYS if key not in SHOT_KEYS)
_NUMBERS = ("seed", "fps", "seconds", "frames", "transition_seconds")

_YAML_KEYS = ("shots", "cast", "places", "prompt", "prompts")

_RULE = re.compile(r"-{3,}")
_HEAD = re.compile(r"([A-Za-z][A-Za-z _-]{0,30}?)\s*[:：]\s*(.*)")
_BULLET = re.compile(r"[-*•]\s+")
_OPENS_LIST = re.compile(r"[A-Za-z_][\w-]*:(?:\s*(?:\[.*\]|\{.*\}))?")

Line = tuple[int, str]


def read_plain(text: str, source: str) -> Draft:
    """The draft of a board in plain text."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if not line.startswith("#")]
    reading = _Reading(source)
    if any(_RULE.fullmatch(line) for _, line in lines):
        reading.blocks(lines)
    else:
        reading.single_lines([(number, line) for number, line in lines if line])
    data = {"version": 1, **reading.board, "shots": reading.shots}
    return Draft(data, reading.lines, tuple(reading.problems))


class _Reading:
    def __init__(self, source: str) -> None:
        self.source = source
        self.board: dict[str, Any] = {}
        self.shots: list[dict[str, Any]] = []
        self.lines: dict[Path, int] = {(): 1}
        self.problems: list[Problem] = []

    def complain(self, line: int, what: str, expected: str = "", remedy: str = "") -> None:
        self.problems.append(Problem(f"{self.source}:{line}", what, expected, remedy))

    def single_lines(self, lines: Sequence[Line]) -> None:
        heads, rest = self._heads(lines, BOARD_KEYS)
        self._set(self.board, (), heads)
        self._refuse_misplaced(rest)
        prompts = without_numbers([line for _, line in rest])
        rest = [(number, prompt) for (number, _), prompt in zip(rest, prompts, strict=True)]
        for number, line in rest:
            for prompt in split_explicit(line) or (line,):
                self._add({"prompt": prompt}, number)

    def blocks(self, lines: Sequence[Line]) -> None:
        blocks: list[list[Line]] = [[]]
        rules = [lines[0][0] if lines else 1]
        for number, line in lines:
            if _RULE.fullmatch(line):
                blocks.append([])
                rules.append(number)
            else:
                blocks[-1].append((number, line))
        filled = [index for index, block in enumerate(blocks) if any(line for _, line in block)]
        for index in range(filled[0], filled[-1] + 1) if filled else ():
            block = [(number, line) for number, line in blocks[index] if line]
            if block:
                self._block(block, first=index == filled[0])
            else:
                self.complain(rules[index], "there is nothing between two lines of ---", "a shot", "remove one of them")

    def _block(self, block: Sequence[Line], *, first: bool) -> None:
        heads, rest = self._heads(block, (*SHOT_KEYS, *_ONLY_BOARD))
        if first and not rest and not any(key in SHOT_KEYS and key not in BOARD_KEYS for key, _, _ in heads):
            self._set(self.board, (), heads)
            return
        for key, _, line in heads:
            if key in _ONLY_BOARD and not first:
                expected = "it in the first block"
                self.complain(line, f"'{key}' is given for a single shot", expected, "move it to the top of the file")
        self._set(self.board, (), [head for head in heads if head[0] in _ONLY_BOARD and first])
        shot: dict[str, Any] = {}
        path = ("shots", len(self.shots))
        self._set(shot, path, [head for head in heads if head[0] in SHOT_KEYS])
        self._refuse_misplaced(rest)
        if rest:
            shot["prompt"] = " ".join(line for _, line in rest)
            self.lines[(*path, "prompt")] = rest[0][0]
        self._add(shot, block[0][0])

    def _add(self, shot: dict[str, Any], line: int) -> None:
        self.lines.setdefault(("shots", len(self.shots)), line)
        self.shots.append(shot)

    def _heads(self, lines: Sequence[Line], keys: Sequence[str]) -> tuple[list[tuple[str, str, int]], list[Line]]:
        """The (key, value, line) heads at the top of `lines`, and the lines after them."""
        heads: list[tuple[str, str, int]] = []
        for index, (number, line) in enumerate(lines):
            match = _HEAD.fullmatch(line)
            key = _key(match[1]) if match else ""
            if match and key in keys:
                heads.append((key, match[2], number))
            elif match and " " not in match[1] and (guess := closest(key, keys, 0.76)):
                what = f"unknown head {shown(match[1])}"
                self.complain(number, what, "one of " + ", ".join(keys), f"did you mean '{guess}'?")
            else:
                return heads, list(lines[index:])
        return heads, []

    def _refuse_misplaced(self, rest: Sequence[Line]) -> None:
        """Complain of lines that would be taken for prompts and were not meant so."""
        for index, (number, line) in enumerate(rest):
            following = rest[index + 1][1] if index + 1 < len(rest) else ""
            match = _HEAD.fullmatch(_BULLET.sub("", line, count=1))
            key = _key(match[1]) if match else ""
            opens_list = _OPENS_LIST.fullmatch(line) and (not line.endswith(":") or _BULLET.match(following))
            if opens_list or key in _YAML_KEYS:
                what = f"{shown(line)} is written as YAML, and this is plain text"
                remedy = "name the list 'shots:' to make it YAML, or write the prompts alone"
                self.complain(number, what, "a prompt", remedy)
            elif key in BOARD_KEYS or key in SHOT_KEYS:
                top, above = "to the top of the file", "above its shot's prompt, in a block between lines of ---"
                places = [*([top] if key in BOARD_KEYS else []), *([above] if key in SHOT_KEYS else [])]
                what = f"'{key}' stands where a prompt is expected"
                self.complain(number, what, "a prompt", f"move it {', or '.join(places)}")

    def _set(self, part: dict[str, Any], path: Path, heads: Sequence[tuple[str, str, int]]) -> None:
        for key, value, line in heads:
            if key in part:
                self.complain(line, f"'{key}' is given twice", "it once", "remove one")
            self.lines[(*path, key)] = line
            part[key] = _value(key, value)


def _key(head: str) -> str:
    return re.sub(r"[\s-]+", "_", head.lower())


def _value(key: str, text: str) -> Any:
    if key in _NUMBERS:
        return scalar(text)
    if key == "looks_back":
        value = scalar(text)
        if isinstance(value, str) and value not in ("all", "none"):
            return [name.strip() for name in value.split(",")]
        return value
    return text
