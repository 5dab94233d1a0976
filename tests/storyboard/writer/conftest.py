"""Boards that a model could have written, and the pocket's own limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mpvg_core.backbone.load import model_limits
from mpvg_core.storyboard import ModelLimits


@pytest.fixture
def board_json() -> Callable[..., str]:
    """A good board as JSON; changes replace its keys, None removes one."""

    def make(**changes: Any) -> str:
        board: dict[str, Any] = {
            "title": "Sea story",
            "style": "Ink.",
            "cast": [{"name": "Mia", "look": "a girl in red"}],
            "shots": [{"name": "a", "prompt": "Mia runs."}, {"name": "b", "prompt": 'Mia {sleeps} "now".'}],
        }
        return json.dumps({key: value for key, value in {**board, **changes}.items() if value is not None})

    return make


@pytest.fixture(scope="session")
def pocket() -> ModelLimits:
    return model_limits("pocket")
