"""`mpvg queue` on two real servers that share their output folder, one of which dies in mid-film."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import real_comfy as host

PROMPTS = ["Actor 1 is running on the playground.", "Actor 2 is skiing on the snow.", "Actor 1 is waving on the beach."]
FRAMES = 17


def test_a_board_of_a_killed_server_goes_to_the_other_which_films_only_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    shared = tmp_path / "output"
    shared.mkdir()
    boards = []
    for title in ("Dawn", "Dusk"):
        shots = "".join(f"  - prompt: {prompt}\n    frames: {FRAMES}\n" for prompt in PROMPTS)
        boards.append(tmp_path / f"{title}.yaml")
        boards[-1].write_text(f"title: {title}\nshots:\n{shots}", encoding="utf-8")
    servers = [host.Server(tmp_path / name) for name in ("one", "other")]
    for server in servers:
        server.base.mkdir()
        (server.base / "output").symlink_to(shared, target_is_directory=True)
    living, dying = servers
    out, log = tmp_path / "films", tmp_path / "queue.log"
    command = [sys.executable, "-m", "mpvg_core", "queue", *map(str, boards), "--out", str(out), "--timeout", "30"]
    command += [word for server in servers for word in ("--server", server.address)]
    try:
        for server in servers:
            server.start()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with (
            log.open("w") as said,
            subprocess.Popen(command, cwd=host.ROOT, stdout=subprocess.PIPE, stderr=said, env=environment) as running,
        ):
            title = killed(dying, log, shared)
            table = running.communicate(timeout=300)[0].decode()
    finally:
        for server in servers:
            server.stop(signal.SIGKILL)
    print(log.read_text(), table)
    assert running.returncode == 0
    rows = [line.split() for line in table.splitlines()[1:]]
    assert [row[:3] for row in rows] == [[name, living.address, "filmed"] for name in ("Dawn", "Dusk")]
    anew = log.read_text().partition(f"{title} on {living.address}: queued")[2]
    first = f"{title} on {living.address}: shot 1 of {len(PROMPTS)}, "
    assert anew and first not in anew, "its first take was on the shared disk"
    for row in rows:
        assert frames(Path(row[4])) == FRAMES * len(PROMPTS)
        assert [file.suffix for file in Path(row[4]).parent.iterdir() if file.name != "film.mp4"] == [".png"]


def killed(server: host.Server, log: Path, shared: Path, seconds: float = 240) -> str:
    """Kill the server as soon as its board has a take; gives the board's title."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = re.search(rf"^(\w+) on {re.escape(server.address)}: queued", log.read_text(), re.MULTILINE)
        if found and list((shared / "mpvg" / found[1].lower() / "takes").glob("*/take.json")):
            server.stop(signal.SIGKILL)
            return found[1]
        time.sleep(0.01)
    raise TimeoutError(f"no take was made:\n{log.read_text()}\n{server.said()[-2000:]}")


def frames(film: Path) -> int:
    import imageio_ffmpeg

    return int(imageio_ffmpeg.count_frames_and_secs(str(film))[0])
