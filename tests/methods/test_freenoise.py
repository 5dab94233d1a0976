"""Repeated noise is still noise, and every window sees all of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpvg_core.diffusion.noise import shot_noise
from mpvg_core.errors import InputError
from mpvg_core.methods.freenoise import freenoise, freenoise_order
from mpvg_core.methods.windows import plan_windows

sizes = st.integers(1, 15).flatmap(lambda w: st.tuples(st.integers(1, 80), st.just(w), st.integers(0, w - 1)))


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 5))
def test_every_window_sees_every_frame_of_noise_once_the_last_one_too(size, seed):
    frames, window, overlap = size
    order = freenoise_order(frames, window, overlap, seed)
    assert len(order) == frames
    for one in plan_windows(frames, window, overlap):
        assert sorted(order[one.start : one.stop]) == list(range(len(one)))


def test_every_frame_is_one_of_the_first_window_bit_for_bit_so_its_marginals_are_normal():
    noise = shot_noise(1, (1, 13, 16, 30, 45))
    repeated = freenoise(5, 2, seed=1).noise(noise)
    order = freenoise_order(13, 5, 2, 1)
    assert torch.equal(repeated[:, :5], noise[:, :5])
    for frame, source in enumerate(order):
        assert torch.equal(repeated[:, frame], noise[:, source])
    assert repeated.mean().abs() < 0.01
    assert abs(repeated.std().item() - 1) < 0.01


def test_a_clip_no_longer_than_the_window_keeps_its_noise():
    noise = shot_noise(1, (1, 5, 4, 8, 8))
    assert torch.equal(freenoise(5, 2, seed=1).noise(noise), noise)


def test_seeds_shuffle_differently_and_the_same_seed_alike():
    orders = {tuple(freenoise_order(45, 13, 6, seed)) for seed in range(5)}
    assert len(orders) == 5
    assert freenoise_order(45, 13, 6, 3) == freenoise_order(45, 13, 6, 3)
    assert any(order[13:20] != order[:7] for order in orders)  # shuffled, not repeated


def test_an_overlap_without_a_stride_is_refused():
    with pytest.raises(InputError, match="overlap: 5 latent frames"):
        freenoise(5, 5, seed=1)
