"""Our own format, as YAML or JSON: the keys of `Storyboard`, and nothing else. A board without a version is version 1.

version: 1
title: Four shots
style: Watercolour, soft light.
cast: {Mia: a girl in a red coat}
shots:
  - A prompt alone is a shot.
  - {name: chase, prompt: Mia runs., seconds: 2, transition: crossfade}
"""

from __future__ import annotations

from typing import Any

from ...errors import InputError, Problem
from ..draft import Draft
from ..origin import Path
from ..words import shown
from .json_lines import load_json
from .storymem import draft_storymem, is_storymem
from .yaml_nodes import load_yaml


def read_yaml(text: str, source: str) -> Draft:
    """The draft of a board in YAML."""
    return _draft(*load_yaml(text, source), source)


def read_json(text: str, source: str) -> Draft:
    """The draft of a board in JSON: our own keys, or StoryMem's (a list 'scenes' and no 'shots')."""
    data, lines, problems = load_json(text, source)
    if is_storymem(data):
        return draft_storymem(data, lines, problems, source)
    return _draft(data, lines, problems, source)


def _draft(data: Any, lines: dict[Path, int], problems: tuple[Problem, ...], source: str) -> Draft:
    if not isinstance(data, dict):
        expected = "keys and values, among them a list 'shots'"
        remedy = "put 'shots' before the list" if isinstance(data, list) else ""
        raise InputError((*problems, Problem(f"{source}:1", f"the storyboard is {shown(data)}", expected, remedy)))
    return Draft(data, lines, problems)
