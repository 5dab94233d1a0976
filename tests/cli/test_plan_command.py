"""`mpvg plan`, and what the program loads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


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


def test_all_problems_of_a_board_are_said_with_file_and_line_and_exit_2(desk):
    desk.edit("frames: 9}", "frames: 9, colour: red}")
    result = desk.mpvg("plan", desk.board)
    assert result.exit_code == 2 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) >= 3 and all(f"{desk.board}:" in line for line in lines)


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
