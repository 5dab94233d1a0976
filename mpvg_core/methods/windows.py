"""Overlapping windows over a clip's latent frames: where they lie, and what share each has in a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import InputError, Problem

WeightForm = Literal["flat", "pyramid"]
WEIGHT_FORMS: tuple[str, ...] = get_args(WeightForm)


def plan_windows(frames: int, window: int, overlap: int) -> tuple[range, ...]:
    """Windows of `window` latent frames over a clip of `frames`, each sharing `overlap` of them with the one before.

    They start at 0, S, 2S ... with the stride S = window - overlap; the last one is moved back to end with the clip and
    may share more. A clip no longer than a window is one window. Their number is 1 + ceil((frames - window) / S), so
    the cost of a clip grows linearly with its length.

    Raises InputError, for all at once, for a clip or window without frames or an overlap that leaves no stride.
    """
    problems = [
        Problem(name, f"{count} latent frames", "at least 1")
        for name, count in (("frames", frames), ("window", window))
        if count < 1
    ]
    if not 0 <= overlap < max(window, 1):
        problems.append(Problem("overlap", f"{overlap} latent frames", f"0 to {max(window - 1, 0)}, below the window"))
    if problems:
        raise InputError(problems)
    if frames <= window:
        return (range(frames),)
    starts = [*range(0, frames - window, window - overlap), frames - window]
    return tuple(range(start, start + window) for start in starts)


def window_shares(windows: Sequence[range], form: WeightForm = "flat", damp: float = 1.0) -> tuple[Tensor, ...]:
    """The share of each window in each of its frames, float32 [len(window)]; in every frame they sum to 1.

    flat: equal shares. pyramid: by min(i + 1/2, W - i - 1/2), i counting from the window's start, so that a window
    fades in and out. damp: times the weight of the first latent frame of every window but those that begin the clip:
    the model takes it for a picture, where the others stand for several frames. A frame that one window alone covers
    has the share 1 exactly.

    Raises InputError for an unknown form, a damp outside 0 .. 1, and frames that no window covers or that are damped
    to nothing.
    """
    problems = []
    if form not in WEIGHT_FORMS:
        problems.append(Problem("window weights", f"{form!r} is unknown", f"one of {', '.join(WEIGHT_FORMS)}"))
    if not 0.0 <= damp <= 1.0:
        problems.append(Problem("damp", f"{damp}", "a number from 0 (leave it out) to 1 (as all frames)"))
    if problems:
        raise InputError(problems)
    weights = [_weights(window, form, damp) for window in windows]
    total = torch.zeros(max(window.stop for window in windows), dtype=torch.float64)
    for window, weight in zip(windows, weights, strict=True):
        total[window.start : window.stop] += weight
    if missing := (total == 0).nonzero().flatten().tolist():
        what = f"no window counts in the latent frames {', '.join(map(str, missing))}"
        raise InputError(Problem("windows", what, "all frames covered", "let them overlap by 1 or more, or damp less"))
    return tuple(
        (weight / total[window.start : window.stop]).float() for window, weight in zip(windows, weights, strict=True)
    )


def _weights(window: range, form: WeightForm, damp: float) -> Tensor:
    index = torch.arange(len(window), dtype=torch.float64)
    weights = torch.ones_like(index) if form == "flat" else torch.minimum(index + 0.5, len(window) - index - 0.5)
    if window.start > 0:
        weights[0] *= damp
    return weights
