"""Guidance as conditions with weights: each condition that counts is evaluated once, the others cost nothing.

A prediction v may be noise, velocity or the clean clip: a combination whose weights sum to 1 is the same in all three.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from torch import Tensor

from ..errors import InputError, Problem
from .schedule import SCHEDULES, ScheduleName, in_interval, interval_problems, scale_at

FormName = Literal["mpvg", "nested"]
FORMS: tuple[str, ...] = get_args(FormName)


class Branch(NamedTuple):
    """One condition the backbone is asked about: which prompt, whether with the history, or which part of it, and
    whether with the structure that the clip is to follow, if there is one."""

    text: Literal["negative", "positive"]
    history: bool
    part: str = ""  # the name of a sub-history; empty: all of it
    control: bool = True

    @property
    def name(self) -> str:
        """The branch's name in `cache_context`, the same at every step."""
        name = f"{self.text}+{self.part or 'history'}" if self.history else self.text
        return name if self.control else f"{name}-control"


# Least conditioned first: the first that counts is the base, so two branches give the usual u + s (c - u).
BRANCH_ORDER: tuple[Branch, ...] = (
    Branch("negative", False),
    Branch("negative", True),
    Branch("positive", False),
    Branch("positive", True),
)

WHOLE = ""  # the whole history, where a sub-history may be named
NOTHING = None  # no history at all


@dataclass(frozen=True)
class Segment:
    """One pull of the history guidance family (DFoT, eq. 5): w [v(pos, H_toward) - v(pos, H_against)].

    toward, against: names of sub-histories; "" is the whole history, None no history. A sub-history may hold some of
    the shots (HG-t), or all of them in less detail, noised or pooled (HG-f). interval: as in `HistoryGuidance`.
    """

    scale: float
    toward: str | None
    against: str | None = NOTHING
    interval: tuple[float, float] = (0.0, 1.0)

    def described(self) -> dict[str, Any]:
        """As a take's inputs keep it."""
        ends = [float(end) for end in self.interval]
        return {"scale": float(self.scale), "toward": self.toward, "against": self.against, "interval": ends}


@dataclass(frozen=True)
class HistoryGuidance:
    """How strongly the prompt (`text_scale`, w1) and what was seen before (`history_scale`, w2) pull. Any real numbers.

    form `mpvg`:   v = (1 - w1) v(neg, H) + (w1 + w2) v(pos, H) - w2 v(pos, -), MPVG's guidance: history always present,
                   w2 pushes away from the clip without it.
    form `nested`: v = v(neg, -) + w1 [v(pos, -) - v(neg, -)] + w2 [v(pos, H) - v(pos, -)], as in InstructPix2Pix.
    schedule:      shapes w1 over the steps (see `scale_at`); w2 stays as it is.
    interval:      the part of the way, 0 (noise) to 1 (picture), in which the w2 term counts; elsewhere w2 = 0.

    segments:      further pulls, see `Segment`, added to either form. HG-v is w2 (or a segment towards ""); HG-t is a
                   segment a sub-history; HG-f one towards the history in less detail. What several terms ask for is
                   evaluated once, with the sum of their weights.

    w1 = 1 with w2 = 0 is one plain conditional call a step. Sane: w1 4-7, w2 0-4 (mpvg) or 1-3 (nested).
    Raises InputError naming every field that is wrong.
    """

    text_scale: float = 6.0
    history_scale: float = 1.0
    form: FormName = "mpvg"
    schedule: ScheduleName = "constant"
    interval: tuple[float, float] = (0.0, 1.0)
    segments: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        for field in ("text_scale", "history_scale"):
            if not math.isfinite(getattr(self, field)):
                problems.append(Problem(field, f"{getattr(self, field)} is no scale", "a finite number"))
        if self.form not in FORMS:
            problems.append(Problem("guidance form", f"{self.form!r} is unknown", f"one of {', '.join(FORMS)}"))
        if self.schedule not in SCHEDULES:
            known = ", ".join(SCHEDULES)
            problems.append(Problem("guidance schedule", f"{self.schedule!r} is unknown", f"one of {known}"))
        for interval in (self.interval, *(segment.interval for segment in self.segments)):
            problems += interval_problems("guidance interval", interval)
        for segment in self.segments:
            if not math.isfinite(segment.scale):
                problems.append(Problem("guidance segment", f"{segment.scale} is no scale", "a finite number"))
        if problems:
            raise InputError(problems)

    def weights(
        self,
        index: int = 0,
        steps: int = 1,
        timestep: int = 0,
        *,
        history: bool = True,
        empty: Collection[str] = (),
    ) -> dict[Branch, float]:
        """The branches that count at step `index` of `steps`, with their weights (sum 1), base first.

        Without history the branches with it become those without and the w2 term falls away before anything is summed,
        so what is left is plain classifier-free guidance, bit for bit. empty: names of sub-histories with nothing in
        them; they are no history, and segments between two that are none fall away in the same manner.
        """
        text = scale_at(self.schedule, self.text_scale, index, steps, timestep)
        active = history and in_interval(index, steps, self.interval)
        pull = self.history_scale if active else 0.0
        if self.form == "mpvg":
            terms = [
                (Branch("negative", history), 1.0 - text),
                (Branch("positive", history), text + pull),
                (Branch("positive", False), -pull),
            ]
        else:
            terms = [
                (Branch("negative", False), 1.0 - text),
                (Branch("positive", False), text - pull),
                (Branch("positive", history), pull),
            ]
        nothing = {*empty} if history else {*empty, WHOLE}
        for segment in self.segments:
            toward, against = _seeing(segment.toward, nothing), _seeing(segment.against, nothing)
            if toward != against and in_interval(index, steps, segment.interval):
                terms += [(toward, segment.scale), (against, -segment.scale)]
        sums: dict[Branch, float] = {}
        for branch, weight in terms:
            if weight != 0.0:
                sums[branch] = sums[branch] + weight if branch in sums else weight
        counting = {branch: weight for branch, weight in sums.items() if weight != 0.0}
        return {branch: counting[branch] for branch in sorted(counting, key=_least_conditioned_first)}


def _seeing(part: str | None, empty: Collection[str]) -> Branch:
    if part is None or part in empty:
        return Branch("positive", False)
    return Branch("positive", True, part)


def _least_conditioned_first(branch: Branch) -> tuple[bool, bool, bool, str]:
    """As BRANCH_ORDER; sub-histories come between no history and all of it."""
    return branch.text == "positive", branch.history, branch.part == WHOLE, branch.part


def compose(weights: Mapping[Branch, float], predictions: Mapping[Branch, Tensor]) -> Tensor:
    """base + sum of w_k (v_k - base) over the other branches, in float32; the base is the first of `weights`.

    As the weights sum to 1, this is the sum of w_k v_k, with the base's own weight exactly what is left over.
    """
    (base_branch, _), *others = weights.items()
    base = predictions[base_branch].float()
    result = base
    for branch, weight in others:
        result = result + weight * (predictions[branch].float() - base)
    return result
