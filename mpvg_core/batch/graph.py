"""Graphs in ComfyUI's API format, and how a storyboard gets into one."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, Problem
from ..storyboard.dump import dump_storyboard
from ..storyboard.model import Storyboard

_STORYBOARD = "MPVG_Storyboard"
_LOADED = "MPVG_LoadStoryboard"
_WIDGET = "text"
_PACKAGED = Path(__file__).with_name("film_a_storyboard.json")  # workflows/ is not in an installed package
_EXPORT = "export it in ComfyUI with File, Export (API)"


@dataclass(frozen=True)
class FilmGraph:
    """A graph in API format (node id to class_type and inputs) whose node `board` holds the storyboard."""

    nodes: Mapping[str, Any]
    board: str

    def filled(self, storyboard: Storyboard) -> dict[str, Any]:
        """A copy that films `storyboard`, written out whole: title, lengths and seeds do not depend on its file."""
        nodes = copy.deepcopy(dict(self.nodes))
        nodes[self.board]["inputs"][_WIDGET] = dump_storyboard(storyboard)
        return nodes


def packaged_graph() -> FilmGraph:
    """The graph that films a storyboard with the pocket model, joins it and draws its contact sheet."""
    return read_graph(_PACKAGED)


def read_graph(path: Path) -> FilmGraph:
    """The graph in a file.

    Raises InputError for a file that cannot be read, is no JSON, is no graph in API format, or has not exactly one
    Storyboard node with a text of its own.
    """

    def refuse(what: str, expected: str = "", remedy: str = "") -> InputError:
        return InputError(Problem(str(path), what, expected, remedy))

    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise refuse(f"cannot be read ({error.strerror or error})", "a graph in API format", "check the path") from None
    except ValueError as error:
        raise refuse(f"is not JSON ({error})", "a graph in API format", _EXPORT) from None
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        raise refuse("is a graph as the page saves it", "API format", _EXPORT)
    if not isinstance(data, dict) or not data or not all(_is_node(node) for node in data.values()):
        raise refuse("is no graph", "API format: node ids, each with class_type and inputs", _EXPORT)
    boards = [id for id, node in data.items() if node["class_type"] == _STORYBOARD]
    if not boards:
        loaded = any(node["class_type"] == _LOADED for node in data.values())
        remedy = "put a Storyboard node in place of Load Storyboard" if loaded else "add a Storyboard node"
        raise refuse("has no storyboard node", f"one {_STORYBOARD}, which takes the board's text", remedy)
    if len(boards) > 1:
        said = f"has {len(boards)} storyboard nodes ({', '.join(boards)})"
        raise refuse(said, f"one {_STORYBOARD}, which takes the board's text", "make a graph that films one storyboard")
    (board,) = boards
    if isinstance(data[board]["inputs"].get(_WIDGET), list):
        raise refuse(f"node {board}: the storyboard's text comes from another node", "a text typed into the node")
    return FilmGraph(data, board)


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
