"""The recipe from nothing to a model that films, in miniature."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mpvg_core.backbone.load import load_backbone
from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.history.adapter import load_adapter
from mpvg_core.pocket import history, recipe
from mpvg_core.pocket.autoencoder import train_autoencoder
from mpvg_core.pocket.base import train_base
from mpvg_core.pocket.bench import PAIR, cast_story
from mpvg_core.pocket.filming import Studio, Variant, every_token
from mpvg_core.pocket.history import train_history
from mpvg_core.pocket.unpack import unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained for a step or two, as the recipe leaves it."""
    torch.set_num_threads(1)
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "BASIS_CLIPS", 20)
        patch.setattr(history, "SPACE_STORIES", 30)
        basis = recipe.load_basis(runs)
        train_base(runs / "base", basis, steps=2, batch=4, workers=0)
        train_autoencoder(runs / "autoencoder", basis, steps=1, batch=2)
        base = recipe.averaged_base(runs)
        train_history(runs / "history", base, basis, seeing_steps=1, steps=2, batch=4, workers=0)
        recipe.export(runs, runs / "model")
    return runs / "model"


def test_what_the_recipe_exports_films_and_remembers(folder: Path) -> None:
    backbone = load_backbone(str(folder))
    assert backbone.folder.adapter is not None
    studio = Studio(backbone, load_adapter(backbone.folder.adapter), batch=2)
    films = studio.open([cast_story(seed, PAIR) for seed in (1, 2, 3)])
    usual = Variant(HistoryGuidance(1.0, 1.0), 2)
    studio.film(films, usual, 2)
    assert [len(film.history) for film in films] == [2, 2, 2]
    on = studio.shot(films, usual)
    everything = studio.shot(films, Variant(HistoryGuidance(1.0, 1.0), 2, select=every_token))
    off = studio.shot(films, Variant(HistoryGuidance(1.0, 0.0), 2, remembers=False))
    assert all(some.clip.shape == (17, 64, 64, 3) for some in on)
    assert all(0 <= some.kept <= most.kept == most.words for some, most in zip(on, everything, strict=True))
    assert all(none.kept == 0 for none in off)
    assert not all(torch.equal(a.latents, b.latents) for a, b in zip(everything, off, strict=True))


def test_logs_lie_beside_the_weights(folder: Path) -> None:
    logs = {"autoencoder.jsonl", "base.jsonl", "history.jsonl", "steps.json"}
    assert {file.name for file in (folder / "logs").iterdir()} == logs


def test_a_second_run_of_a_finished_piece_trains_nothing(folder: Path) -> None:
    runs = folder.parent
    before = (runs / "base" / "checkpoint.pt").stat().st_mtime_ns
    train_base(runs / "base", recipe.load_basis(runs), steps=2, batch=4, workers=0)
    assert (runs / "base" / "checkpoint.pt").stat().st_mtime_ns == before


def test_training_goes_on_from_an_exported_model(folder: Path, tmp_path: Path) -> None:
    """In the same latent space, with the same weights, at the step where it stopped."""
    unpack(folder, tmp_path)
    assert recipe.load_basis(tmp_path).state().keys() == recipe.load_basis(folder.parent).state().keys()
    for key, value in recipe.load_basis(tmp_path).state().items():
        assert torch.equal(value, recipe.load_basis(folder.parent).state()[key])
    own, unpacked = recipe.averaged_base(folder.parent), recipe.averaged_base(tmp_path)
    for name, module in own.items():
        for (key, a), b in zip(module.named_parameters(), unpacked[name].parameters(), strict=True):
            torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-4, msg=f"{name}.{key}")
    recipe.export(tmp_path, tmp_path / "model")
    for part in ("vae", "transformer"):
        file = f"{part}/diffusion_pytorch_model.safetensors"
        assert (tmp_path / "model" / file).read_bytes() == (folder / file).read_bytes()
    train_base(tmp_path / "base", recipe.load_basis(tmp_path), steps=3, batch=4, workers=0)
    lines = (tmp_path / "base" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1  # step 0, from the model's log: it went on at step 2 and logs every twentieth
    assert torch.load(tmp_path / "base" / "checkpoint.pt", weights_only=True)["step"] == 3
    adapter = torch.load(tmp_path / "history" / "checkpoint.pt", weights_only=True)
    assert adapter["step"] == 2
    torch.testing.assert_close(
        adapter["modules"]["adapter"]["extractor.age.weight"].half(),
        load_file(folder / "history_adapter.safetensors")["extractor.age.weight"],
    )


def test_unpacking_replaces_no_checkpoint(folder: Path, tmp_path: Path) -> None:
    unpack(folder, tmp_path)
    before = (tmp_path / "base" / "checkpoint.pt").read_bytes()
    with pytest.raises(FileExistsError, match="--runs"):
        unpack(folder, tmp_path)
    assert (tmp_path / "base" / "checkpoint.pt").read_bytes() == before
