"""Hands storyboards to servers: the least busy first, one at a time each, and on to another when one goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MPVGError
from .failures import FilmFailed, FilmRefused, ServerGone
from .fetch import fetch_films
from .job import End, Job, News, Outcome
from .server import Server


@dataclass(eq=False)
class _Desk:
    """A server with what is known of it."""

    server: Server
    busy: bool = False
    away: bool = False
    ask_at: float = 0.0  # not before this time of the clock
    said: str = ""


@dataclass(eq=False)
class _Errand:
    job: Job
    tries: int = 0
    begun: float = 0.0
    server: str = ""
    lost_on: set[_Desk] = field(default_factory=set)


class Dispatch:
    """Films `jobs` on `servers` into folders of `out`; `outcomes` says how each ended, also after a cancel.

    scratch: a folder on the same filesystem as `out`. tries: how many servers may be lost under one job. timeout:
    seconds to wait for a server to come back when there is none. pause: seconds between questions to one that is away.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        servers: Sequence[Server],
        out: Path,
        scratch: Path,
        *,
        tries: int,
        timeout: float,
        pause: float = 2.0,
        on_news: Callable[[News], None] = lambda _: None,
    ) -> None:
        self._jobs, self._desks = jobs, [_Desk(server) for server in servers]
        self._out, self._scratch = out, scratch
        self._tries, self._timeout, self._pause, self._on_news = tries, timeout, pause, on_news
        self._ended: dict[str, Outcome] = {}
        self._waiting = [_Errand(job) for job in jobs]
        self._flying: dict[asyncio.Task[Outcome | None], _Errand] = {}

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """How the jobs ended, in their order; before and after `run` is over."""
        return tuple(self._ended.get(job.slug) or Outcome(job, "not begun") for job in self._jobs)

    async def run(self) -> None:
        """Film all. A cancel takes back what is on the servers. Raises MPVGError when no server answers at all."""
        try:
            lived: float | None = None
            while self._waiting or self._flying:
                if await self._hand_out() or self._flying:
                    lived = time.monotonic()
                elif lived is None:
                    raise MPVGError("no server answers: " + "; ".join(desk.said for desk in self._desks))
                elif time.monotonic() - lived > self._timeout:
                    self._give_up()
                if self._flying:
                    await self._land()
                elif self._waiting:
                    await asyncio.sleep(self._pause)
        finally:
            for task in self._flying:
                task.cancel()
            for outcome in await asyncio.gather(*self._flying, return_exceptions=True):
                if isinstance(outcome, Outcome):  # it came home just before
                    self._keep(outcome)
            for errand in (*self._flying.values(), *self._waiting):
                if errand.tries and errand.job.slug not in self._ended:
                    self._end(errand, "stopped", reason="its finished takes stay on the server")

    async def _hand_out(self) -> bool:
        """Give waiting jobs to free servers, the least busy first; whether any free server answered."""
        if not self._waiting:
            return False
        now = time.monotonic()
        asked = [desk for desk in self._desks if not desk.busy and desk.ask_at <= now]
        loads = await asyncio.gather(*(self._load(desk) for desk in asked))
        by_load = sorted(zip(loads, asked, strict=True), key=lambda pair: pair[0])
        free = [desk for _, desk in by_load if not desk.away]
        answered = bool(free)
        for errand in list(self._waiting):
            others = [desk for desk in self._desks if not desk.away and desk not in errand.lost_on]
            # A server that was lost under this job once gets it again only when there is no other.
            fit = [desk for desk in free if desk not in errand.lost_on] if others else free
            if fit:
                desk = fit[0]
                free.remove(desk)
                self._waiting.remove(errand)
                desk.busy = True
                self._flying[asyncio.create_task(self._film(errand, desk))] = errand
        return answered

    async def _load(self, desk: _Desk) -> float:
        """The length of a server's queue; a server that does not tell it is away."""
        try:
            load = await desk.server.load()
        except ServerGone as error:
            self._leave(desk, str(error))
            return float("inf")
        desk.away = False
        return load

    def _leave(self, desk: _Desk, said: str) -> None:
        desk.away, desk.said = True, said
        desk.ask_at = time.monotonic() + self._pause

    async def _land(self) -> None:
        """Wait for a film to end; no longer than a pause while others wait, since a server may come back."""
        pause = self._pause if self._waiting else None
        done, _ = await asyncio.wait(self._flying, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            errand = self._flying.pop(task)
            if (outcome := task.result()) is None:
                self._waiting.insert(0, errand)
            else:
                self._keep(outcome)

    async def _film(self, errand: _Errand, desk: _Desk) -> Outcome | None:
        """One try; None = the server went away, and there may be another."""
        job, server = errand.job, desk.server
        errand.tries += 1
        errand.begun = errand.begun or time.monotonic()
        errand.server = server.name

        def ended(end: End, files: tuple[Path, ...] = (), reason: str = "") -> Outcome:
            return Outcome(job, end, server.name, time.monotonic() - errand.begun, files, reason)

        def say(line: str) -> None:
            self._on_news(News("line", job, server.name, line))

        self._on_news(News("queued", job, server.name))
        try:
            made = await server.film(job.graph, say)
            return ended("filmed", await fetch_films(server, made, self._out / job.slug, self._scratch))
        except FilmRefused as error:
            return ended("refused", reason=str(error))
        except FilmFailed as error:
            return ended("failed", reason=str(error))
        except ServerGone as error:
            self._leave(desk, str(error))
            errand.lost_on.add(desk)
            if errand.tries >= self._tries:
                return ended("given up", reason=f"{error}; try {errand.tries} of {self._tries}")
            self._on_news(News("gone", job, server.name, str(error)))
            return None
        except OSError as error:
            return ended("failed", reason=f"the film cannot be written: {error}")
        finally:
            desk.busy = False

    def _give_up(self) -> None:
        said = "; ".join(dict.fromkeys(desk.said for desk in self._desks if desk.said))
        for errand in self._waiting:
            self._end(errand, "given up", reason=f"no server is left: {said}")
        self._waiting.clear()

    def _end(self, errand: _Errand, end: End, reason: str) -> None:
        seconds = time.monotonic() - errand.begun if errand.begun else 0.0
        self._keep(Outcome(errand.job, end, errand.server, seconds, reason=reason))

    def _keep(self, outcome: Outcome) -> None:
        self._ended[outcome.job.slug] = outcome
        self._on_news(News(outcome.end, outcome.job, outcome.server, outcome.reason))
