"""A shot's full prompt: the looks of the cast and the style said in every shot in the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .model import Named, Storyboard

_WIDE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_ENDS = tuple(".!?…。！？；;:：,，")


@dataclass(frozen=True)
class Wording:
    """The full prompt, the same without the style, whom of cast and places it names, names in another case."""

    text: str
    without_style: str
    mentioned: tuple[str, ...]
    miswritten: tuple[tuple[str, str], ...]


def full_prompt(board: Storyboard, prompt: str) -> Wording:
    """`prompt` with 'Name (look)' at the first mention of each of cast and places, and the style at its end."""
    people: tuple[Named, ...] = (*board.cast, *board.places)
    expanded, mentioned = expand_looks(prompt, people)
    absent = [person for person in people if person.name not in mentioned]
    return Wording(
        text=with_style(expanded, board.style),
        without_style=expanded,
        mentioned=mentioned,
        miswritten=tuple(_miswritten(prompt, absent)),
    )


def expand_looks(prompt: str, people: Sequence[Named]) -> tuple[str, tuple[str, ...]]:
    """(`prompt` with each look in brackets after its name's first mention, names mentioned).

    Longer names win over names that they hold. A name that starts in lower case may start a sentence. A look is never
    searched for names.
    """
    looks: dict[str, tuple[str, str]] = {}
    for person in people:
        looks[person.name] = (person.name, person.look)
        if person.name[0].islower():
            looks.setdefault(person.name[0].upper() + person.name[1:], (person.name, person.look))
    if not looks:
        return prompt, ()
    mentioned: dict[str, None] = {}

    def say(match: re.Match[str]) -> str:
        name, look = looks[match[0]]
        if name in mentioned or not look:
            mentioned[name] = None
            return match[0]
        mentioned[name] = None
        return f"{match[0]}（{look}）" if _WIDE.search(match[0]) else f"{match[0]} ({look})"

    longest_first = sorted(looks, key=len, reverse=True)
    return re.sub("|".join(map(_whole_word, longest_first)), say, prompt), tuple(mentioned)


def with_style(text: str, style: str) -> str:
    """`text` and `style` as two sentences."""
    if not style:
        return text
    if text.endswith(_ENDS):
        end = ""
    else:
        end = "。" if _WIDE.search(text[-1]) else "."
    return f"{text}{end}{'' if _WIDE.search(text[-1]) else ' '}{style}"


def _whole_word(name: str) -> str:
    """A pattern for `name` that is not part of a longer word; Chinese and Japanese write no spaces between words."""
    before = after = ""
    if name[0].isalnum() and not _WIDE.match(name[0]):
        before = rf"(?:(?<![^\W_])|(?<={_WIDE.pattern}))"
    if name[-1].isalnum() and not _WIDE.match(name[-1]):
        after = rf"(?:(?![^\W_])|(?={_WIDE.pattern}))"
    return before + re.escape(name) + after


def _miswritten(prompt: str, absent: Sequence[Named]) -> list[tuple[str, str]]:
    """(as written, as in the cast) for names that appear in `prompt` in another letter case only."""
    found = ((re.search(_whole_word(person.name), prompt, re.IGNORECASE), person) for person in absent if person.look)
    return [(match[0], person.name) for match, person in found if match]
