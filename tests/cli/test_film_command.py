"""`mpvg film` and `mpvg assemble`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mpvg_core.backbone.folder import ModelDefaults
from mpvg_core.cli import film


def takes_of(desk):
    return {shot["name"]: shot for shot in json.loads((desk.film / "film.json").read_text("utf-8"))["shots"]}


def test_one_command_leaves_film_sheet_and_record_and_says_where(desk):
    result = desk.shoot()
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(desk.film / name) for name in ("film.mp4", "contact.png", "film.json")]
    assert all((desk.film / name).is_file() for name in ("film.mp4", "contact.png", "film.json"))
    assert "3 of 3 shots to film" in result.stderr and "shot 2/3 'storm': take" in result.stderr


def test_running_again_films_nothing(desk):
    desk.shoot()
    result = desk.shoot()
    assert desk.backbone.denoised == 0
    assert "0 of 3 shots to film" in result.stderr and "shot 1/3 'dawn' is there already" in result.stderr


def test_options_reach_the_takes(desk):
    desk.shoot("--text-scale", 3.5, "--history-scale", -0.5, "--seed", 11, "--scheduler", "dpm")
    settings = json.loads((desk.film / "film.json").read_text("utf-8"))["settings"]
    assert (settings["steps"], settings["text_scale"], settings["history_scale"]) == (3, 3.5, -0.5)
    assert settings["scheduler"] == "dpm"
    seeds = {name: shot["seed"] for name, shot in takes_of(desk).items()}
    desk.shoot("--seed", 12)
    assert all(shot["seed"] != seeds[name] for name, shot in takes_of(desk).items())


def test_the_models_own_defaults_count_until_told_otherwise(desk, monkeypatch):
    own = ModelDefaults(7, 2.5, 4.0, (0.0, 0.7), "dpm")
    monkeypatch.setattr(film, "_defaults", lambda model: own)
    desk.mpvg("film", desk.board, "--out", desk.film.parent, "--shots", "dawn", "--history-scale", 3)
    settings = json.loads((desk.film / "film.json").read_text("utf-8"))["settings"]
    assert (settings["steps"], settings["text_scale"], settings["scheduler"]) == (7, 2.5, "dpm")
    assert (settings["history_scale"], settings["interval"]) == (3, [0.0, 0.7])


def test_shots_can_be_chosen_by_number_range_or_name(desk):
    desk.shoot("--shots", "storm")
    assert list(takes_of(desk)) == ["dawn", "storm"]  # storm remembers dawn's boat
    desk.shoot("--shots", "1-3")
    assert list(takes_of(desk)) == ["dawn", "storm", "home"]


def test_a_locked_shot_keeps_its_take_when_the_board_changes(desk):
    desk.shoot()
    before = takes_of(desk)
    desk.edit("a grey gull sleeps alone", "a white gull wakes")
    desk.edit("a red boat", "a blue boat")
    assert desk.shoot("--lock", "3,dawn").exit_code == 0
    assert {name: shot["take"] for name, shot in takes_of(desk).items()} == {
        name: shot["take"] for name, shot in before.items()
    }
    assert takes_of(desk)["home"]["prompt"] == "a grey gull sleeps alone"
    assert takes_of(desk)["home"]["locked"]


def test_a_lock_before_the_first_film_keeps_the_take_that_is_made(desk):
    desk.shoot("--lock", "3")
    first = takes_of(desk)["home"]
    assert first["locked"]
    desk.edit("a grey gull sleeps alone", "a white gull wakes")
    desk.shoot()
    assert takes_of(desk)["home"] == first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "0"], "steps: 0; expected a whole number from 1"),
        (["--text-scale", "nan"], "text_scale: nan is no scale"),
        (["--scheduler", "euler"], "scheduler: 'euler' is unknown; expected one of ddim, dpm"),
        (["--shots", "4,nobody"], "--shots: there is no shot '4'"),
        (["--lock", "0"], "--lock: there is no shot '0'"),
        (["--audio", "none.wav"], "--audio: none.wav is not there"),
    ],
)
def test_wrong_options_end_with_2_and_a_line_that_says_what_is_expected(desk, words, said):
    result = desk.shoot(*words)
    assert result.exit_code == 2
    assert said in result.stderr and "Traceback" not in result.output
    assert desk.backbone.encoded == []


def test_every_wrong_shot_is_named_at_once(desk):
    assert len(desk.shoot("--shots", "4,nobody").stderr.splitlines()) == 2


def test_words_the_model_does_not_know_are_refused_before_filming(desk):
    desk.edit("a grey gull", "a grey dragon")
    result = desk.shoot()
    assert result.exit_code == 2 and "dragon" in result.stderr and "home" in result.stderr
    assert desk.mpvg("plan", desk.board).exit_code == 0


def test_an_output_folder_that_cannot_be_written_is_one_clear_line(desk):
    (desk.folder / "out").write_text("a file")
    result = desk.shoot()
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "cannot be written" in line and "--out" in line


def test_a_file_without_sound_is_refused_before_anything_is_loaded(desk):
    song = desk.folder / "song.wav"
    song.write_text("la la la")
    result = desk.shoot("--audio", song)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(f"--audio: {song} holds no sound that can be read")
    assert desk.backbone.encoded == [] and not desk.film.exists()


NO_TORCH = """
import sys
from typer.testing import CliRunner
from mpvg_core.backbone import load
from mpvg_core.cli.main import app
from mpvg_core.storyboard.plan import ModelLimits
load.model_limits = lambda model: ModelLimits(model, 49, 8, 8, 64, 64, 16, 24, lambda text: len(text.split()))
result = CliRunner().invoke(app, ["film", sys.argv[1], "--out", sys.argv[2]])
assert result.exit_code == 2 and "cannot be written" in result.output, result.output
assert "torch" not in sys.modules
"""


def test_an_output_folder_that_cannot_be_written_is_told_before_torch_is_loaded(desk):
    (desk.folder / "out").write_text("a file")
    words = [sys.executable, "-c", NO_TORCH, str(desk.board), str(desk.folder / "out" / "deep")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_ends_with_130_and_says_that_takes_are_kept(desk):
    desk.backbone.fail_at = 8
    result = desk.shoot()
    assert result.exit_code == 130
    assert "finished takes are kept" in result.stderr and "Traceback" not in result.output
    assert len([*(desk.film / "takes").iterdir()]) == 1
    desk.backbone.fail_at = 0
    assert desk.shoot().exit_code == 0


def test_an_unforeseen_error_is_one_line_and_a_traceback_only_with_debug(desk, monkeypatch):
    def decode(latents):
        raise RuntimeError("CUDA error: out of\nmemory")

    monkeypatch.setattr(desk.backbone, "decode", decode)
    result = desk.shoot()
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "RuntimeError: CUDA error: out of memory (run with --debug to see where)"
    assert "Traceback" not in result.output
    words = ["--debug", "film", desk.board, "--out", desk.folder / "out"]
    assert "Traceback" in desk.mpvg(*words).stderr


def test_the_film_is_assembled_again_without_a_model(desk, monkeypatch):
    desk.shoot()
    film = (desk.film / "film.mp4").read_bytes()
    (desk.film / "film.mp4").unlink()
    monkeypatch.delattr("mpvg_core.backbone.load.load_backbone")
    assert desk.mpvg("assemble", desk.film).exit_code == 0
    assert (desk.film / "film.mp4").read_bytes() == film


def test_a_folder_without_a_film_is_refused(desk):
    result = desk.mpvg("assemble", desk.folder)
    assert result.exit_code == 2 and "has no film.json" in result.stderr
    assert not (desk.folder / "takes").exists()


def test_a_title_cannot_lead_out_of_the_output_folder(desk):
    desk.edit("title: Sea story", "title: ../../escaped")
    assert desk.shoot().exit_code == 0
    assert [path.name for path in (desk.folder / "out").iterdir()] == ["escaped"]
    assert sorted(path.name for path in desk.folder.iterdir()) == ["board.yaml", "out"]
