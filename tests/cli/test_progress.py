"""Progress on a terminal and elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from mpvg_core.cli.progress import Watcher
from mpvg_core.film.events import FilmEvent


def watch(**console):
    stream = io.StringIO()
    with Watcher(2, Console(file=stream, width=120, **console)) as watcher:
        watcher(FilmEvent("plan", step=1, steps=2))
        watcher(FilmEvent("reused", 1, "dawn", take="abc"))
        watcher(FilmEvent("start", 2, "storm [red]", steps=2))
        watcher(FilmEvent("step", 2, "storm [red]", 1, 2))
        watcher(FilmEvent("step", 2, "storm [red]", 2, 2))
        watcher(FilmEvent("decode", 2, "storm [red]", 9, 9))
        watcher(FilmEvent("done", 2, "storm [red]", take="def"))
    return stream.getvalue()


def test_a_terminal_sees_bars_with_shot_steps_and_time_left():
    said = watch(force_terminal=True)
    assert "film, shot 1 of 1" in said and "2/2" in said and "left" in said


def test_elsewhere_there_are_only_lines_and_names_are_shown_as_they_are():
    lines = watch(force_terminal=False).splitlines()
    assert len(lines) == 3
    assert lines[0] == "1 of 2 shots to film"
    assert lines[1] == "shot 1/2 'dawn' is there already (take abc)"
    assert lines[2].startswith("shot 2/2 'storm [red]': take def, ")
