"""Work shared among threads: it is done, and ended from outside."""

from __future__ import annotations

import threading
import time

import pytest

from mpvg_core.datasets.pool import Stopped, Workers, stop_if_told


class Pressed(Exception):
    pass


def test_threads_do_all_the_work_at_once_while_the_artist_lets_them():
    met = threading.Barrier(2, timeout=20)  # broken unless two work at once
    looked = []

    def work(number):
        met.wait()
        time.sleep(0.3)
        return number * number, threading.get_ident()

    with Workers(2, lambda: looked.append(threading.get_ident())) as workers:
        done = dict(workers.map(work, [(number,) for number in range(4)]))
    assert {number: square for number, (square, _) in done.items()} == {0: 0, 1: 1, 2: 4, 3: 9}
    here = threading.get_ident()
    assert len({thread for _, thread in done.values()} - {here}) == 2
    assert len(looked) >= 2 and set(looked) == {here}, "the host is asked from its own thread"


def test_what_the_interrupt_raises_ends_work_that_asks_and_what_waits_is_never_begun():
    begun, ended = [], []

    def work(number):
        begun.append(number)
        try:
            while True:
                stop_if_told()
                time.sleep(0.01)
        except Stopped:
            ended.append(number)
            raise

    def interrupt():
        if begun:
            raise Pressed

    with pytest.raises(Pressed), Workers(1, interrupt) as workers:
        for _ in workers.map(work, [(number,) for number in range(5)]):
            pass
    assert begun == ended == [0]


def test_a_build_that_was_ended_does_not_end_the_next_one():
    def interrupt():
        raise Pressed

    with pytest.raises(Pressed), Workers(1, interrupt) as workers:
        next(workers.map(time.sleep, [(0.01,)]))

    def asks():
        stop_if_told()
        return "went on"

    with Workers(1, lambda: None) as workers:
        assert [*workers.map(asks, [()])] == [(0, "went on")]
    stop_if_told()
