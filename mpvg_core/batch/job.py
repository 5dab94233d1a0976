"""What is handed to servers, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

End = Literal["filmed", "refused", "failed", "given up", "stopped", "not begun"]


@dataclass(frozen=True)
class Job:
    """A storyboard as a graph; `board` is its title, `slug` names its folder, and no two jobs share one."""

    board: str
    slug: str
    graph: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a job ended; `seconds` since it was first handed to a server, `reason` for all that is not "filmed"."""

    job: Job
    end: End
    server: str = ""
    seconds: float = 0.0
    files: tuple[Path, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class News:
    """What happens to a job: "queued", a "line" of progress, "gone" (its server), or the end of its `Outcome`."""

    kind: str
    job: Job
    server: str
    text: str = ""
