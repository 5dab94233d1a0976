"""Numbers and bullets before shots: layout, and no part of a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKS = (
    re.compile(r"(?:(?:shot|scene|clip)\s+)?[0-9]{1,4}\s*[.):：、]\s*(?=\S)", re.IGNORECASE),
    re.compile(
        r"(?:场景|場景|[镜鏡][头頭]|第)\s*[一二三四五六七八九十0-9]{1,3}\s*"
        r"(?:[个個]?(?:幕|场景|場景|[镜鏡][头頭]))?\s*[:：、]\s*(?=\S)"
    ),
    re.compile(r"[-*•]\s+(?=\S)"),
)


def without_numbers(prompts: Sequence[str]) -> tuple[str, ...]:
    """`prompts` without the number or bullet before each; a mark that not all of them have is left where it is."""
    for mark in _MARKS:
        if prompts and all(mark.match(prompt) for prompt in prompts):
            prompts = [mark.sub("", prompt, count=1) for prompt in prompts]
    return tuple(prompts)
