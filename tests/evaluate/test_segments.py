"""Segments of clips, counted by group."""

from __future__ import annotations

import numpy as np
import pytest

from mpvg_core.evaluate.cuts import CutSettings
from mpvg_core.evaluate.segments import Counted, count_segments, segment_figures


def counts(*found: int, wanted: int = 2, seed: int = 0) -> list[Counted]:
    return [Counted(number, wanted, seed) for number in found]


def test_an_error_does_not_even_out_as_the_mean_does() -> None:
    figures = segment_figures(counts(1, 3, 1, 3))
    assert figures.mean == 2
    assert figures.error == 1
    assert figures.exact == 0


def test_what_is_wanted_has_no_error() -> None:
    figures = segment_figures(counts(2, 2, 2))
    assert (figures.mean, figures.error, figures.exact, figures.interval, figures.n) == (2, 0, 1, 0, 3)


def test_spread_is_between_the_seeds_and_interval_between_the_clips() -> None:
    figures = segment_figures([*counts(1, 1, seed=0), *counts(2, 2, seed=1), *counts(3, 3, seed=2)])
    assert figures.spread == pytest.approx(1.0)
    assert figures.interval == pytest.approx(1.96 * np.std([1, 1, 2, 2, 3, 3], ddof=1) / 6**0.5)
    assert segment_figures(counts(1, 3)).spread == 0


def test_no_clips_are_no_figures() -> None:
    with pytest.raises(ValueError, match="no clips"):
        segment_figures([])


@pytest.mark.parametrize("starts", [[], [9], [5, 11], [4, 8, 12]])
def test_segments_are_cuts_and_one(starts: list[int]) -> None:
    clip = np.zeros((17, 8, 8, 3), np.uint8)
    for number, start in enumerate(starts):
        clip[start:] = 255 * ((number + 1) % 2)
    assert len(count_segments(clip).segments) == len(starts) + 1


def test_a_least_length_made_for_long_films_hides_cuts_of_a_short_clip() -> None:
    clip = np.zeros((17, 8, 8, 3), np.uint8)
    clip[9:] = 255
    assert len(count_segments(clip, CutSettings(min_frames=15)).segments) == 1
    assert len(count_segments(clip).segments) == 2
