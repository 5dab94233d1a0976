"""What only shows when the parts of a storyboard are seen together: names used twice, memories of later shots, boxes of
nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from .origin import Path
from .spelling import did_you_mean
from .words import shown


class ShotOutline(NamedTuple):
    """What of a shot refers to other parts; `placed`: the entity of each line of its layout; `built_on`: the shots that
    its methods name."""

    name: str
    looks_back: Any
    transition: Any
    prompt: str = ""
    placed: tuple[str, ...] = ()
    built_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outline:
    """What refers to each other: of each shot, and the names of cast and places."""

    shots: tuple[ShotOutline, ...]
    cast: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Conflict:
    """One disagreement between parts, at `path`."""

    path: Path
    what: str
    expected: str = ""
    remedy: str = ""


def outline_of(data: dict[str, Any]) -> Outline:
    """The outline of a board that may be broken elsewhere: parts that cannot be read are left out of the comparison."""
    shots = data.get("shots")
    rows: list[ShotOutline] = []
    for number, shot in enumerate(shots if isinstance(shots, list | tuple) else (), start=1):
        spec = shot if isinstance(shot, dict) else {}
        name = spec.get("name")
        name = " ".join(name.split()) if isinstance(name, str) and name.strip() else f"shot {number}"
        prompt = spec.get("prompt")
        prompt = prompt if isinstance(prompt, str) else ""
        placed = tuple(_entities(spec.get("layout"))) if prompt else ()
        built_on = tuple(_method_shots(spec.get("method")))
        rows.append(ShotOutline(name, spec.get("looks_back"), spec.get("transition"), prompt, placed, built_on))
    return Outline(tuple(rows), tuple(_names(data.get("cast"))), tuple(_names(data.get("places"))))


def _names(value: Any) -> Iterator[str]:
    """The names of a list of actors or places; '' holds the place of one that cannot be read."""
    if isinstance(value, dict):
        yield from (" ".join(key.split()) for key in value if isinstance(key, str))
    elif isinstance(value, list | tuple):
        for item in value:
            name = item.get("name") if isinstance(item, dict) else None
            yield " ".join(name.split()) if isinstance(name, str) else ""


def _entities(value: Any) -> Iterator[str]:
    """The entity of each line of a layout; '' holds the place of one that cannot be read."""
    for line in value if isinstance(value, list | tuple) else ():
        entity = line.get("entity") if isinstance(line, dict) else None
        yield " ".join(entity.split()) if isinstance(entity, str) else ""


def _method_shots(value: Any) -> Iterator[str]:
    """The shots that a shot's methods name, as far as they can be read."""
    for settings in value.values() if isinstance(value, dict) else ():
        name = settings.get("shot") if isinstance(settings, dict) else None
        if isinstance(name, str):
            yield " ".join(name.split())


def find_conflicts(outline: Outline) -> tuple[Conflict, ...]:
    """Every disagreement: names used twice (letter case aside), memories and methods of no earlier shot, a join to
    nothing, boxes of nobody."""
    return (
        *_same_shot_names(outline),
        *_same_actor_names(outline),
        *_memories(outline),
        *_methods_of_no_shot(outline),
        *_join_to_nothing(outline),
        *_boxes_of_nobody(outline),
    )


def _same_shot_names(outline: Outline) -> Iterator[Conflict]:
    first: dict[str, int] = {}
    for number, shot in enumerate(outline.shots, start=1):
        name = shot.name
        earlier = first.setdefault(name.casefold(), number)
        if earlier != number:
            path = ("shots", number - 1, "name")
            yield Conflict(path, f"the name {shown(name)} is also shot {earlier}'s", "a name of its own", "rename one")


def _same_actor_names(outline: Outline) -> Iterator[Conflict]:
    seen: set[str] = set()
    for part, names in (("cast", outline.cast), ("places", outline.places)):
        for index, name in enumerate(names):
            if name and name.casefold() in seen:
                what = f"the name {shown(name)} is used twice in cast and places"
                yield Conflict((part, index, "name"), what, "a name of its own", "rename one")
            seen.add(name.casefold())


def _memories(outline: Outline) -> Iterator[Conflict]:
    names = [shot.name for shot in outline.shots]
    position = {name: index for index, name in reversed(list(enumerate(names)))}
    for index, shot in enumerate(outline.shots):
        looks_back = shot.looks_back
        for wanted in looks_back if isinstance(looks_back, list | tuple) else ():
            if not isinstance(wanted, str):
                continue
            found = position.get(" ".join(wanted.split()))
            if found is not None and found < index:
                continue
            fault = "which is no shot" if found is None else "which is not earlier"
            what = f"looks_back names {shown(wanted)}, {fault}"
            earlier = [*dict.fromkeys(names[:index])]
            expected = f"one of {_few(earlier)}" if earlier else "none: the first shot has nothing to look back on"
            yield Conflict(("shots", index, "looks_back"), what, expected, did_you_mean(wanted, earlier, "remove it"))


def _methods_of_no_shot(outline: Outline) -> Iterator[Conflict]:
    names = [shot.name for shot in outline.shots]
    for index, shot in enumerate(outline.shots):
        for wanted in shot.built_on:
            if wanted not in names[:index]:
                fault = "which is not earlier" if wanted in names else "which is no shot"
                expected = f"one of {_few(names[:index])}" if index else "none: the first shot has no earlier one"
                remedy = did_you_mean(wanted, names[:index], "name an earlier shot")
                yield Conflict(("shots", index, "method"), f"method names {shown(wanted)}, {fault}", expected, remedy)


def _join_to_nothing(outline: Outline) -> Iterator[Conflict]:
    verbs = {"crossfade": "fade from", "smooth": "go on from"}
    if outline.shots and (verb := verbs.get(outline.shots[0].transition)):
        what = f"the first shot has nothing to {verb}"
        yield Conflict(("shots", 0, "transition"), what, "transition: cut", "remove its transition")


def _boxes_of_nobody(outline: Outline) -> Iterator[Conflict]:
    known = [name for name in (*outline.cast, *outline.places) if name]
    for index, shot in enumerate(outline.shots):
        prompt = shot.prompt.casefold()
        for line, entity in enumerate(shot.placed):
            if entity and entity not in known and entity.casefold() not in prompt:
                what = f"the layout places {shown(entity)}, whom neither cast, places nor the prompt names"
                expected = f"one of {_few(known)}, or words of the prompt" if known else "words of the prompt"
                remedy = did_you_mean(entity, known, "name it in the prompt")
                yield Conflict(("shots", index, "layout", line, "entity"), what, expected, remedy)


def _few(names: Iterable[str], most: int = 8) -> str:
    listed = list(names)
    return ", ".join(f"'{name}'" for name in listed[-most:]) + (" …" if len(listed) > most else "")
