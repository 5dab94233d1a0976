"""What the way of a film tells those who watch it: a progress bar, a node, a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "plan",  # the work is known: `step` shots of `steps` are to be filmed
    "reused",  # the shot's take is there already
    "locked",  # the shot's locked take is used
    "kept",  # the shot changed but is not to be filmed now: the take of the last film stays
    "left out",  # the shot has no take and is not to be filmed now
    "start",  # the shot is being filmed
    "step",  # denoising step `step` of `steps` is done
    "decode",  # frame `step` of `steps` is on its way to the file
    "done",  # the shot's take is on disk
    "note",  # something the artist should know
]


@dataclass(frozen=True)
class FilmEvent:
    """One piece of news. `number` counts shots from 1; 0 is the film as a whole."""

    kind: Kind
    number: int = 0
    shot: str = ""
    step: int = 0
    steps: int = 0
    text: str = ""
    take: str = ""


OnEvent = Callable[[FilmEvent], None]


def unheard(event: FilmEvent) -> None:
    """For those who do not watch."""
