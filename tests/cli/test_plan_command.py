"""`mpvg plan`, and what the program loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mpvg_core import pocket
from mpvg_core.backbone import load

find_limits = load.model_limits  # before the desk puts its own in its place
POCKET = Path(pocket.__file__).parent / "weights" / "tokenizer"


def test_json_tells_every_resolved_shot(desk):
    result = desk.mpvg("plan", desk.board, "--json", "--seed", 3)
    assert result.exit_code == 0
    shots = json.loads(result.stdout)["shots"]
    wanted = {"name", "prompt", "full_prompt", "frames", "seconds", "seed", "tokens", "looks_back"}
    assert all(wanted <= set(shot) for shot in shots)
    assert [(shot["name"], shot["looks_back"]) for shot in shots] == [
        ("dawn", []),
        ("storm", ["dawn"]),
        ("home", ["dawn", "storm"]),
    ]
    again = json.loads(desk.mpvg("plan", desk.board, "--json", "--seed", 4).stdout)["shots"]
    assert all(one["seed"] != other["seed"] for one, other in zip(shots, again, strict=True))


def test_a_board_may_come_by_the_standard_input(desk):
    result = desk.mpvg("plan", "-", "--json", stdin=desk.board.read_text("utf-8"))
    assert [shot["name"] for shot in json.loads(result.stdout)["shots"]] == ["dawn", "storm", "home"]


def test_the_text_shows_prompts_lengths_and_what_is_looked_at(desk):
    said = desk.mpvg("plan", desk.board).stdout
    assert "Sea story: 3 shots" in said
    assert "2  storm: 9 frames" in said and "a green wave hits the boat" in said
    assert "looks back at: dawn, storm" in said


def test_the_text_shows_where_a_layout_places_its_entities(desk):
    moving = "[{entity: boat, box: [0, 0.5, 0.4, 0.5]}, {entity: boat, at: 1, box: [0.6, 0.5, 0.4, 0.5]}]"
    desk.edit("leaves the harbour, frames: 9}", f"leaves the harbour, frames: 9, layout: {moving}}}")
    desk.edit("sleeps alone, frames: 9}", "sleeps alone, frames: 9, layout: [{entity: gull, box: [0, 0, 1, 0.25]}]}")
    said = desk.mpvg("plan", desk.board).stdout
    assert "boat through the boxes 0 50 40 50 at 0%, 60 50 40 50 at 100% (left, top, width, height in %)" in said
    assert "gull in the box 0 0 100 25 (left, top, width, height in %)" in said


def test_all_problems_of_a_board_are_said_with_file_and_line_and_exit_2(desk):
    desk.edit("frames: 9}", "frames: 9, colour: red}")
    result = desk.mpvg("plan", desk.board)
    assert result.exit_code == 2 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) >= 3 and all(f"{desk.board}:" in line for line in lines)


TAV = json.loads((Path(__file__).parents[1] / "storyboard" / "data" / "tav_prompts.json").read_text("utf-8"))


@pytest.mark.parametrize(("group", "shots"), [("A", 1), ("B", 2), ("C", 2)])
def test_all_published_transition_prompts_plan_as_so_many_shots(desk, group, shots):
    assert len(TAV[group]) == 20
    for number, prompt in enumerate(TAV[group]):
        desk.board = desk.folder / f"{group}{number}.txt"
        desk.board.write_text(prompt, "utf-8")
        by_file = desk.mpvg("plan", desk.board, "--json")
        piped = desk.mpvg("plan", "-", "--json", stdin=prompt)
        assert (by_file.exit_code, piped.exit_code) == (0, 0), prompt
        planned = json.loads(by_file.stdout)["shots"]
        assert planned == json.loads(piped.stdout)["shots"]
        assert len(planned) == shots, prompt
        assert [shot["looks_back"] for shot in planned] == [[], ["shot 1"]][:shots]
        said = "".join(shot["prompt"] for shot in planned)
        assert all(shot["prompt"] in prompt for shot in planned) and len(said) >= len(prompt) - 24
        assert not set("：；") & set(said), prompt  # neither a marker nor what stands between scenes is filmed


@pytest.mark.skipif(not POCKET.is_dir(), reason="the pocket model's weights are not here")
def test_the_pocket_models_own_limits_take_the_published_prompts(desk, monkeypatch):
    monkeypatch.setattr(load, "model_limits", find_limits)
    for group, shots in (("A", 1), ("B", 2), ("C", 2)):
        result = desk.mpvg("plan", "-", "--json", stdin=TAV[group][0])
        assert len(json.loads(result.stdout)["shots"]) == shots


def test_debug_holds_for_one_run_only(desk):
    assert "Traceback" in desk.mpvg("--debug", "plan", "nowhere.yaml").stderr
    assert "Traceback" not in desk.mpvg("plan", "nowhere.yaml").stderr


@pytest.mark.parametrize("words", [["plan"], ["fly"], ["plan", "a", "b"], ["plan", "x", "--seed", "red"]])
def test_a_wrong_command_line_ends_with_2(desk, words):
    assert desk.mpvg(*words).exit_code == 2


def test_a_board_that_is_not_there_ends_with_2_and_its_name(desk):
    result = desk.mpvg("plan", "nowhere.yaml")
    assert result.exit_code == 2 and "nowhere.yaml" in result.stderr


LIGHT = """
import sys
from typer.testing import CliRunner
from mpvg_core.backbone import load
from mpvg_core.cli.main import app
from mpvg_core.storyboard.plan import ModelLimits
load.model_limits = lambda model: ModelLimits(model, 49, 8, 8, 64, 64, 16, 24, lambda text: len(text.split()))
result = CliRunner().invoke(app, {words!r})
assert result.exit_code == 0, result.output
heavy = {{"torch", "diffusers", "transformers"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_plan_and_help_and_takes_load_no_torch(desk):
    desk.shoot()
    for words in (["plan", str(desk.board)], ["--help"], ["takes", "list", str(desk.film)]):
        script = LIGHT.format(words=words)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_package_run_as_a_module_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "mpvg_core", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("mpvg ")
    wrong = subprocess.run([sys.executable, "-m", "mpvg_core", "plan", "nowhere"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "nowhere" in wrong.stderr and "Traceback" not in wrong.stderr
