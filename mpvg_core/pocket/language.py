"""How the toy world's scenes are told: prompts, paraphrases, and the words that the pocket model knows."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from .world import COLOURS, MOTIONS, NAMES, PLACES, SHAPES, Role, Scene

MAX_TOKENS = 40

_FILLERS = """
a an the and with of in on at to is are we see here there now then again still who it he she they
video scene shot clip film picture small little big charming cute happy bright toy world cartoon style flat colours
colors color colour soft light day night clean simple actor actors one two three four five six seven eight nine
"""
# No training scene is told with these; they are there for what a later training teaches.
_RESERVED = """
previous next first second last before after later finally meanwhile suddenly cut cuts transition change changes
left right middle top bottom up down near far slowly fast smooth same other
"""
_PUNCTUATION = ". , ; : ( ) ! ' - \" 0 1 2 3 4 5 6 7 8 9"


def vocabulary() -> list[str]:
    """Every word and sign the pocket model knows, in a fixed order: its index is the token id less the specials."""
    words = _PUNCTUATION.split() + _FILLERS.split()
    for motion in MOTIONS.values():
        words += " ".join(motion).split()
    for phrase in PLACES.values():
        words += phrase.split()
    words += [*COLOURS, *SHAPES, "run", "ski", "jump", "wave", "walk", "dance"]
    words += _RESERVED.split()
    return list(dict.fromkeys(words))


def tell(
    scene: Scene, rng: np.random.Generator, *, told: bool = False, plain: bool = False, cast_first: bool = False
) -> str:
    """A prompt for `scene`, paraphrased by `rng`; `plain` keeps to the wording of the method's authors.

    With `told` the looks stand in brackets behind the names, as a storyboard's cast puts them there; with `cast_first`
    in sentences before the action, in any order, so that only the actor's number says whose look it is.
    """
    names = [_name(role, told and not cast_first) for role in scene.roles]
    action = _action(scene, names, rng, plain)
    if not (told and cast_first):
        return action
    order = rng.permutation(len(scene.roles))
    return " ".join([*(f"{NAMES[scene.roles[i].index]} is {scene.roles[i].look}." for i in order), action])


def _action(scene: Scene, names: Sequence[str], rng: np.random.Generator, plain: bool) -> str:
    place = PLACES[scene.place]
    motions = [MOTIONS[role.motion] for role in scene.roles]
    if len(set(motions)) > 1:
        acts = " and ".join(f"{n} is {m[0]}" for n, m in zip(names, motions, strict=True))
        return _sentence(f"{acts} {place}" if plain or rng.random() < 0.7 else f"{place}, {acts}")
    who = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "is" if len(names) == 1 else "are"
    progressive, simple = motions[0]
    forms = [
        f"{who} {verb} {progressive} {place}",
        f"{place}, {who} {verb} {progressive}",
        f"we see {who} {progressive} {place}",
        f"a video of {who} {progressive} {place}",
        f"{who} {progressive} {place}",
    ]
    if len(names) == 1:
        forms.append(f"{who} {simple} {place}")
    form = 0 if plain or rng.random() < 0.5 else int(rng.integers(len(forms)))
    return _sentence(forms[form])


def _name(role: Role, told: bool) -> str:
    return f"{NAMES[role.index]} ({role.look})" if told else NAMES[role.index]


def _sentence(text: str) -> str:
    return re.sub(r"^.", lambda first: first.group().upper(), text) + "."


def actor_of_token(pieces: Sequence[str]) -> list[int]:
    """For each piece of a tokenised prompt the actor it speaks of: "actor", its number and the look in brackets or
    behind "is a"; else -1."""
    owners = [-1] * len(pieces)
    for start, piece in enumerate(pieces[:-1]):
        if piece == "actor" and pieces[start + 1] in {"1", "2", "3"}:
            end = start + 2
            if end < len(pieces) and pieces[end] == "(":
                end = list(pieces).index(")", end) + 1
            elif list(pieces[end : end + 2]) == ["is", "a"]:
                end = list(pieces).index(".", end) + 1
            owners[start:end] = [int(pieces[start + 1]) - 1] * (end - start)
    return owners


def lane_of_token(pieces: Sequence[str], order: Sequence[int]) -> list[int]:
    """For each piece the place from the left of the actor it speaks of, where the actors stand in this `order`; else
    -1."""
    return [order.index(owner) if owner in order else -1 for owner in actor_of_token(pieces)]


def told_places(plain: Sequence[str], told: Sequence[str]) -> list[int]:
    """For each piece of a prompt the piece of the same prompt *with looks in brackets* that says what it shall show.

    "actor" becomes its colour, its number its shape, every other piece itself; -1 from the prompt's end on.
    """
    places, at = [-1] * len(plain), 0
    for index, piece in enumerate(plain):
        if piece in {"</s>", "<pad>"}:
            break
        if told[at] == "(" != piece:
            at = list(told).index(")", at) + 1
        places[index] = at
        # actor 1 ( a yellow square ): four pieces on from "actor" stands the colour, from the number the shape.
        if list(told[at : at + 3 : 2]) == ["actor", "("] or list(told[max(at - 1, 0) : at + 2 : 2]) == ["actor", "("]:
            places[index] = at + 4
        at += 1
    return places
