"""Pictures chosen, made smaller and fitted."""

from __future__ import annotations

import numpy as np
import pytest

from mpvg_core.film.pictures import evenly, shrunk


@pytest.mark.parametrize(
    ("frames", "columns", "expected"),
    [(49, 6, [0, 10, 19, 29, 38, 48]), (3, 6, [0, 1, 2]), (1, 6, [0]), (9, 2, [0, 8])],
)
def test_indices_are_spread_from_first_to_last(frames, columns, expected):
    assert evenly(frames, columns) == expected


def test_frames_shrink_by_the_mean_of_blocks():
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[:2, :2] = 100
    frame[0, 0] = 20
    assert shrunk(frame, 2)[0, 0, 0] == 80 and shrunk(frame, 2).shape == (2, 3, 3)
    assert shrunk(frame, 1) is frame
