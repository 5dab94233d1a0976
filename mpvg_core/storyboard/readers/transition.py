"""Transition prompts: several scenes in one sentence, in English and Chinese.

    Previous scene: a girl by a tree; then next scene: a wood in the evening
    前一场景：一个女孩站在树前；然后下一场景：黄昏的树林
    一个女孩站在树前；黄昏的树林

A marker says 'previous' or 'next' and 'scene' (or shot, clip, 幕, 镜头 …) and ends in a colon or comma of either width.
English markers may be mistyped by a letter or two, 'then' and its kin may be missing, and any mark may stand between
scenes. The prompt is a sequence when it starts with a 'previous' marker and a 'next' marker follows; more 'next'
markers give more shots. Source of the pattern: TAV (Transition-Aware Video), appendix B.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache

from ..draft import Draft
from ..origin import Path
from .numbering import without_numbers

_PREVIOUS = ("previous", "prior", "preceding", "former", "earlier", "prev", "first", "last")
_NEXT = ("next", "following", "subsequent", "second", "third", "fourth", "fifth", "later", "nxt")
_SCENE = ("scene", "shot", "clip", "scenario", "scence", "frame", "segment", "part")

_ENGLISH = re.compile(
    r"(?:\b(?:(?:and|but)\s+)?(?:then|thn|than|afterwards?|after\s+that|followed\s+by|now|finally)?\b[\s,，]*(?:the\s+)?)"
    r"\b([A-Za-z]{3,12})[\s_-]+([A-Za-z]{3,10})\s*(?:(?:is|shows)\b\s*[:：]?|[:：,，–—-])",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    r"(?:(?:然[后後]|接[着著]|接下[来來]|[随隨][后後]|之[后後]|[紧緊]接[着著]|[继繼]而|而[后後]|最[后後]|再|[转轉]到|[切換换]到)[,，、\s]*)?"
    r"(?:(?P<before>之前|先前|此前|以前|前面|上面|前|上|第一)|(?P<after>接下[来來]|[随隨][后後]|之[后後]|[后後][续續]|[后後]面|下面|下|[后後]|第[二三四五六七八九十]))"
    r"(?:一|1)?[个個]?的?(?:那[个個])?(?:场景|場景|场|場|幕|[镜鏡][头頭]|[画畫]面|[镜鏡]|片段|段落|段|景|分[镜鏡])\s*(?:[是为為]\s*[:：]?|[:：,，])"
)
_BETWEEN = " \t\n;；,，、/|-–—>→\"'“”‘’「」"
_CLAUSES = re.compile(r"[;；]")


def split_explicit(text: str) -> tuple[str, ...]:
    """The scenes of a prompt with markers; () if it is no such prompt."""
    marks = [(m.start(), m.end(), "previous" if m["before"] else "next") for m in _CHINESE.finditer(text)]
    for match in _ENGLISH.finditer(text):
        role = _role(match[1], match[2])
        if role:
            marks.append((match.start(), match.end(), role))
    marks.sort()
    roles = [role for _, _, role in marks]
    if len(marks) < 2 or roles[0] != "previous" or set(roles[1:]) != {"next"} or text[: marks[0][0]].strip(_BETWEEN):
        return ()
    ends = [start for start, _, _ in marks[1:]] + [len(text)]
    scenes = tuple(text[end:stop].strip(_BETWEEN) for (_, end, _), stop in zip(marks, ends, strict=True))
    return () if any("\n" in scene for scene in scenes) else scenes  # more lines than scenes: a list of prompts


def split_implied(text: str) -> tuple[str, ...]:
    """The clauses of a one-line prompt joined by semicolons of either width; () if there is only one."""
    if "\n" in text.strip():
        return ()
    clauses = tuple(clause.strip() for clause in _CLAUSES.split(text.strip()) if clause.strip())
    return without_numbers(clauses) if len(clauses) > 1 else ()


def is_transition(text: str) -> bool:
    """Whether `text` is one transition prompt."""
    return bool(split_explicit(text) or split_implied(text))


def read_transition(text: str, source: str) -> Draft:
    """The draft of a transition prompt; a sentence with a single scene is one shot."""
    scenes = split_explicit(text) or split_implied(text) or (text,)
    lines: dict[Path, int] = {(): 1}
    position, line = 0, 1
    for index, scene in enumerate(scenes):
        start = max(text.find(scene, position), position)
        line += text.count("\n", position, start)
        lines[("shots", index)] = line
        position = start
    return Draft({"version": 1, "shots": [{"prompt": scene} for scene in scenes]}, lines)


@lru_cache(maxsize=256)
def _role(first: str, second: str) -> str:
    """'previous' or 'next' for a pair of words that reads as a marker, else ''."""
    if _likeness(second, (*_SCENE, *(word + "s" for word in _SCENE))) < 0.75:
        return ""
    before, after = _likeness(first, _PREVIOUS), _likeness(first, _NEXT)
    if max(before, after) < 0.75:
        return ""
    return "previous" if before > after else "next"


def _likeness(word: str, known: tuple[str, ...]) -> float:
    return max(SequenceMatcher(None, word.lower(), candidate).ratio() for candidate in known)
