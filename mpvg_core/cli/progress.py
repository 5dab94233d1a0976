"""Progress on the terminal: bars with time left; of a film with shot and step, or as plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..film.events import FilmEvent

_SAID = {
    "reused": "is there already",
    "locked": "is locked",
    "kept": "changed, but keeps its take of the last film",
    "left out": "has no take yet and is left out",
}


def bars(console: Console) -> Progress:
    """Bars with counts, time and time left; none where the console is no terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class Watcher:
    """Shows the events of a film on the error stream; use it in a `with` block."""

    def __init__(self, steps: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._steps = steps
        self._shots = self._work = self._done = 0
        self._started = time.monotonic()
        self._bars = bars(self._console)
        self._film = self._bars.add_task("film", total=None, visible=False)
        self._shot = self._bars.add_task("shot", total=None, visible=False)

    def __enter__(self) -> Watcher:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, event: FilmEvent) -> None:
        shot = f"shot {event.number}/{self._shots} {event.shot!r}"
        if event.kind == "plan":
            self._work, self._shots = event.step, event.steps
            self._bars.update(self._film, total=self._work * self._steps, visible=self._work > 0)
            self._say(f"{event.step} of {event.steps} shots to film")
        elif event.kind == "note":
            self._say(f"note: {event.text}")
        elif event.kind == "start":
            self._started = time.monotonic()
            self._bars.update(self._film, description=f"film, shot {self._done + 1} of {self._work}")
            self._bars.reset(self._shot, total=event.steps, description=event.shot, visible=True)
        elif event.kind == "step":
            self._bars.update(self._shot, completed=event.step)
            self._bars.update(self._film, completed=self._done * self._steps + event.step)
        elif event.kind == "decode":
            self._bars.update(self._shot, description=f"{event.shot}, writing frames")
        elif event.kind == "done":
            self._done += 1
            self._bars.update(self._shot, visible=False)
            self._say(f"{shot}: take {event.take}, {time.monotonic() - self._started:.1f} s")
        else:
            take = f" (take {event.take})" if event.take else ""
            self._say(f"{shot} {_SAID[event.kind]}{take}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False)


class Bar:
    """A progress bar on the error stream, if that is a terminal: call it with (done, of, words)."""

    def __init__(self, title: str, words: str) -> None:
        self._bars = bars(Console(stderr=True, highlight=False))
        self._title, self._task = title, self._bars.add_task(f"{title} {words}", total=None)

    def __enter__(self) -> Callable[[int, int, str], None]:
        self._bars.start()
        return self._advance

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _advance(self, done: int, of: int, words: str) -> None:
        self._bars.update(self._task, description=f"{self._title} {words}", completed=done, total=of)
