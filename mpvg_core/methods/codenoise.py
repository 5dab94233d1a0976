"""A shot longer than the model's window, or several with smooth transitions: one latent, denoised in windows.

At every step each window is predicted by itself, under its own prompt and history; the predictions are fused with the
windows' shares, and the scheduler steps once, which is right for DDIM and, unlike averaged samples, for DPM, whose
noise would shrink. (Gen-L-Video, DiTCtrl.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, get_args

import torch
from torch import Tensor

from ..diffusion.inject import HistoryConditioning
from ..diffusion.predict import Guided, Predict, Step
from ..errors import InputError, Problem
from .technique import Technique
from .windows import WeightForm, window_shares

Between = Literal["nearest", "blend"]
BETWEEN: tuple[str, ...] = get_args(Between)


@dataclass(frozen=True)
class PromptSpan:
    """The latent frames of a clip that are told by one prompt, its embedding [1, L, D], and what it remembers."""

    frames: range
    positive: Tensor
    history: HistoryConditioning | None = None


def consecutive(lengths: Sequence[int]) -> tuple[range, ...]:
    """The latent frames of shots that flow into one another, from the latent frames each has by itself (odd).

    The first keeps all; each later one begins where the one before ends, and so has its own first latent frame, which
    stands for a single picture, no more: lengths 5, 5, 5 are frames 0-4, 5-8 and 9-12, an odd number together.
    """
    ends = list(accumulate(length - (index > 0) for index, length in enumerate(lengths)))
    return tuple(range(start, end) for start, end in zip([0, *ends], ends, strict=False))


def codenoise(
    windows: Sequence[range],
    spans: Sequence[PromptSpan] = (),
    *,
    weights: WeightForm = "pyramid",
    damp: float = 1.0,
    between: Between = "nearest",
) -> Technique:
    """Predict the clip window by window (see `plan_windows`) and fuse the predictions.

    spans: prompts one after the other, from the first latent frame to the last; none: the clip's own prompt and history
    in every window. between: a window across prompts takes the one that most of its frames belong to (the earlier of
    two with as many), or, with `blend`, the mean of their embeddings by their numbers of frames; its history is that of
    the nearest either way. weights, damp: see `window_shares`.

    One window costs one prediction a step and the memory of a plain clip of its length; predictions are summed in
    place. Each window has cache contexts of its own. A single window is the plain clip, bit for bit.

    Raises InputError for spans that leave frames out or overlap, a prompt that no window takes, and what
    `window_shares` refuses.
    """
    shares = window_shares(windows, weights, damp)
    takes = tuple(_share_of_spans(window, [span.frames for span in spans], between) for window in windows)
    _require_told(windows, spans, takes)

    def predict(guided: Guided) -> Predict:
        parts: list[Predict] = []
        for index, (window, taken) in enumerate(zip(windows, takes, strict=True)):
            part = replace(guided, scope=f"{guided.scope} w{index}".strip(), frames=window)
            if taken:
                nearest = spans[max(taken, key=lambda number: taken[number])]
                history = nearest.history.compact() if nearest.history is not None else None
                part = replace(part, positive=_blended(spans, taken), history=history)
            parts.append(part)
        return fused(windows, shares, parts)

    return Technique("co-denoised windows", predict=predict)


def fused(windows: Sequence[range], shares: Sequence[Tensor], parts: Sequence[Predict]) -> Predict:
    """v[f] = sum over windows k of share_k(f) v_k[f], each v_k asked about its own frames of the latents.

    windows cover the latents [1, F, C, h, w]; shares float32 [len(window)] sum to 1 in every frame. The sum is made in
    place, so that one window's prediction at a time is alive.
    """

    def predict(latents: Tensor, step: Step) -> Tensor:
        count = max(window.stop for window in windows)
        if latents.shape[1] != count:
            raise InputError(Problem("windows", f"they cover {count} latent frames", f"{latents.shape[1]}, the clip's"))
        total = torch.zeros_like(latents, dtype=torch.float32)
        for window, share, part in zip(windows, shares, parts, strict=True):
            frames = slice(window.start, window.stop)
            total[:, frames].addcmul_(part(latents[:, frames], step), share.to(total.device)[:, None, None, None])
        return total

    return predict


def _share_of_spans(window: range, spans: Sequence[range], between: Between) -> dict[int, float]:
    """The numbers of the spans that a window takes its prompt from, and how much of each; empty without spans."""
    if between not in BETWEEN:
        raise InputError(Problem("between prompts", f"{between!r} is unknown", f"one of {', '.join(BETWEEN)}"))
    common = {number: min(window.stop, span.stop) - max(window.start, span.start) for number, span in enumerate(spans)}
    common = {number: count for number, count in common.items() if count > 0}
    if between == "nearest" and common:
        return {max(common, key=lambda number: common[number]): 1.0}
    return {number: count / sum(common.values()) for number, count in common.items()}


def _blended(spans: Sequence[PromptSpan], taken: dict[int, float]) -> Tensor:
    """The mean embedding [1, L, D]; that of a single span is its own, bit for bit."""
    if len(taken) == 1:
        return spans[next(iter(taken))].positive
    first, *_ = (spans[number].positive for number in taken)
    mean = sum((share * spans[number].positive.float() for number, share in taken.items()), torch.zeros(()).to(first))
    return mean.to(first.dtype)


def _require_told(windows: Sequence[range], spans: Sequence[PromptSpan], takes: Sequence[dict[int, float]]) -> None:
    if not spans:
        return
    problems, told = [], 0
    for number, span in enumerate(spans, 1):
        if span.frames.start != told or not len(span.frames):
            found = f"it is told from latent frame {span.frames.start} to {span.frames.stop}"
            problems.append(Problem(f"prompt {number}", found, f"it begins at {told} and has 1 frame or more"))
        elif not any(number - 1 in taken for taken in takes):
            found = f"no window takes it: {len(span.frames)} latent frames are too few"
            remedy = "make its shot longer, let the windows overlap more, or blend the prompts"
            problems.append(Problem(f"prompt {number}", found, remedy=remedy))
        told = span.frames.stop
    if told != (count := max(window.stop for window in windows)):
        problems.append(Problem("prompts", f"they tell {told} latent frames", f"{count}, the clip's"))
    if problems:
        raise InputError(problems)
