"""Footage made elsewhere is brought to a model's size, rate and length."""

from __future__ import annotations

import numpy as np
import pytest

from mpvg_core.errors import InputError
from mpvg_core.film.footage import at_rate, fit_footage
from mpvg_core.storyboard.plan import ModelLimits

LIMITS = ModelLimits("toy", 17, 8, 8, 32, 16, 16, 10, len)


def numbered(count: int, height: int = 16, width: int = 32) -> np.ndarray:
    return np.stack([np.full((height, width, 3), index, np.uint8) for index in range(count)])


@pytest.mark.parametrize(("given", "kept"), [(1, 1), (8, 1), (9, 9), (16, 9), (40, 17)])
def test_the_clip_has_the_longest_legal_length_from_the_beginning(given: int, kept: int) -> None:
    frames = fit_footage(numbered(given), LIMITS)
    assert [int(frame[0, 0, 0]) for frame in frames] == list(range(kept))


def test_footage_of_another_rate_is_taken_at_the_models_own() -> None:
    frames = fit_footage(numbered(60), LIMITS, fps=24)
    assert [int(frame[0, 0, 0]) for frame in frames] == [3 * index for index in range(17)]


def test_pictures_are_scaled_to_cover_the_size_and_cut_in_the_middle() -> None:
    wide = np.zeros((1, 32, 128, 3), np.uint8)
    wide[:, :, 32:96] = 200
    frames = fit_footage(wide, LIMITS)
    assert frames.shape == (1, 16, 32, 3)
    assert frames.min() > 150


def test_footage_without_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="footage"):
        fit_footage(np.zeros((0, 16, 32, 3), np.uint8), LIMITS)


def test_of_a_clip_at_another_rate_the_frames_of_the_wanted_moments_are_taken() -> None:
    def numbers(count: int, fps: float | None) -> list[int]:
        return [int(frame[0, 0, 0]) for frame in at_rate(numbered(count), fps, 8, 5)]

    assert numbers(60, 24) == [0, 3, 6, 9, 12]
    assert numbers(60, 4) == [0, 0, 1, 2, 2]
    assert numbers(7, 24) == [0, 3, 6]
    assert numbers(60, None) == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="0 frames a second"):
        at_rate(numbered(9), 0.0, 8, 5)
