"""Writes a storyboard in our own format; reading it again gives the same board."""

from __future__ import annotations

from typing import Any

import yaml

from .model import Storyboard


class _Dumper(yaml.SafeDumper):
    """Writes lists of numbers on one line: boxes, sizes."""


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    numbers = bool(value) and all(isinstance(item, int | float) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=numbers)


_Dumper.add_representer(list, _list)


def dump_storyboard(board: Storyboard) -> str:
    """`board` as YAML, without what is at its default; ``parse_storyboard(dump_storyboard(board)) == board``."""
    data: dict[str, Any] = {"version": board.version, **board.model_dump(mode="json", exclude_defaults=True)}
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)
