"""A run goes on only with the settings it began with."""

from __future__ import annotations

import json

import pytest

from mpvg_core.errors import InputError
from mpvg_core.training.settings import keep_settings


def test_a_run_goes_on_with_the_same_settings_and_free_ones_may_change(tmp_path) -> None:
    run = tmp_path / "new" / "run"
    keep_settings(run, {"steps": 3, "lr": 0.1, "layers": ("to_q",)}, free={"steps"})
    keep_settings(run, {"steps": 9, "lr": 0.1, "layers": ("to_q",)}, free={"steps"})
    assert json.loads((run / "settings.json").read_text("utf-8")) == {"steps": 9, "lr": 0.1, "layers": ["to_q"]}


def test_every_setting_that_changed_is_named_with_what_it_was(tmp_path) -> None:
    keep_settings(tmp_path, {"lr": 0.1, "save_to": "a", "seed": 0})
    with pytest.raises(InputError) as caught:
        keep_settings(tmp_path, {"lr": 0.2, "save_to": "b", "seed": 0})
    assert [problem.where for problem in caught.value.problems] == ["--lr", "--save-to"]
    assert "0.1 as before" in str(caught.value)
    assert json.loads((tmp_path / "settings.json").read_text("utf-8"))["lr"] == 0.1
