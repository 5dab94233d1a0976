"""Forgetting: how many tokens of the past may stay, however long the film."""

from __future__ import annotations

from collections.abc import Sequence


def share_budget(counts: Sequence[int], total: int) -> list[int]:
    """How many tokens each shot may keep when `total` are allowed; `counts` are what each would keep, oldest first.

    Geometric in the age, after FramePack's tokens(age) = L0 / 2^age (Zhang & Agrawala 2025): the newest shot may take
    half, the one before a quarter, and so on, rounded up, until nothing is left; what a shot does not use goes to the
    others. The sum never exceeds `total`, and is `total` when there is enough.

    Raises ValueError for negative numbers.
    """
    if total < 0 or any(count < 0 for count in counts):
        raise ValueError(f"a budget shares out numbers of tokens, not {list(counts)} within {total}")
    shares = [0] * len(counts)
    left, older = total, sum(counts)
    for index in reversed(range(len(counts))):
        older -= counts[index]
        # Half of what is left, but never less than what the older shots could not use anyway.
        shares[index] = min(counts[index], max((left + 1) // 2, left - older))
        left -= shares[index]
    return shares
