"""A storyboard without a language model: parts of a fixed stock, chosen by the idea's words and the seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...errors import InputError, Problem
from ..box import Box
from ..model import Actor, Placement, Shot, Storyboard
from ..plan import plan_film
from .brief import Brief

SHOTS = 4
"""Of a board whose brief names no number."""

_NAMES = (("Robin", "Sam", "Kim"), ("Actor 1", "Actor 2", "Actor 3"))
_LOOKS = (
    "a girl with short black hair, in a yellow raincoat and red boots",
    "a tall old man with a white beard, in a long blue coat",
    "a boy with curly red hair, in a green jumper",
    "a woman with a grey plait, in an orange jacket",
    "a young man with round glasses, in a brown suit",
    "a small fox with a white tip to the tail",
    "a big shaggy dog with one black ear",
    "a little robot of copper with blue lights for eyes",
    *(
        f"a {colour} {shape}"
        for shape in ("circle", "square", "triangle", "star")
        for colour in ("red", "yellow", "green", "blue", "purple", "pink")
    ),
)
_PLACES = (
    "on the beach",
    "in the forest",
    "on the street",
    "on the snow",
    "on the playground",
    "on the moon",
    "at the harbour",
    "in the old library",
    "on a mountain path",
    "in the busy market",
)
_ACTIONS = (
    *("running", "jumping", "waving", "dancing", "skiing", "walking away"),
    *("searching", "laughing", "hiding", "resting", "carrying a lantern", "looking at the sky"),
)
_STYLES = ("Watercolour animation, soft morning light.", "Cinematic, warm evening light, shallow focus.", "")
_FRAMES = ("Wide shot.", "Medium shot.", "Close-up.", "Shot from behind.", "")
_MOVES = {"running": 0.2, "skiing": 0.2}
"""How far an action takes someone through the picture, of its width."""

_Part = TypeVar("_Part")


def write_by_template(brief: Brief) -> Storyboard:
    """A board for the brief: the same for the same idea, seed and model, on every machine, for ever.

    One or two actors first alone, then together; parts that the idea names come first, others by the seed. Where the
    model knows only some words, only parts made of these are used. Raises InputError when it knows too few.
    """
    writing = _Writing(brief)
    board = writing.board()
    if brief.limits is not None:
        plan_film(board, brief.limits)  # prompts too long for it are told here, before anything is written
    return board


class _Writing:
    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        limits = brief.limits
        unknown = limits.unknown_words if limits is not None else None
        self.knows: Callable[[str], bool] = (lambda text: not unknown(text)) if unknown else (lambda text: True)
        closed = limits is not None and bool(limits.known_words)
        # A model of few words means colours and shapes; any other is told people.
        self.names = _NAMES[1] if closed else _NAMES[0]
        self.looks = self._known("looks", [look for look in _LOOKS if closed == (look.count(" ") == 2)])
        self.places = self._known("places", _PLACES)
        self.actions = self._known("actions", _ACTIONS)
        self.styles = self._known("styles", _STYLES)
        self.frames = self._known("frames", _FRAMES)
        self._known("names", self.names)

    def board(self) -> Storyboard:
        count = self.brief.shots or SHOTS
        size = 1 if count == 1 else 2
        looks = _unlike(self._ordered("looks", self.looks))[:size]
        cast = tuple(Actor(name=name, look=look) for name, look in zip(self.names, looks, strict=False))
        places = self._ordered("places", self.places)
        actions = self._ordered("actions", self.actions)
        shots = []
        for index in range(count):
            # Each alone, then together, and so on: what the later shots remember is there before.
            who = [(0,), (1,), (0, 1)][index % 3] if size == 2 else (0,)
            action, place = actions[index // 2 % len(actions)], places[index % min(2, len(places))]
            frame = self._pick(self.frames, "frame", str(index))
            prompt = _prompt([cast[i].name for i in who], action, place, frame)
            layout = _layout([cast[i].name for i in who], action) if self.brief.layout else ()
            shots.append(Shot(name=f"shot {index + 1}", prompt=prompt, layout=layout))
        return Storyboard(
            title=_title(self.brief.idea),
            overview=self.brief.idea,
            style=self._pick(self.styles, "style"),
            cast=cast,
            seed=self.brief.seed,
            shots=tuple(shots),
        )

    def _known(self, what: str, parts: Sequence[str]) -> tuple[str, ...]:
        """The parts whose words the model knows, at least one."""
        found = tuple(part for part in parts if self.knows(part))
        if not found and self.brief.limits is not None:
            model = self.brief.limits.model
            remedy = "let a language model write (--endpoint or --llm), or write the board by hand"
            raise InputError(Problem("--for", f"model '{model}' knows none of the template's {what}", "", remedy))
        return found

    def _ordered(self, what: str, parts: Sequence[str]) -> list[str]:
        """All parts, shuffled; those that share words with the idea come first, the more words the earlier."""
        idea = _words(self.brief.idea)
        return sorted(parts, key=lambda part: (-len(idea & _words(part)), self._dice(what, part)))

    def _pick(self, parts: Sequence[_Part], *what: str) -> _Part:
        return parts[self._dice(*what) % len(parts)]

    def _dice(self, *what: str) -> int:
        text = "\n".join(["mpvg template 1", str(self.brief.seed), self.brief.idea, *what])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _unlike(looks: Sequence[str]) -> list[str]:
    """The first look, then those that share no word with it, then the rest: two of a cast are to be told apart."""
    first = looks[:1]
    taken = _words(" ".join(first))
    return sorted(looks, key=lambda look: look not in first and 1 + bool(taken & _words(look)))


_SMALL = {"a", "an", "and", "at", "for", "in", "of", "on", "the", "to", "with", "one"}


def _words(text: str) -> set[str]:
    """The words that carry meaning, without endings: "running" and "runs" give "run", "dancing" and "dances" "danc"."""
    words = (word for word in _plain(text) if word not in _SMALL)
    return {re.sub(r"(?:nning|ing|es|e|s)$", lambda end: "n" * end[0].startswith("n"), word) for word in words}


def _plain(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _prompt(names: Sequence[str], action: str, place: str, frame: str) -> str:
    verb = "is" if len(names) == 1 else "are"
    sentence = f"{' and '.join(names)} {verb} {action} {place}."
    return f"{sentence} {frame}" if frame else sentence


def _layout(names: Sequence[str], action: str) -> tuple[Placement, ...]:
    """Side by side from the left, in the order of the names; who moves goes to the right within the own part."""
    part = 1 / len(names)
    width = min(0.5, part)
    way = min(_MOVES.get(action, 0.0), part - width)
    lines = []
    for index, name in enumerate(names):
        left = part * index + (part - width - way) / 2
        start, end = (_box(left + shift, width) for shift in (0.0, way))
        lines.append(Placement(entity=name, box=start))
        if end != start:
            lines.append(Placement(entity=name, box=end, at=1.0))
    return tuple(lines)


def _box(left: float, width: float) -> Box:
    return round(left, 4), 0.25, round(width, 4), 0.75


def _title(idea: str) -> str:
    """The idea's first words, as a title."""
    words = idea.rstrip(".!?").split()
    title = " ".join(words[:8]) or "Untitled"
    return title[:1].upper() + title[1:] if len(title) <= 80 else title[:79] + "…"
