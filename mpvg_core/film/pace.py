"""Where a film stands, in a line: "shot 2 of 4, step 17 of 50, 1:40 left"."""

from __future__ import annotations

import time
from collections.abc import Callable

from .events import FilmEvent


class Pace:
    """Turns the events of a film into lines. `steps` are the denoising steps of a shot; `clock` gives seconds."""

    def __init__(self, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._clock = steps, clock
        self._shots = self._work = self._done = 0
        self._busy = 0.0  # seconds spent on steps that are done
        self._counted = 0
        self._since = clock()

    def __call__(self, event: FilmEvent) -> str | None:
        """What to say after this event; None = nothing new."""
        now = self._clock()
        where = f"shot {event.number} of {self._shots}"
        if event.kind == "plan":
            self._work, self._shots = event.step, event.steps
            return f"{event.step} of {event.steps} shots to film"
        if event.kind == "start":
            self._since = now
            return f"{where}, {event.shot}"
        if event.kind == "step":
            self._busy += now - self._since
            self._counted += 1
            self._since = now
            return f"{where}, step {event.step} of {event.steps}{self._left(event.step)}"
        if event.kind == "decode":
            return f"{where}, frame {event.step} of {event.steps}"
        if event.kind == "done":
            self._done += 1
            return f"{where} is done"
        if event.kind == "note":
            return f"note: {event.text}"
        return None

    def _left(self, step: int) -> str:
        """The time left for all shots still to film, at the speed of the steps so far; decoding is not counted."""
        if not self._counted:
            return ""
        remaining = max(self._work - self._done, 1) * self._steps - step
        return f", {clock_time(remaining * self._busy / self._counted)} left"


def clock_time(seconds: float) -> str:
    """0:07, 1:40, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
