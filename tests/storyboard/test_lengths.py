"""Lengths that a model can film."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpvg_core.storyboard.lengths import TooLong, longest_length, nearest_length, resolve_length


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, 1), (2, 9), (9, 9), (12, 9), (13, 17), (14, 17), (45, 49), (49, 49), (500, 49)]
)
def test_a_length_goes_to_the_nearest_legal_one(frames: int, expected: int) -> None:
    assert nearest_length(frames, 49, 8) == expected


def test_the_longest_length_is_legal_itself() -> None:
    assert [longest_length(most, 8) for most in (49, 50, 56, 57, 9, 8, 1)] == [49, 49, 49, 57, 9, 1, 1]


@given(
    frames=st.integers(1, 400),
    most=st.integers(1, 200),
    step=st.integers(1, 16),
)
def test_every_length_is_legal_near_or_refused(frames: int, most: int, step: int) -> None:
    longest = longest_length(most, step)
    try:
        length = resolve_length(frames, None, fps=8, max_frames=most, step=step)
    except TooLong:
        assert frames > longest
        return
    assert length.frames <= longest
    assert (length.frames - 1) % step == 0
    assert abs(length.frames - frames) < step
    assert bool(length.note) == (length.frames != frames)


@given(seconds=st.floats(0.001, 10), fps=st.integers(1, 60))
def test_every_length_in_seconds_is_legal_and_no_still_or_refused(seconds: float, fps: int) -> None:
    try:
        length = resolve_length(None, seconds, fps=fps, max_frames=49, step=8)
    except TooLong:
        assert seconds * fps > 49
        return
    assert length.frames in (9, 17, 25, 33, 41, 49)
    assert abs(length.frames - seconds * fps) <= 9
