"""From what a reader found to a `Storyboard`: checks everything, and reports all problems with their lines at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import InputError, Problem
from .crosscheck import Conflict, find_conflicts, outline_of
from .method import METHODS, ON_TAG, Method
from .model import Actor, Place, Placement, Shot, Storyboard
from .origin import Origin, Path
from .spelling import did_you_mean
from .words import shown

MAX_PROBLEMS = 200

_MODELS: Mapping[str, type[BaseModel]] = {"shots": Shot, "cast": Actor, "places": Place}


@dataclass(frozen=True)
class Draft:
    """A board as a reader found it: data in the shape of `Storyboard`, the line of each part, and what was wrong."""

    data: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def finish(draft: Draft, source: str) -> Storyboard:
    """The board of `draft`; one without a title is called after its file.

    Raises `InputError` with every problem (of more than `MAX_PROBLEMS` the first ones and the count), by line.
    """
    origin = Origin(source, draft.lines)
    found: list[tuple[Path, Problem]] = [((), problem) for problem in draft.problems]
    try:
        board = Storyboard.model_validate(draft.data)
    except ValidationError as error:
        conflicts: dict[Conflict, None] = dict.fromkeys(find_conflicts(outline_of(draft.data)))
        for detail in error.errors(include_url=False):
            if detail["type"] == "conflicts":
                conflicts.update(dict.fromkeys(detail["ctx"]["conflicts"]))
            else:
                path = tuple(part for part in detail["loc"] if part != ON_TAG)
                found.append((path, _problem({**detail, "loc": path}, origin, draft.data)))
        for c in conflicts:
            where = origin.where(c.path, _label(c.path, draft.data))
            found.append((c.path, Problem(where, c.what, c.expected, c.remedy)))
    if found:
        found.sort(key=lambda pair: origin.line(pair[0]) or 0)
        problems = list(dict.fromkeys(problem for _, problem in found))
        if (more := len(problems) - MAX_PROBLEMS) > 0:
            rest = Problem(source, f"there are {more} more problems", remedy="mend these first")
            problems = [*problems[:MAX_PROBLEMS], rest]
        raise InputError(problems)
    if not board.title:
        board = board.model_copy(update={"title": _title_from(source)})
    return board.written_at(origin)


def _title_from(source: str) -> str:
    stem = "" if source.startswith("<") else PurePath(source).stem
    title = " ".join("".join(c if c.isprintable() else " " for c in stem.replace("_", " ")).split())
    return title or "Untitled"


def _label(path: Path, data: dict[str, Any]) -> str:
    """How a problem calls the part: ``shot 'chase'``, ``shot 2``, ``cast 1``; '' for the board itself."""
    if len(path) < 2 or path[0] not in _MODELS or not isinstance(path[1], int):
        return ""
    part, index = path[0], path[1]
    items = data.get(str(part))
    item = items[index] if isinstance(items, list | tuple) and index < len(items) else None
    name = item.get("name") if isinstance(item, dict) else None
    kind = {"shots": "shot", "cast": "actor", "places": "place"}[str(part)]
    return f"{kind} {shown(name)}" if isinstance(name, str) and name.strip() else f"{kind} {index + 1}"


def _problem(detail: ErrorDetails, origin: Origin, data: dict[str, Any]) -> Problem:
    path: Path = detail["loc"]
    where = origin.where(path, _label(path, data))
    key = str(path[-1]) if path else "the storyboard"
    value = detail["input"]
    context = detail.get("ctx", {})
    model = _MODELS.get(str(path[0])) if len(path) > 2 else Storyboard
    in_layout = len(path) > 3 and path[2] == "layout"
    if in_layout and len(path) > 4:
        model = Placement
    if "method" in path[:3]:
        inside = path[path.index("method") + 1 : -1]
        model = METHODS.get(str(inside[0])) if inside else Method
    keys = list((model or Storyboard).model_fields)
    match detail["type"]:
        case "storyboard":
            return Problem(where, context["what"], context["expected"], context["remedy"])
        case "extra_forbidden":
            one_of = "one of " + ", ".join(keys)
            return Problem(where, f"unknown key {shown(key)}", one_of, did_you_mean(key, keys, "remove it"))
        case "missing":
            return Problem(where, f"'{key}' is missing", "", f"add {key}: …")
        case "model_type" | "model_attributes_type" | "dict_type":
            if key == "method":
                return Problem(where, f"method is {shown(value)}", "names of methods, with their settings")
            if in_layout:
                return Problem(where, f"a line of the layout is {shown(value)}", "entity: … and box: …")
            if len(path) < 2:
                return Problem(where, f"{key} is {shown(value)}", "a mapping with a list 'shots'")
            expected = "a prompt, or keys and values" if path[0] == "shots" else "name: … and look: …"
            return Problem(where, f"it is {shown(value)}", expected)
        case "tuple_type":
            return Problem(where, f"'{key}' is {shown(value)}", "a list", "start each item with '- '")
        case "string_type":
            remedy = "" if value is None or isinstance(value, dict | list | tuple) else "put quotes around it"
            return Problem(where, f"'{key}' is {shown(value)}", "text", remedy)
        case "literal_error":
            options = [option.strip(" '") for option in str(context["expected"]).replace(" or ", ",").split(",")]
            remedy = did_you_mean(value, options, "") if isinstance(value, str) else ""
            return Problem(where, f"'{key}' is {shown(value)}", str(context["expected"]), remedy)
    expected = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return Problem(where, f"'{key}' is {shown(value)}", expected)
