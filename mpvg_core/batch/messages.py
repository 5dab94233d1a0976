"""What a ComfyUI server says, in words: refusals, errors of nodes, lines on nodes, files that were made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_TEXT = 3  # the kind of a binary message that puts a line on a node


@dataclass(frozen=True)
class MadeFile:
    """A file in a server's output folder."""

    name: str
    subfolder: str


def read_message(message: str | bytes) -> tuple[str, dict[str, Any]]:
    """Kind and data of a websocket message; a line on a node is the kind "text" with {"node", "text"}.

    Previews and other binary messages have the kind "". Raises ValueError for what no ComfyUI says.
    """
    if isinstance(message, str):
        said = json.loads(message)
        if not isinstance(said, dict) or not isinstance(said.get("data") or {}, dict):
            raise ValueError("no message of ComfyUI")
        return str(said.get("type")), said.get("data") or {}
    if int.from_bytes(message[:4], "big") != _TEXT:
        return "", {}
    ends = 8 + int.from_bytes(message[4:8], "big")
    return "text", {"node": message[8:ends].decode("utf-8", "replace"), "text": one_line(message[ends:])}


def refusal(answer: Any) -> str:
    """Every fault in the answer to a graph that a server refuses (HTTP 400), with its node, in one line."""
    answer = answer if isinstance(answer, dict) else {}
    faults = list(_node_faults(answer.get("node_errors")))
    if not faults:
        faults = [_fault(answer.get("error"))]
    return "; ".join(faults)


def node_faults(answer: Any) -> str:
    """The faults of single nodes in the answer to a graph that a server accepts in part; empty = none."""
    return "; ".join(_node_faults(answer.get("node_errors") if isinstance(answer, dict) else None))


def node_failure(data: dict[str, Any]) -> str:
    """An execution_error in one line, with its node."""
    said = one_line(data.get("exception_message") or "") or one_line(data.get("exception_type") or "no message")
    return f"node {data.get('node_id')} ({data.get('node_type')}): {said}"


def made_files(outputs: Any) -> tuple[MadeFile, ...]:
    """The files in the output folder among what a history entry lists, each once, in the order of the nodes."""
    made: dict[MadeFile, None] = {}
    for shown in (outputs if isinstance(outputs, dict) else {}).values():
        for value in (shown if isinstance(shown, dict) else {}).values():
            for entry in value if isinstance(value, list) else ():
                if isinstance(entry, dict) and entry.get("type") == "output" and entry.get("filename"):
                    made[MadeFile(str(entry["filename"]), str(entry.get("subfolder") or ""))] = None
    return tuple(made)


def record_messages(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Kind and data of what a history entry says of the course of its graph."""
    status = record.get("status")
    said = status.get("messages") if isinstance(status, dict) else None
    return [(str(entry[0]), entry[1]) for entry in said or () if len(entry) == 2 and isinstance(entry[1], dict)]


def queue_length(data: dict[str, Any]) -> int:
    """How many graphs a server has, of a "status" message or of GET /prompt. Raises ValueError when it does not say."""
    try:
        return int(data.get("status", data)["exec_info"]["queue_remaining"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("it does not tell the length of its queue") from error


def one_line(text: Any) -> str:
    """Text or UTF-8 without line breaks, and without what a terminal would take for a command."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())


def _node_faults(node_errors: Any) -> Iterator[str]:
    for id, node in (node_errors if isinstance(node_errors, dict) else {}).items():
        for error in node.get("errors") or () if isinstance(node, dict) else ():
            yield f"node {id} ({node.get('class_type')}): {_fault(error)}"


def _fault(error: Any) -> str:
    if not isinstance(error, dict):
        return one_line(error or "no reason was given")
    parts = (one_line(error.get(key) or "") for key in ("message", "details"))
    return ": ".join(part for part in parts if part) or "no reason was given"
