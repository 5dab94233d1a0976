"""Whether a film cuts where its storyboard does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Matching = tuple[int, float, tuple[tuple[int, int], ...]]  # number of pairs, less frames off, pairs


@dataclass(frozen=True)
class CutAccuracy:
    """Cuts found against cuts wanted, each the first frame of a new shot.

    matched: (wanted, found) pairs; missed and extra: what has no partner. error: mean |found - wanted| of the matched,
    frames, None if none is. accuracy: see `cut_accuracy`.
    """

    matched: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    extra: tuple[int, ...]
    accuracy: float

    @property
    def error(self) -> float | None:
        if not self.matched:
            return None
        return sum(abs(found - wanted) for wanted, found in self.matched) / len(self.matched)


def cut_accuracy(wanted: Sequence[int], found: Sequence[int], frames: int) -> CutAccuracy:
    """Shot cut accuracy, exp(-(E_matched + E_penalty) / frames), in 0..1; 1 = every cut where it is wanted, no other.

    HoloCine (2510.20822, supplement A.1): E_matched is the sum of |found - wanted| over a one-to-one matching,
    E_penalty a penalty for missed and extra cuts which the paper does not give. Here each costs frames / (wanted + 1),
    the mean length of a shot, and no two are matched that lie farther apart than half of that. `error` of the result is
    MultiShotMaster's transition deviation.

    Judges cut detection as much as the film: a cut between two shots alike is missed by any detector. Raises ValueError
    for a film without frames.
    """
    if frames < 1:
        raise ValueError(f"a film of {frames} frames")
    cost = frames / (len(wanted) + 1)
    matched = _matching(sorted(wanted), sorted(found), cost / 2)
    missed = tuple(sorted({*wanted} - {pair[0] for pair in matched}))
    extra = tuple(sorted({*found} - {pair[1] for pair in matched}))
    off = sum(abs(there - here) for here, there in matched) + cost * (len(missed) + len(extra))
    return CutAccuracy(matched, missed, extra, math.exp(-off / frames))


def _matching(wanted: Sequence[int], found: Sequence[int], farthest: float) -> tuple[tuple[int, int], ...]:
    """The most pairs in order, each at most `farthest` apart; of those the nearest (dynamic programming)."""
    best: list[list[_Matching]] = [[(0, 0.0, ())] * (len(found) + 1)]
    for i, here in enumerate(wanted, start=1):
        row: list[_Matching] = [(0, 0.0, ())]
        for j, there in enumerate(found, start=1):
            choices = [best[i - 1][j], row[j - 1]]
            if abs(here - there) <= farthest:
                count, off, pairs = best[i - 1][j - 1]
                choices.append((count + 1, off - abs(here - there), (*pairs, (here, there))))
            row.append(max(choices, key=lambda choice: choice[:2]))
        best.append(row)
    return best[-1][-1][2]
