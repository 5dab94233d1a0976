"""`mpvg train control` and `mpvg train cross-shot`, on tiny models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_models import build_model, build_stories

from mpvg_core.backbone.load import load_backbone
from mpvg_core.cli.main import app
from mpvg_core.methods.control_adapter import load_control_adapter
from mpvg_core.methods.control_adapter import require_fit as control_fits
from mpvg_core.methods.temporal_adapter import read_temporal_adapter
from mpvg_core.methods.temporal_adapter import require_fit as temporal_fits


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return build_model(tmp_path_factory.mktemp("models") / "2b", channels=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stories(tmp_path_factory.mktemp("sets") / "data", 17, 17, 9)


def train(what: str, model: Path, data: Path, out: Path, *words: object, steps: int = 2):
    options = ("--model", model, "--data", data, "--out", out, "--steps", steps, "--batch", 2, "--threads", 1)
    return CliRunner().invoke(app, [str(word) for word in ("train", what, *options, *words)])


def read(what: str, file: Path):
    return load_control_adapter(file) if what == "control" else read_temporal_adapter(file)


@pytest.mark.parametrize("what", ["control", "cross-shot"])
def test_an_adapter_of_the_model_is_learned_and_a_second_call_goes_on(model, data, tmp_path, what) -> None:
    out = tmp_path / "adapter.safetensors"
    first = train(what, model, data, out)
    assert first.exit_code == 0, first.output
    assert first.stdout.strip() == str(out)
    before = read(what, out)
    backbone = load_backbone(str(model), device="cpu", dtype="float32")
    (control_fits if what == "control" else temporal_fits)(before, backbone.transformer)
    assert before.trained["steps"] == 2 and before.trained["base"] == backbone.fingerprint
    again = train(what, model, data, out, steps=3)
    assert again.exit_code == 0, again.output
    assert read(what, out).fingerprint != before.fingerprint
    log = (tmp_path / "adapter.safetensors.run" / "log.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == [0, 1, 2]


@pytest.mark.parametrize("what", ["control", "cross-shot"])
def test_activations_that_are_computed_twice_teach_the_same(model, data, tmp_path, what) -> None:
    for name, word in (("kept", "--no-recompute"), ("twice", "--recompute")):
        result = train(what, model, data, tmp_path / f"{name}.safetensors", word)
        assert result.exit_code == 0, result.output
    kept, twice = (read(what, tmp_path / f"{name}.safetensors") for name in ("kept", "twice"))
    assert kept.fingerprint == twice.fingerprint


@pytest.mark.parametrize(("what", "words"), [("control", ("--rank", 0)), ("cross-shot", ("--seed", 5))])
def test_a_run_made_of_other_things_is_refused(model, data, tmp_path, what, words) -> None:
    out = tmp_path / "adapter.safetensors"
    assert train(what, model, data, out, steps=1).exit_code == 0
    changed = train(what, model, data, out, *words)
    assert changed.exit_code == 2
    assert f"{words[0]}: is" in changed.output


@pytest.mark.parametrize("what", ["control", "cross-shot"])
def test_the_second_call_neither_encodes_nor_reads_again(model, data, tmp_path, what, monkeypatch) -> None:
    from mpvg_core.backbone.cogvideox import CogVideoXBackbone

    out = tmp_path / "adapter.safetensors"
    assert train(what, model, data, out, steps=1).exit_code == 0

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    for name in ("encode_clip", "encode_text"):
        monkeypatch.setattr(CogVideoXBackbone, name, refuse)
    assert train(what, model, data, out, steps=2).exit_code == 0


@pytest.mark.parametrize(
    ("what", "words", "said"),
    [
        ("control", ("--structure", "depth"), "scene-001.depth.mp4"),
        ("control", ("--lr", 0), "lr"),
        ("control", ("--out", "adapter.pt"), ".safetensors"),
        ("cross-shot", ("--steps", 0), "--steps"),
        ("cross-shot", ("--data", "nowhere"), "nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(model, data, tmp_path, what, words, said) -> None:
    out = tmp_path / "adapter.safetensors"
    result = train(what, model, data, out, *words)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert not out.exists() and not out.with_name("adapter.safetensors.run").exists()


def test_footage_of_lone_scenes_teaches_no_adapter_to_look_back(model, tmp_path) -> None:
    result = train("cross-shot", model, build_stories(tmp_path / "data", 17), tmp_path / "adapter.safetensors")
    assert result.exit_code == 2
    assert "no story has a shot with another before it" in result.output
