"""Clip lengths: only odd latent counts, so 1 + 8n frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpvg_core.diffusion.frames import frame_step, is_legal_length, latent_frames, pixel_frames, pixel_frames_of
from mpvg_core.errors import InputError


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (9, 3), (17, 5), (49, 13), (81, 21)])
def test_known_lengths_convert_both_ways(frames, latents):
    assert latent_frames(frames) == latents
    assert pixel_frames(latents) == frames


@given(st.integers(1, 8), st.integers(0, 200))
def test_conversion_is_its_own_inverse_and_latents_stay_odd(compression, n):
    frames = 1 + frame_step(compression) * n
    latents = latent_frames(frames, compression)
    assert latents % 2 == 1
    assert pixel_frames(latents, compression) == frames
    assert is_legal_length(frames, compression)


@pytest.mark.parametrize(("frames", "nearest"), [(48, "41 or 49"), (5, "1 or 9"), (13, "9 or 17"), (0, "1 or more")])
def test_impossible_lengths_are_errors_that_name_the_nearest(frames, nearest):
    assert not is_legal_length(frames)
    with pytest.raises(InputError, match=nearest):
        latent_frames(frames)


@pytest.mark.parametrize("latents", [0, 2, 12, -3])
def test_even_latent_counts_are_errors(latents):
    with pytest.raises(InputError, match="odd"):
        pixel_frames(latents)


@given(st.integers(1, 8), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_latent_frames_one_after_the_other_are_pixel_frames_one_after_the_other(compression, lengths):
    told, seen = 0, 0
    for length in lengths:
        pixels = pixel_frames_of(range(told, told + length), compression)
        assert pixels.start == seen
        told, seen = told + length, pixels.stop
    assert seen == 1 + compression * (told - 1)


def test_the_first_latent_frame_is_one_pixel_frame_and_each_other_several():
    assert pixel_frames_of(range(1)) == range(1)
    assert pixel_frames_of(range(5)) == range(17)
    assert pixel_frames_of(range(4, 9)) == range(13, 33)
    with pytest.raises(ValueError, match="no latent frames"):
        pixel_frames_of(range(3, 3))
