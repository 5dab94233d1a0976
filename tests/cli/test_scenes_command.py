"""`mpvg scenes`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from mpvg_core.cli.main import app
from mpvg_core.film.video import VideoWriter

COLOURS = [(200, 30, 40), (20, 160, 60), (30, 50, 220)]


def mpvg(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def films(tmp_path):
    """One film of three scenes, eight frames each, and one of a single scene."""
    for name, colours in (("three", COLOURS), ("one", COLOURS[:1])):
        with VideoWriter(tmp_path / f"{name}.mp4", width=64, height=64, fps=8) as writer:
            for colour in colours:
                writer.write(np.full((8, 64, 64, 3), colour, np.uint8))
    return tmp_path


def test_scenes_are_printed_with_time_codes_and_scores(films):
    result = mpvg("scenes", films / "three.mp4")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and len(lines) == 4
    assert lines[0].endswith("three.mp4: 3 scenes, 2 cuts, 24 frames")
    assert lines[1].split() == ["1", "00:00:00.000", "-", "00:00:01.000", "frames", "0-7"]
    assert "00:00:01.000 - 00:00:02.000  frames 8-15, score " in lines[2]


def test_an_uncut_film_is_one_scene(films):
    assert "1 scene, 0 cuts, 8 frames" in mpvg("scenes", films / "one.mp4").stdout


def test_json_holds_segments_cuts_and_settings(films):
    result = mpvg("scenes", "--json", "--weights", "1,0,2", "--threshold", 20, films / "three.mp4", films / "one.mp4")
    three, one = json.loads(result.stdout)
    assert [segment["start"] for segment in three["segments"]] == [0, 8, 16] and len(one["segments"]) == 1
    assert three["seconds"] == pytest.approx(3.0, abs=1e-4)
    assert three["segments"][0]["score"] is None
    assert three["segments"][1]["score"] == three["cuts"][0]["score"] > 20
    assert three["cuts"][0] | {"score": 0} == {"frame": 8, "time": 1.0, "score": 0, "kind": "cut", "extent": 0}
    assert three["settings"]["weights"] == [1, 0, 2] and three["settings"]["threshold"] == 20


def test_a_fade_is_told_with_its_extent_and_is_no_cut(films):
    with VideoWriter(films / "fade.mp4", width=64, height=64, fps=8) as writer:
        for number in range(30):
            share = np.clip((number - 9) / 8, 0, 1)
            mixed = np.array(COLOURS[0]) * (1 - share) + np.array(COLOURS[1]) * share
            writer.write(np.full((64, 64, 3), mixed, np.uint8))
    lines = mpvg("scenes", films / "fade.mp4").stdout.splitlines()
    assert "1 scene, 0 cuts, 1 fade" in lines[0]
    assert "frames 10-16, fade" in lines[2]


def test_what_cannot_be_read_is_named_and_the_rest_is_done(films):
    (films / "empty.mp4").touch()
    result = mpvg("scenes", films / "empty.mp4", films / "three.mp4", films / "gone.mp4")
    assert result.exit_code == 2
    assert "empty.mp4: is empty (0 bytes)" in result.stderr and "gone.mp4: is not there" in result.stderr
    assert "3 scenes" in result.stdout


def test_a_broken_file_fails_and_the_rest_is_done(films):
    (films / "broken.mp4").write_bytes(b"broken" * 50)
    result = mpvg("scenes", "--json", films / "broken.mp4", films / "three.mp4")
    assert result.exit_code == 1 and "broken.mp4: ffmpeg failed" in result.stderr
    assert [film["frames"] for film in json.loads(result.stdout)] == [24]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--weights", "1,2"], "--weights: '1,2' cannot be read; expected three numbers, as 1,1,1"),
        (["--weights", "0,0,0"], "not all 0"),
        (["--filter", "often"], "filter: is 'often'; expected one of events, merge, suppress"),
        (["--backend", "other"], "backend: is 'other'; expected one of own, pyscenedetect"),
        (["--min-frames", "-1"], "min_frames: is -1; expected 0 or more"),
    ],
)
def test_options_that_are_none_are_refused(films, words, said):
    result = mpvg("scenes", films / "one.mp4", *words)
    assert result.exit_code == 2 and said in result.stderr
