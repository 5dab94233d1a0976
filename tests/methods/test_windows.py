"""Windows cover every clip, and their shares add up, whatever the lengths."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpvg_core.errors import InputError
from mpvg_core.methods.windows import WEIGHT_FORMS, plan_windows, window_shares

sizes = st.integers(1, 20).flatmap(lambda w: st.tuples(st.integers(1, 90), st.just(w), st.integers(0, w - 1)))


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_windows_cover_every_frame_of_any_clip_and_end_with_it(size):
    frames, window, overlap = size
    windows = plan_windows(frames, window, overlap)
    assert {frame for one in windows for frame in one} == set(range(frames))
    assert all(len(one) == min(window, frames) for one in windows)
    assert (windows[0].start, windows[-1].stop) == (0, frames)


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_neighbours_share_the_overlap_and_only_the_last_may_share_more(size):
    frames, window, overlap = size
    windows = plan_windows(frames, window, overlap)
    shared = [before.stop - after.start for before, after in itertools.pairwise(windows)]
    assert all(count == overlap for count in shared[:-1])
    assert all(overlap <= count < window for count in shared[-1:])


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_the_number_of_windows_grows_linearly_with_the_length(size):
    frames, window, overlap = size
    stride = window - overlap
    windows = plan_windows(frames, window, overlap)
    assert len(windows) == 1 + -(-max(frames - window, 0) // stride)
    assert len(plan_windows(max(frames, window) + stride, window, overlap)) == len(windows) + 1


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(WEIGHT_FORMS), st.floats(0.01, 1.0))
def test_shares_sum_to_one_in_every_frame(size, form, damp):
    windows = plan_windows(*size)
    total = torch.zeros(size[0])
    for window, share in zip(windows, window_shares(windows, form, damp), strict=True):
        assert (share > 0).all()
        total[window.start : window.stop] += share
    assert torch.allclose(total, torch.ones_like(total), atol=1e-6)


def test_where_one_window_alone_counts_its_share_is_exactly_one():
    for form in WEIGHT_FORMS:
        for share in window_shares(plan_windows(15, 5, 0), form, 0.3):
            assert torch.equal(share, torch.ones(5))


def test_a_pyramid_fades_in_and_out_and_flat_shares_are_equal():
    windows = (range(5), range(2, 7))
    assert torch.allclose(window_shares(windows, "flat")[0], torch.tensor([1, 1, 0.5, 0.5, 0.5]))
    # 2.5, 1.5, 0.5 of the first meet 0.5, 1.5, 2.5 of the second.
    assert torch.allclose(window_shares(windows, "pyramid")[0], torch.tensor([1, 1, 5 / 6, 0.5, 1 / 6]))


def test_damping_takes_the_first_frame_of_later_windows_only():
    windows = (range(5), range(3, 8))
    first, second = window_shares(windows, "flat", 0.25)
    assert torch.allclose(first, torch.tensor([1, 1, 1, 0.8, 0.5]))
    assert torch.allclose(second, torch.tensor([0.2, 0.5, 1, 1, 1]))
    assert window_shares(windows, "flat", 0.0)[1][0] == 0


def test_a_clip_as_long_as_the_window_or_shorter_is_one_window():
    assert plan_windows(5, 5, 2) == (range(5),)
    assert plan_windows(3, 5, 2) == (range(3),)


def test_impossible_windows_are_refused_all_at_once():
    with pytest.raises(InputError) as caught:
        plan_windows(0, 5, 5)
    assert [problem.where for problem in caught.value.problems] == ["frames", "overlap"]
    with pytest.raises(InputError, match=r"window: 0 latent frames"):
        plan_windows(5, 0, 0)


def test_impossible_shares_are_refused():
    with pytest.raises(InputError, match="flat, pyramid"):
        window_shares((range(3),), "round")
    with pytest.raises(InputError, match=r"damp: 1\.5"):
        window_shares((range(3),), "flat", 1.5)
    with pytest.raises(InputError, match="latent frames 5, 10"):  # nobody else has the frame damped to nothing
        window_shares(plan_windows(15, 5, 0), "flat", 0.0)
    with pytest.raises(InputError, match="latent frames 3"):
        window_shares((range(3), range(4, 7)))
