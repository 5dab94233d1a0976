"""The pocket's temporal adapter, in miniature."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mpvg_core.methods.temporal_adapter import read_temporal_adapter, write_temporal_adapter
from mpvg_core.pocket import recipe, temporal_adapter
from mpvg_core.pocket.base import train_base
from mpvg_core.pocket.temporal_adapter import SHOTS, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base trained for a step."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "BASIS_CLIPS", 20)
        train_base(folder / "base", recipe.load_basis(folder), steps=1, batch=4, workers=0)
    return folder


def test_the_recipe_trains_on_stories_measures_itself_and_goes_on_after_a_stop(runs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(temporal_adapter, "MEASURED", 1)
    monkeypatch.setattr(temporal_adapter, "BATCH", 2 * SHOTS)
    base = (runs / "base" / "checkpoint.pt").read_bytes()
    train(runs, steps=1, batch=SHOTS)
    adapter, figures = train(runs, steps=2, batch=SHOTS)
    assert (runs / "base" / "checkpoint.pt").read_bytes() == base
    assert set(figures) == {"all", "noisiest"}
    for losses in figures.values():
        assert set(losses) == {"without", "own", "another's"}
        assert len(set(losses.values())) == 3
    assert adapter.trained["steps"] == 2
    write_temporal_adapter(adapter, tmp_path / "t.safetensors")
    assert read_temporal_adapter(tmp_path / "t.safetensors").trained["losses"] == figures
