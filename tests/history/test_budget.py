"""How a fixed number of tokens is shared among ever more shots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpvg_core.history.budget import share_budget

counts = st.lists(st.integers(0, 300), max_size=60)


@given(counts, st.integers(0, 500))
def test_shares_add_up_to_all_there_is_or_all_there_may_be(wanted, total):
    shares = share_budget(wanted, total)
    assert len(shares) == len(wanted)
    assert all(0 <= share <= count for share, count in zip(shares, wanted, strict=True))
    assert sum(shares) == min(total, sum(wanted))


@given(counts, st.integers(0, 500))
def test_no_shot_that_could_use_more_gets_less_than_an_older_one(wanted, total):
    shares = share_budget(wanted, total)
    for older in range(len(wanted)):
        for newer in range(older + 1, len(wanted)):
            assert shares[newer] >= min(wanted[newer], shares[older])


@given(counts, st.integers(0, 500), st.integers(0, 300))
def test_a_newest_shot_of_half_the_budget_is_left_whole(wanted, total, newest):
    newest = min(newest, (total + 1) // 2)
    assert share_budget([*wanted, newest], total)[-1] == newest


@pytest.mark.parametrize(
    ("wanted", "total", "shares"),
    [
        ([64, 64, 64, 64], 64, [8, 8, 16, 32]),  # halves, and the oldest takes the rest
        ([9, 9, 9, 9], 4, [0, 1, 1, 2]),
        ([2, 64], 64, [2, 62]),  # what an older shot leaves over goes to the newer
        ([64, 2], 64, [62, 2]),
        ([5, 0, 5], 100, [5, 0, 5]),
        ([5, 5], 0, [0, 0]),
        ([], 7, []),
    ],
)
def test_shares_halve_with_age(wanted, total, shares):
    assert share_budget(wanted, total) == shares


@pytest.mark.parametrize(("wanted", "total"), [([1], -1), ([-1], 3)])
def test_negative_numbers_are_refused(wanted, total):
    with pytest.raises(ValueError, match="a budget shares out numbers of tokens"):
        share_budget(wanted, total)
