"""Writes a storyboard in our own format; reading it again gives the same board."""

from __future__ import annotations

from typing import Any

import yaml

from .model import Storyboard


def dump_storyboard(board: Storyboard) -> str:
    """`board` as YAML, without what is at its default; ``parse_storyboard(dump_storyboard(board)) == board``."""
    data: dict[str, Any] = {"version": board.version, **board.model_dump(mode="json", exclude_defaults=True)}
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=100)
