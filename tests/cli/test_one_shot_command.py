"""`mpvg train one-shot`, on tiny models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_models import build_model

from mpvg_core.cli.main import app
from mpvg_core.film.video import VideoWriter
from mpvg_core.methods.one_shot import read_tuning

pytest.importorskip("peft", reason="pip install 'mpvg[tuning]'")

PROMPT = "Actor 1 is running on the snow."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return build_model(tmp_path_factory.mktemp("models") / "2b", channels=4)


def write_clip(path: Path, frames: int, fps: int = 8) -> Path:
    """A bright bar walks over a dark picture, wider than the model's."""
    clip = np.full((frames, 64, 96, 3), 30, np.uint8)
    for index in range(frames):
        clip[index, :, index % 80 : index % 80 + 8] = 220
    with VideoWriter(path, width=96, height=64, fps=fps) as writer:
        writer.write(clip)
    return path


def tune(clip: Path, out: Path, model: Path, *words: object, prompt: str = PROMPT, steps: int = 2):
    options = ("--prompt", prompt, "--out", out, "--model", model, "--steps", steps, "--rank", 2, "--threads", 1)
    return CliRunner().invoke(app, [str(word) for word in ("train", "one-shot", clip, *options, *words)])


def test_a_clip_is_learned_and_a_second_call_goes_on(model, tmp_path) -> None:
    clip, out = write_clip(tmp_path / "bar.mp4", 17), tmp_path / "bar.safetensors"
    first = tune(clip, out, model)
    assert first.exit_code == 0, first.output
    assert first.stdout.strip() == str(out)
    before = read_tuning(out)
    assert before.trained["prompt"] == PROMPT
    assert before.trained["windows"] == 1
    again = tune(clip, out, model, steps=3)
    assert again.exit_code == 0, again.output
    assert read_tuning(out).fingerprint != before.fingerprint
    log = (tmp_path / "bar.safetensors.run" / "log.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == [0, 1, 2]


def test_a_run_made_of_other_things_is_refused(model, tmp_path) -> None:
    clip, out = write_clip(tmp_path / "bar.mp4", 17), tmp_path / "bar.safetensors"
    assert tune(clip, out, model, steps=1).exit_code == 0
    for changed, option in (
        (tune(clip, out, model, prompt="Actor 2 is running on the snow."), "--prompt"),
        (tune(clip, out, model, "--projections", "to_v"), "--projections"),
        (tune(write_clip(tmp_path / "other.mp4", 25), out, model), "--clip"),
    ):
        assert changed.exit_code == 2
        assert f"{option}: is" in changed.output


def test_windows_lie_all_along_a_long_clip_at_the_models_rate(model, tmp_path) -> None:
    clip, out = write_clip(tmp_path / "bar.mp4", 66, fps=16), tmp_path / "bar.safetensors"
    result = tune(clip, out, model, steps=1)
    assert result.exit_code == 0, result.output
    assert read_tuning(out).trained["windows"] == 3  # 33 frames of the file each, half overlapping


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rank", 0), "--rank"),
        (("--projections", "to_q,to_z"), "to_z"),
        (("--prompt", "A unicorn is running."), "unicorn"),
        (("--out", "bar.pt"), ".safetensors"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(model, tmp_path, words, said) -> None:
    result = tune(write_clip(tmp_path / "bar.mp4", 9), tmp_path / "bar.safetensors", model, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "bar.safetensors.run").exists()


def test_a_clip_that_is_none_is_named(model, tmp_path) -> None:
    (tmp_path / "bar.mp4").write_text("no video", "utf-8")
    result = tune(tmp_path / "bar.mp4", tmp_path / "bar.safetensors", model)
    assert result.exit_code != 0
    assert "bar.mp4" in result.output
