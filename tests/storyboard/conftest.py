"""A model's limits without a model: words are tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mpvg_core.storyboard import ModelLimits


def make_limits(**changes: object) -> ModelLimits:
    settings: dict[str, object] = {
        "model": "toy",
        "max_frames": 49,
        "frame_step": 8,
        "fps": 8,
        "width": 720,
        "height": 480,
        "size_step": 16,
        "max_tokens": 60,
        "count_tokens": lambda text: len(text.split()),
    }
    return ModelLimits(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture
def limits() -> ModelLimits:
    return make_limits()


@pytest.fixture
def limits_with() -> Callable[..., ModelLimits]:
    return make_limits
