"""Work on many videos in processes of their own that end when they are told to, and when the program is killed; or in
threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import Any, TypeVar

from ..errors import MPVGError

_Result = TypeVar("_Result")
_stopping: Event | None = None  # in a worker process: set when the build ends early
_thread = threading.local()  # in a worker thread: its `stopping` is set then
_LISTENS = 0.2  # seconds between two calls of `interrupt`


class Stopped(Exception):
    """The build ends before this work is done."""


def stop_if_told() -> None:
    """Raises Stopped when the build ends; for work to call often."""
    stopping = getattr(_thread, "stopping", _stopping)
    if stopping is not None and stopping.is_set():
        raise Stopped


class Workers:
    """`jobs` processes; with one job the work is done here. Use it in a `with` block.

    With `interrupt` they are threads, for a program of which there cannot be a second process; it is called a few times
    a second while they work, and what it raises ends the work.
    """

    def __init__(self, jobs: int, interrupt: Callable[[], None] | None = None) -> None:
        self.jobs = jobs
        self._interrupt = interrupt
        self._pool: Executor | None = None
        self._stop: Event | threading.Event
        if interrupt is not None:
            self._stop = threading.Event()
            self._pool = ThreadPoolExecutor(jobs, initializer=_begin_thread, initargs=(self._stop,))
        elif jobs > 1:
            # Spawned, not forked: the program has threads of its own.
            context = multiprocessing.get_context("spawn")
            self._stop = context.Event()
            self._pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(self._stop,))

    def map(self, work: Callable[..., _Result], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, _Result]]:
        """(number of the call, result) of work(*call) for every call, as they come. An error ends all the others."""
        if self._pool is None:
            for number, call in enumerate(calls):
                yield number, work(*call)
            return
        waiting: dict[Future[_Result], int] = {}
        left = iter(enumerate(calls))
        try:
            while True:
                while len(waiting) < 2 * self.jobs and (item := next(left, None)) is not None:
                    waiting[self._pool.submit(work, *item[1])] = item[0]
                if not waiting:
                    return
                if self._interrupt is not None:
                    self._interrupt()
                patience = None if self._interrupt is None else _LISTENS
                for done in wait(waiting, patience, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(done), done.result()
        except BrokenProcessPool as error:
            raise MPVGError(
                "a decoding process was killed, perhaps for want of memory; run again with fewer --jobs"
            ) from error

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._stop.set()
            self._pool.shutdown(cancel_futures=True)


def _begin(stop: Event) -> None:
    global _stopping
    _stopping = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which tells us
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _begin_thread(stop: threading.Event) -> None:
    _thread.stopping = stop


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
