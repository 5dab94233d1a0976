"""Where a film stands, in a line."""

from __future__ import annotations

from mpvg_core.film.events import FilmEvent
from mpvg_core.film.pace import Pace, clock_time


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_line_says_shot_step_and_the_time_left_for_all_shots_still_to_film() -> None:
    clock = Clock()
    pace = Pace(steps=10, clock=clock)
    pace(FilmEvent("plan", step=2, steps=4))
    pace(FilmEvent("start", 3, "chase", steps=10))
    clock.now = 5.0
    assert pace(FilmEvent("step", 3, "chase", 1, 10)) == "shot 3 of 4, step 1 of 10, 1:35 left"
    clock.now = 6.0
    assert pace(FilmEvent("step", 3, "chase", 2, 10)) == "shot 3 of 4, step 2 of 10, 0:54 left"


def test_time_between_shots_is_no_part_of_a_steps_time() -> None:
    clock = Clock()
    pace = Pace(steps=2, clock=clock)
    pace(FilmEvent("plan", step=2, steps=2))
    pace(FilmEvent("start", 1, "a", steps=2))
    clock.now = 1.0
    pace(FilmEvent("step", 1, "a", 1, 2))
    clock.now = 2.0
    pace(FilmEvent("step", 1, "a", 2, 2))
    pace(FilmEvent("done", 1, "a"))
    clock.now = 500.0
    pace(FilmEvent("start", 2, "b", steps=2))
    clock.now = 501.0
    assert pace(FilmEvent("step", 2, "b", 1, 2)) == "shot 2 of 2, step 1 of 2, 0:01 left"


def test_a_shot_that_is_there_already_says_nothing_new() -> None:
    assert Pace(steps=3)(FilmEvent("reused", 1, "a")) is None


def test_times_are_written_as_on_a_clock() -> None:
    assert [clock_time(seconds) for seconds in (7, 100, 3723)] == ["0:07", "1:40", "1:02:03"]
