"""`mpvg train transitions` and `mpvg bench transitions`, on tiny models."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_models import build_data, build_model

from mpvg_core.backbone.load import load_backbone
from mpvg_core.cli.main import app
from mpvg_core.pocket import transition_bench, transitions
from mpvg_core.pocket.latents import LatentBasis, fit_basis
from mpvg_core.pocket.world import PLACES, draw_scene, draw_story


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("train")
    models = {kind: build_model(root / kind, kind) for kind in ("2b", "5b")}
    return models | {"data": build_data(root / "data")}


@pytest.fixture(scope="module")
def basis() -> LatentBasis:
    return fit_basis(np.stack([draw_scene(draw_story(seed, shots=1).scenes[0]) for seed in range(20)]))


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def train(out: Path, *words: object, steps: int = 2):
    return run("train", "transitions", "--out", out, "--steps", steps, "--batch", 2, "--threads", 1, *words)


def transformer(folder: Path) -> torch.nn.Module:
    return load_backbone(str(folder), device="cpu", dtype="float32").transformer


def test_a_cogvideox_folder_learns_from_a_data_set_and_goes_on_where_it_stopped(places, tmp_path) -> None:
    out = tmp_path / "new"
    words = ("--model", places["2b"], "--data", places["data"], "--lr", 1e-3)
    first = train(out, *words)
    assert first.exit_code == 0, first.output
    assert first.stdout.strip() == str(out)
    before, after = transformer(places["2b"]), transformer(out)
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    encoder = out / "text_encoder" / "model.safetensors"
    assert encoder.read_bytes() == (places["2b"] / "text_encoder" / "model.safetensors").read_bytes()
    latents = {file.name: file.stat().st_mtime_ns for file in (out / "run" / "latents").iterdir()}
    again = train(out, *words, steps=3)
    assert again.exit_code == 0, again.output
    assert {file.name: file.stat().st_mtime_ns for file in (out / "run" / "latents").iterdir()} == latents
    steps = [json.loads(line)["step"] for line in (out / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    assert steps == [0, 1, 2]
    changed = train(out, *words, "--gamma", 3, steps=4)
    assert changed.exit_code == 2
    assert "--gamma: is 3.0; expected 5.0 as before" in changed.output


def test_a_model_with_rotary_positions_learns_too_and_attention_alone_needs_less(places, tmp_path) -> None:
    words = ("--model", places["5b"], "--data", places["data"], "--layers", "attention", "--recompute", "--at-once", 1)
    result = train(tmp_path / "new", *words)
    assert result.exit_code == 0, result.output
    before, after = (dict(transformer(folder).named_parameters()) for folder in (places["5b"], tmp_path / "new"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(".attn1." in name for name in changed)


def test_the_toy_world_teaches_the_text_encoder_too(places, basis, tmp_path) -> None:
    out = tmp_path / "new"
    (out / "run").mkdir(parents=True)
    save_file(basis.state(), out / "run" / "basis.safetensors")
    result = train(out, "--model", places["2b"], "--lr", 1e-3, "--frames", 3)
    assert result.exit_code == 0, result.output
    encoder = out / "text_encoder" / "model.safetensors"
    assert encoder.read_bytes() != (places["2b"] / "text_encoder" / "model.safetensors").read_bytes()
    assert run("plan", "-", "--model", out).exit_code == 2  # it is a model: only the empty storyboard is at fault


def test_a_model_of_another_world_is_refused_toys(places, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(transitions, "_FIT_CLIPS", 4)
    result = train(tmp_path / "new", "--model", places["2b"])
    assert result.exit_code == 2
    assert "name a data set with --data" in result.output


def test_words_that_a_model_lacks_are_named(places, tmp_path) -> None:
    folder = Path(shutil.copytree(places["2b"], tmp_path / "old"))
    file = folder / "tokenizer" / "tokenizer.json"
    file.write_text(file.read_text("utf-8").replace('"previous"', '"formerly"'), "utf-8")
    result = train(tmp_path / "new", "--model", folder)
    assert result.exit_code == 2
    assert "does not know 'previous'" in result.output


@pytest.mark.parametrize(
    ("option", "said"),
    [(("--layers", "some"), "all or attention"), (("--weighting", "max"), "terminal"), (("--lr", 0), "more than 0")],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(tmp_path, option, said) -> None:
    result = train(tmp_path / "new", *option)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "new").exists()


def test_the_bench_prints_a_table_with_its_detector_and_leaves_sheets_and_json(
    places, basis, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(transitions, "measured_basis", lambda backbone: basis)
    monkeypatch.setattr(transition_bench, "PLACES", dict(list(PLACES.items())[:2]))  # two pairs of places
    out = tmp_path / "bench"
    words = ("--model", places["2b"], "--tuned", places["2b"], "--out", out, "--prompts", 2, "--seeds", 1)
    result = run("bench", "transitions", *words, "--steps", 1, "--min-frames", 3, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "| C | after | " in result.stdout
    assert "Detector (threshold 27, least 3 frames) on 4 known clips" in result.stdout
    figures = json.loads((out / "figures.json").read_text("utf-8"))
    assert figures["settings"]["detector"]["min_frames"] == 3
    assert figures["figures"]["before"] == figures["figures"]["after"]  # one model from one noise
    assert figures["figures"]["after"]["A"]["segments"]["n"] == 2
    assert {f"{name}-{group}.png" for name in ("before", "after") for group in ("A", "A2", "B", "C")} <= {
        file.name for file in out.iterdir()
    }
