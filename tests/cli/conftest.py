"""The command line with the fakes of tests/film in place of a model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "film"))

from fake_film import FakeAdapter, FakeBackbone

from mpvg_core.backbone import load
from mpvg_core.backbone.folder import ModelDefaults
from mpvg_core.cli import film
from mpvg_core.cli.main import app
from mpvg_core.storyboard.plan import ModelLimits

BOARD = """
title: Sea story
shots:
  - {name: dawn, prompt: a red boat leaves the harbour, frames: 9}
  - {name: storm, prompt: a green wave hits the boat, frames: 9}
  - {name: home, prompt: a grey gull sleeps alone, frames: 9}
"""


def limits(model: str) -> ModelLimits:
    def unknown(text: str) -> tuple[str, ...]:
        return tuple(word for word in text.split() if word == "dragon")

    return ModelLimits(model, 49, 8, 8, 64, 64, 16, 24, lambda text: len(text.split()), unknown)


class Desk:
    """A folder with a board, and `mpvg` to run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.board, self.film = folder, folder / "board.yaml", folder / "out" / "sea-story"
        self.board.write_text(BOARD, "utf-8")
        self.backbone = FakeBackbone()

    def mpvg(self, *words: object, stdin: str | None = None):
        return CliRunner().invoke(app, [str(word) for word in words], input=stdin)

    def shoot(self, *words: object):
        """`mpvg film` with few steps."""
        self.backbone.denoised = 0
        return self.mpvg("film", self.board, "--out", self.folder / "out", "--steps", 3, *words)

    def edit(self, old: str, new: str) -> None:
        self.board.write_text(self.board.read_text("utf-8").replace(old, new), "utf-8")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    desk = Desk(tmp_path)
    monkeypatch.setattr(load, "model_limits", limits)
    monkeypatch.setattr(load, "load_backbone", lambda model, **_: desk.backbone)
    monkeypatch.setattr(film, "_defaults", lambda model: ModelDefaults())
    monkeypatch.setattr(film, "_adapter", lambda *_: FakeAdapter())
    return desk
