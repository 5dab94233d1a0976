"""`mpvg evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))

from toy_films import SQUARE, STAR, put_film, story

from mpvg_core.cli.main import app


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return put_film(tmp_path_factory.mktemp("film"), story(STAR, SQUARE, SQUARE, STAR)[:2])


def evaluate(*words):
    return CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])


def test_the_figures_are_printed_in_words_and_where_the_names_come_from(film):
    result = evaluate(film)
    assert result.exit_code == 0, result.output
    assert "cuts                  accuracy 1.00: 1 of 1 seen, each at its frame" in result.stdout
    assert "Actor 1, Actor 2, playground, snow were read from the prompts" in result.stdout
    assert "measuring shot 2" in result.stderr


def test_json_on_the_standard_output_is_nothing_but_json(film):
    data = json.loads(evaluate(film, "--json", "--threshold", 12.5, "--min-frames", 2).stdout)
    assert data["cuts"]["threshold"] == 12.5 and data["cuts"]["min_frames"] == 2
    assert [shot["actors"] for shot in data["shots"]] == [["Actor 1"], ["Actor 2"]]


def test_the_report_is_written_and_named(film, tmp_path):
    result = evaluate(film, "--report", tmp_path / "page.html")
    assert str(tmp_path / "page.html") in result.stderr
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")


def test_names_come_from_the_board_and_an_option_goes_before_it(film, tmp_path):
    board = tmp_path / "board.yaml"
    board.write_text("cast: {Actor 1: a star}\nplaces: {the snow: white}\nshots: [a prompt]\n", "utf-8")
    data = json.loads(evaluate(film, "--json", "--board", board).stdout)
    assert [shot["actors"] for shot in data["shots"]] == [["Actor 1"], []]
    assert [shot["places"] for shot in data["shots"]] == [[], ["the snow"]] and not data["names_guessed"]
    data = json.loads(evaluate(film, "--json", "--board", board, "--actors", "Actor 2, Actor 3").stdout)
    assert [shot["actors"] for shot in data["shots"]] == [[], ["Actor 2"]]


def test_a_video_file_is_measured_without_a_storyboard(film):
    data = json.loads(evaluate(film / "film.mp4", "--json").stdout)
    assert data["cuts"]["found"] == [9] and data["cuts"]["wanted"] is None
    assert len(data["shots"]) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--features", "clip"], "--features clip: needs a model"),
        (["--encoder", "."], "palette features need none"),
        (["--features", "dino", "--encoder", "none"], "none is not there"),
        (["--vbench"], "pip install vbench"),
    ],
    ids=["no encoder", "needless encoder", "missing encoder", "no vbench"],
)
def test_what_cannot_be_measured_is_told_before_anything_is_read(film, words, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "vbench", None)
    result = evaluate(film, *words)
    assert result.exit_code == 2 and told in result.stderr
    assert "measuring" not in result.stderr


def test_vbench_rates_the_clips_of_a_film_and_no_video_file(film):
    result = evaluate(film / "film.mp4", "--vbench")
    assert result.exit_code == 2 and "a folder with takes of its shots" in result.stderr


def test_a_path_that_is_no_film_ends_with_the_code_for_wrong_input(tmp_path):
    result = evaluate(tmp_path)
    assert result.exit_code == 2 and "film.json" in result.stderr
