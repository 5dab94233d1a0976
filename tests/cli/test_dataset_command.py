"""`mpvg dataset build` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
sys.path.insert(0, str(Path(__file__).parents[1] / "endpoint"))

from chat_server import Answer, said
from chat_server import serve as serve
from made import write_video

KEY = "sk-very-secret"


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    for name, places in (("a", "snow moon"), ("b", "beach forest")):
        write_video(folder / f"{name}.mp4", places, [17, 17])
        (folder / f"{name}.txt").write_text("Actor 1 dances here.\nActor 1 dances there.\n", "utf-8")
    return folder


def build(desk, videos, *words):
    size = () if "--size" in words else ("--size", "64x64")
    return desk.mpvg("dataset", "build", videos, "--out", desk.folder / "set", "--jobs", 1, *size, *words)


def manifest(desk):
    return json.loads((desk.folder / "set" / "dataset.json").read_text("utf-8"))


def test_a_build_says_what_it_made_and_where(desk, videos):
    result = build(desk, videos)
    assert result.exit_code == 0, result.stderr
    out = desk.folder / "set"
    assert result.stdout.splitlines() == [
        "2 of 2 videos gave 2 stories: 4 clips, 8.5 s",
        str(out / "dataset.json"),
        str(out / "index.html"),
    ]
    assert f"{videos / 'a.mp4'}: done, 1 of 2" in result.stderr


def test_transitions_are_another_layout(desk, videos):
    result = build(desk, videos, "--layout", "transitions", "--seconds", 2)
    assert result.exit_code == 0 and "2 transitions: 2 clips, 4.2 s" in result.stdout
    assert manifest(desk)["settings"]["frames"] == 17


def test_files_that_are_damaged_or_no_video_are_named_at_the_end_and_make_the_exit_code_1(desk, videos):
    (videos / "broken.mp4").write_bytes((videos / "a.mp4").read_bytes()[:3000])
    (videos / "notes.pdf").write_text("notes")
    result = build(desk, videos)
    assert result.exit_code == 1
    assert "2 of 3 videos gave 2 stories" in result.stdout and "files: 1 damaged, 1 no video" in result.stdout
    broken, notes = result.stderr.splitlines()[-2:]
    assert broken.startswith(f"{videos / 'broken.mp4'}: ") and notes == f"{videos / 'notes.pdf'}: is no video"
    assert "Traceback" not in result.output


def test_clips_without_captions_make_the_exit_code_1(desk, videos):
    (videos / "a.txt").unlink()
    result = build(desk, videos)
    assert result.exit_code == 1 and "2 without caption" in result.stdout
    assert f"{videos / 'a.mp4'}: 2 of 2 clips without caption" in result.stderr


def test_an_endpoint_describes_what_has_no_text_and_its_key_is_written_nowhere(desk, videos, serve, monkeypatch):
    (videos / "a.txt").unlink()
    monkeypatch.setenv("MY_KEY", KEY)
    here = said("Actor 1 is in the picture.")
    server = serve(here, here, Answer(401, {"error": f"bad key {KEY}"}))
    words = ("--endpoint", server.address, "--caption-model", "see-1", "--key-env", "MY_KEY")
    result = build(desk, videos, *words)
    assert result.exit_code == 0, result.stderr
    assert len(server.asked) == 2 and server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "Actor 1 is in the picture." in (desk.folder / "set" / "index.html").read_text("utf-8")
    (desk.folder / "set" / "stories").rename(desk.folder / "old")
    refused = build(desk, videos, *words)
    assert refused.exit_code == 2 and "put a valid key into the environment variable MY_KEY" in refused.stderr
    written = b"".join(file.read_bytes() for file in (desk.folder / "set").rglob("*") if file.is_file())
    assert KEY.encode() not in written and KEY not in result.output + refused.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--layout", "shots"), "--layout: 'shots' is unknown; expected scenes or transitions"),
        (("--size", "big"), "--size: 'big' is no size"),
        (("--frames", 48), "take 49"),
        (("--frames", 49, "--seconds", 3), "both are given"),
        (("--endpoint", "http://host/v1"), "add --caption-model"),
        (("--caption-model", "m"), "add --endpoint"),
        (("--endpoint", "nowhere", "--caption-model", "m"), "'nowhere' is no web address"),
        (("--blip", "x", "--endpoint", "http://host", "--caption-model", "m"), "one of them"),
        (("--blip", "nowhere"), "config.json cannot be read"),
    ],
)
def test_wrong_options_are_told_before_anything_is_cut(desk, videos, words, said):
    result = build(desk, videos, *words)
    assert result.exit_code == 2 and said in result.stderr
    assert not (desk.folder / "set").exists()


def test_a_path_that_is_not_there_is_told(desk):
    result = build(desk, desk.folder / "nowhere")
    assert result.exit_code == 2 and "nowhere: is not there" in result.stderr


def test_the_command_loads_no_torch_to_show_its_help():
    code = (
        "import sys, mpvg_core.cli.dataset, mpvg_core.datasets.build;"
        "print([m for m in ('torch', 'transformers', 'diffusers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def running(tmp_path, jobs):
    """A build of ten videos in a process, to be ended by the caller; its first clip is there."""
    folder = tmp_path / "many"
    for number in range(10):
        write_video(folder / f"{number}.mp4", "snow moon beach forest", [17 + number, 17, 17, 17])
        (folder / f"{number}.txt").write_text("one\ntwo\nthree\nfour\n", "utf-8")
    words = ["dataset", "build", folder, "--out", tmp_path / "set", "--size", "64x64", "--jobs", jobs]
    command = [sys.executable, "-m", "mpvg_core", *map(str, words)]
    heed = None if os.name == "nt" else heed_ctrl_c
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    until = time.monotonic() + 120
    while not clips(tmp_path) and time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return process, command


def heed_ctrl_c():
    """A shell starts its background commands, tests among them, deaf to it; what they start would be deaf too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def clips(tmp_path):
    return {file: file.stat().st_mtime_ns for file in (tmp_path / "set").glob("stories/*/*.mp4")}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to the tests too")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL] if os.name != "nt" else [])
def test_a_build_that_is_stopped_goes_on_and_makes_no_finished_clip_again(tmp_path, end):
    process, command = running(tmp_path, jobs=2 if end == signal.SIGKILL else 1)
    process.send_signal(end)
    stderr = process.communicate(timeout=60)[1]
    if end == signal.SIGINT:
        assert process.returncode == 130 and "the same command goes on from here" in stderr
        assert "Traceback" not in stderr
    finished = clips(tmp_path)
    assert 0 < len(finished) < 40 and not (tmp_path / "set" / "dataset.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    after = clips(tmp_path)
    assert len(after) == 40 and finished.items() <= after.items()
    assert not [*(tmp_path / "set").rglob("*.part")]
    assert "10 of 10 videos gave 10 stories: 40 clips" in done.stdout
