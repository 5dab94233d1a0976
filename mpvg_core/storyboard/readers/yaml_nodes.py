"""YAML as plain data with the line of each part; only text, numbers, true, false, null, lists and mappings exist here.

Numbers and words follow YAML 1.2's core schema, so ``yes``, ``12:30`` and ``2024-01-01`` are text. Aliases, tags and
double keys are refused: a storyboard says what it says, and never grows while it is read.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from ...errors import InputError, Problem
from ..origin import Path
from ..words import shown

MAX_DEPTH = 16

_PLAIN = "tag:yaml.org,2002:"
_TEXT_TAGS = {_PLAIN + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]{1,3})?")


class _BoardLoader(yaml.SafeLoader):
    """Composes nodes only; an alias ends the reading before anything can be multiplied."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(problem=f"alias *{event.anchor}", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def scalar(text: str) -> Any:
    """The value of an unquoted word: null, true, false, an integer, a decimal number, or the text itself."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def load_yaml(text: str, source: str) -> tuple[Any, dict[Path, int], tuple[Problem, ...]]:
    """(data, line of each part, problems met on the way). Raises `InputError` where reading cannot go on."""
    try:
        root = yaml.compose(text, Loader=_BoardLoader)
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax_problem(error, source)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character U+{error.character:04X} is not allowed"
        raise InputError(Problem(f"{source}:{line}", what, "printable text", "remove it")) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(source, f"not YAML: {error}")) from None
    except RecursionError:
        raise InputError(_too_deep(source)) from None
    except ValueError as error:  # PyYAML's scanner lets bad escapes such as "\U99999999" through to chr()
        raise InputError(Problem(source, f"not YAML: {error}", "valid escapes", "write the character itself")) from None
    if root is None:
        return None, {}, ()
    reading = _Reading(source)
    data = reading.value(root, ())
    return data, reading.lines, tuple(reading.problems)


def _too_deep(source: str) -> Problem:
    what = "the lists and mappings are nested too deeply"
    return Problem(source, what, f"at most {MAX_DEPTH} levels", "check the brackets")


def _syntax_problem(error: yaml.MarkedYAMLError, source: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f"{source}:{mark.line + 1}" if mark else source
    what = str(error.problem or error.context)
    if what.startswith("alias "):
        return Problem(where, f"{what} stands for a part written elsewhere", "the part itself", "write it out")
    if "single document" in str(error.context):
        return Problem(where, "a second YAML document starts here", "one storyboard a file", "remove the line ---")
    if "'\\t'" in what:
        return Problem(where, "a tab is used to indent", "spaces", "replace the tab by spaces")
    column = f", column {mark.column + 1}" if mark else ""
    context = f" {error.context}" if error.context and error.context != what else ""
    remedy = "put quotes around text that holds ': ' or starts with a sign such as [ { & * ! | > % @ `"
    return Problem(where, f"not YAML{column}:{context} {what}", "", remedy)


class _Reading:
    """The walk over the nodes: collects lines and problems."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if len(path) > MAX_DEPTH:
            raise InputError(_too_deep(f"{self.source}:{line}"))
        if isinstance(node, yaml.ScalarNode) and node.tag in _TEXT_TAGS:
            return scalar(node.value) if node.style is None else node.value
        if isinstance(node, yaml.SequenceNode) and node.tag == _PLAIN + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == _PLAIN + "map":
            return self._mapping(node, path)
        what = f"the tag {shown(node.tag.replace(_PLAIN, '!!'))} is not allowed"
        expected = "plain text, numbers, lists and mappings"
        self.problems.append(Problem(f"{self.source}:{line}", what, expected, "remove it"))
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for index, (key_node, value_node) in enumerate(node.value):
            where = f"{self.source}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _TEXT_TAGS:
                what = "a key is not a word"
                self.problems.append(Problem(where, what, "a key such as prompt", "put quotes around it"))
                continue
            key = key_node.value
            if key in data:
                self.problems.append(Problem(where, f"the key {shown(key)} is given twice", "it once", "remove one"))
                continue
            # A mapping's entries count too: cast and places may be written as mappings and are then read as lists.
            self.lines[(*path, key)] = self.lines[(*path, index)] = key_node.start_mark.line + 1
            data[key] = self.value(value_node, (*path, key))
        return data
