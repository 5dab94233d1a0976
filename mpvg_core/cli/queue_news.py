"""What `mpvg queue` shows: a row a board on a terminal, plain lines elsewhere, and a table at the end."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn

from ..batch.job import Job, News, Outcome

_OFTEN = re.compile(r"\b(?:step|frame) \d+ of")
_EVERY = 2.0  # seconds between lines of steps and frames where every line stays
_HEAD = ("board", "server", "outcome", "seconds", "file")


class NewsDesk:
    """Shows the news of jobs on the error stream; use it in a `with` block."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal and (console is not None or sys.stdout.isatty())
        self._clock = clock
        self._rows = Progress(
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._row: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}  # by board, when its last line of steps was said

    def __enter__(self) -> NewsDesk:
        self._rows.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.stop()

    def __call__(self, news: News) -> None:
        where = f"{news.job.board} on {news.server}"
        if news.kind == "line":
            self._show(news.job, f"{where}: {news.text}")
            if not self._live and self._is_due(news):
                self._say(f"{where}: {news.text}")
        elif news.kind == "queued":
            self._show(news.job, f"{where}: queued")
            if not self._live:
                self._say(f"{where}: queued")
        elif news.kind == "gone":
            self._say(f"{news.job.board}: {news.text}; the board is queued anew")
        else:
            self._hide(news.job)
            self._say(f"{where}: {news.kind}" + (f": {news.text}" if news.text else ""))

    def _is_due(self, news: News) -> bool:
        if not _OFTEN.search(news.text):
            return True
        now, board = self._clock(), news.job.slug
        if board in self._said and now - self._said[board] < _EVERY:
            return False
        self._said[board] = now
        return True

    def _show(self, job: Job, line: str) -> None:
        if job.slug not in self._row:
            self._row[job.slug] = self._rows.add_task(line, total=None)
        self._rows.update(self._row[job.slug], description=line)

    def _hide(self, job: Job) -> None:
        if job.slug in self._row:
            self._rows.remove_task(self._row.pop(job.slug))

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False)


def table(outcomes: Sequence[Outcome]) -> str:
    """A line a job: board, server, outcome, seconds, and its film, or the reason why there is none."""
    rows = [_HEAD]
    for outcome in outcomes:
        films = [file for file in outcome.files if file.suffix == ".mp4"]
        shown = str((films or outcome.files)[0]) if outcome.files else outcome.reason
        seconds = f"{outcome.seconds:.1f}" if outcome.server else "-"
        rows.append((outcome.job.board, outcome.server or "-", outcome.end, seconds, shown or "-"))
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    lines = []
    for row in rows:
        cells = (text + " " * (width - cell_len(text)) for text, width in zip(row, [*widths, 0], strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
