"""A trained model's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import build_model

from mpvg_core.backbone.folder import find_model
from mpvg_core.backbone.load import load_backbone
from mpvg_core.errors import InputError
from mpvg_core.training import result
from mpvg_core.training.result import write_model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_model(tmp_path_factory.mktemp("models") / "tiny", channels=4)
    (folder / "mpvg.json").write_text(json.dumps({"steps": 7, "text_scale": 2.0}), "utf-8")
    (folder / "history_adapter.safetensors").write_bytes(b"old")
    return folder


@pytest.fixture
def trained(source):
    transformer = load_backbone(str(source), device="cpu", dtype="float32").transformer
    with torch.no_grad():
        transformer.proj_out.bias.add_(1.0)
    return transformer


def test_the_new_folder_is_a_model_with_the_new_weights_and_the_rest_as_it_was(source, trained, tmp_path) -> None:
    out = write_model(tmp_path / "new", find_model(str(source)), {"transformer": trained})
    old, new = (load_backbone(str(folder), device="cpu", dtype="float32") for folder in (source, out))
    moved = new.transformer.proj_out.bias - old.transformer.proj_out.bias
    assert torch.allclose(moved, torch.ones_like(moved), atol=2e-3)
    assert new.folder.defaults().steps == 7
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        for file in (source / part).iterdir():
            assert (out / part / file.name).read_bytes() == file.read_bytes()
    assert new.folder.adapter is None


def test_weights_are_stored_as_precisely_as_before(source, trained, tmp_path) -> None:
    out = write_model(tmp_path, find_model(str(source)), {"transformer": trained})
    (file,) = (out / "transformer").glob("*.safetensors")
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}


def test_a_second_result_replaces_the_first(source, trained, tmp_path) -> None:
    write_model(tmp_path, find_model(str(source)), {"transformer": trained})
    trained.float()
    with torch.no_grad():
        trained.proj_out.bias.add_(1.0)
    write_model(tmp_path, find_model(str(source)), {"transformer": trained})
    new = load_backbone(str(tmp_path), device="cpu", dtype="float32").transformer
    assert torch.allclose(new.proj_out.bias, trained.proj_out.bias.float())


def test_a_folder_half_written_is_no_model(source, trained, tmp_path, monkeypatch) -> None:
    write_model(tmp_path, find_model(str(source)), {"transformer": trained})

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(result, "patiently", stop)
    with pytest.raises(KeyboardInterrupt):
        write_model(tmp_path, find_model(str(source)), {"transformer": trained})
    with pytest.raises(InputError, match="transformer"):
        find_model(str(tmp_path))


def test_large_files_are_shared_with_the_model_they_come_from(source, trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(result, "_LINK_FROM", 1)
    out = write_model(tmp_path / "new", find_model(str(source)), {"transformer": trained})
    (old,), (new,) = ((folder / "vae").glob("*.safetensors") for folder in (source, out))
    if old.stat().st_dev == new.parent.stat().st_dev:
        assert old.samefile(new)
