"""Killing the process at any moment loses at most the unfinished shot; memory does not grow with the shots."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_film import STORY, contents

from mpvg_core.film.takes import TakeStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the filming process forks")

KILLS = 30


class FilmingProcess:
    def __init__(self) -> None:
        script = Path(__file__).with_name("filming_process.py")
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, **order) -> int:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def film(self, **order) -> None:
        self.start(**order)
        assert self.wait() == 0


@pytest.fixture(scope="module")
def filming():
    filming = FilmingProcess()
    yield filming
    filming.process.stdin.close()
    filming.process.wait()


def manifests(folder: Path, takes: set[str]) -> dict[str, tuple[int, bytes]]:
    """When each of these takes was written, and what its manifest says."""
    files = {take: folder / "takes" / take / "take.json" for take in takes}
    return {take: (file.stat().st_mtime_ns, file.read_bytes()) for take, file in files.items()}


def test_thirty_kills_lose_no_finished_take_and_accept_no_half_written_one(tmp_path, filming):
    order = {"prompts": [*STORY.values()][:3], "pause": 0.004}
    filming.film(folder=str(tmp_path / "undisturbed"), **order)
    undisturbed = contents(tmp_path / "undisturbed")
    started = time.monotonic()
    filming.film(folder=str(tmp_path / "timed"), **order)
    whole_film = time.monotonic() - started
    right = {name.split("/")[1] for name in undisturbed if name.startswith("takes/")}

    chance, kills, films = random.Random(20), 0, 0
    survivors, unfinished = set(), 0
    while kills < KILLS:
        films += 1
        folder = tmp_path / f"film {films}"
        finished: set[str] = set()
        for _ in range(3):
            child = filming.start(folder=str(folder), **order)
            time.sleep(chance.uniform(0, whole_film * 1.1))
            os.kill(child, signal.SIGKILL)
            kills += os.WIFSIGNALED(filming.wait())
            there = {entry.name for entry in folder.glob("takes/*") if not entry.name.startswith(".")}
            assert finished <= there <= right
            assert TakeStore(folder).faults() == {}  # what bears a take's name is whole
            finished = there
            survivors.add(len(there))
            unfinished += any(folder.glob("takes/.writing-*/*"))
        made = manifests(folder, finished)
        filming.film(folder=str(folder), **order)
        assert contents(folder) == undisturbed
        assert manifests(folder, finished) == made  # they tell when each take was made: none was filmed twice
    # The kills fell on films of no, some and all takes, and on half-made ones: else nothing was tried.
    assert len(survivors) >= 3 and unfinished >= KILLS // 6


def test_two_processes_filming_the_same_board_at_once_do_not_disturb_each_other(tmp_path, filming):
    order = {"prompts": [*STORY.values()][:3], "pause": 0.004}
    filming.film(folder=str(tmp_path / "alone"), **order)
    other = FilmingProcess()
    try:
        for delay in (0.0, 0.1):
            folder = str(tmp_path / f"together {delay}")
            filming.start(folder=folder, **order)
            time.sleep(delay)
            other.start(folder=folder, **order)
            assert (filming.wait(), other.wait()) == (0, 0)
            assert contents(Path(folder)) == contents(tmp_path / "alone")
    finally:
        other.process.stdin.close()
        other.process.wait()


def test_memory_grows_by_less_than_ten_megabytes_a_shot(tmp_path, filming):
    peaks = {}
    for shots in (2, 16):
        memory = tmp_path / f"memory {shots}"
        prompts = [f"the boat meets wave {index}" for index in range(shots)]
        # 49 frames of 352x240 are 12 MB: a film held in memory would show
        filming.film(folder=str(tmp_path / str(shots)), prompts=prompts, frames=49, size=[352, 240], memory=str(memory))
        peaks[shots] = int(memory.read_text()) / 1024
    growth = (peaks[16] - peaks[2]) / 14
    assert growth < 10, f"{growth:.1f} MB a shot"
