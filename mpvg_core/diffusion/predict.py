"""What the model predicts at a step: the conditions of one prompt, each evaluated once, weighed and summed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import MPVGError
from .guidance import Branch, HistoryGuidance, compose
from .inject import HistoryConditioning, injected


class Denoiser(Protocol):
    """What a prediction needs of a backbone: a transformer and one call of it within its cache context `branch`."""

    @property
    def transformer(self) -> nn.Module: ...

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        """latents [B, F, C, h, w], timestep [B], embeds [B, L, D] -> prediction like latents."""
        ...


@dataclass(frozen=True)
class Step:
    """Where the loop stands: step `index` of `steps`, and the timestep there as an int64 tensor of no dimension."""

    index: int
    steps: int
    timestep: Tensor


Predict = Callable[[Tensor, Step], Tensor]
"""Latents [1, F, C, h, w] of a step to the guided prediction, float32, of the same shape."""


@dataclass(frozen=True)
class Call:
    """One call of the transformer: its step, the branches of its rows, and the part of the clip it is for.

    frames: the clip's latent frames that it is shown, None for all of them.
    """

    step: Step
    branches: tuple[Branch, ...]
    scope: str
    frames: range | None = None


Around = Callable[[nn.Module, Call], AbstractContextManager[None]]
"""Changes a transformer for one call, from outside; leaving the context leaves no trace."""

Widen = Callable[[Tensor, Call], Tensor]
"""Adds channels to what the transformer is shown: [B, F, C, h, w] to [B, F, C', h, w]."""

Reweigh = Callable[[Mapping[Branch, float], Step], Mapping[Branch, float]]
"""Changes which conditions are asked about and their weights, base first; their sum stays 1."""


@dataclass(frozen=True)
class Guided:
    """The guided prediction of one prompt: v = sum of weight(condition) · v(condition), see `HistoryGuidance`.

    positive, negative: prompt embeddings [1, L, D]; `negative` may be missing where no branch asks for it (w1 = 1).
    batched: branches of one kind share a call (negative first), as in diffusers; otherwise one after the other, which
    needs less memory and keeps a cache context for each.
    parts: sub-histories by name, for guidance with segments.
    scope: keeps the cache contexts of several predictions of one clip apart (windows, for example).
    frames: which latent frames of the clip it is asked about, for methods that bring something for each; None: all.
    around, widen: what methods do to each call, the first outermost; reweigh: what they do to the conditions of a step.
    interrupt: called before every transformer call.

    Raises MPVGError when the negative embedding or a sub-history is asked for and missing.
    """

    backbone: Denoiser
    positive: Tensor
    negative: Tensor | None
    history: HistoryConditioning | None
    guidance: HistoryGuidance
    batched: bool = False
    scope: str = ""
    frames: range | None = None
    around: Sequence[Around] = ()
    widen: Sequence[Widen] = ()
    reweigh: Sequence[Reweigh] = ()
    interrupt: Callable[[], None] | None = None
    parts: Mapping[str, HistoryConditioning | None] = field(default_factory=dict)

    def __call__(self, latents: Tensor, step: Step) -> Tensor:
        remembers = self.history is not None and not self.history.empty
        empty = {name for name, part in self.parts.items() if part is None or part.empty}
        weights: Mapping[Branch, float] = self.guidance.weights(
            step.index, step.steps, int(step.timestep), history=remembers, empty=empty
        )
        for reweigh in self.reweigh:
            weights = reweigh(weights, step)
        predictions: dict[Branch, Tensor] = {}
        for group in _groups(weights, self.batched):
            output = self._call(latents, Call(step, group, self.scope, self.frames))
            parts = output.chunk(len(group)) if len(group) > 1 else (output,)
            predictions.update(zip(group, parts, strict=True))
        return compose(weights, predictions)

    def _call(self, latents: Tensor, call: Call) -> Tensor:
        if self.interrupt is not None:
            self.interrupt()
        embeds = _stacked([self._embedding(branch) for branch in call.branches])
        states = _stacked([latents] * len(call.branches))
        for widen in self.widen:
            states = widen(states, call)
        transformer = self.backbone.transformer
        with ExitStack() as stack:
            for around in self.around:
                stack.enter_context(around(transformer, call))
            stack.enter_context(injected(transformer, self._seen(call.branches[0])))
            return self.backbone.denoise(
                states,
                call.step.timestep.to(latents.device).expand(states.shape[0]),
                embeds,
                branch=" ".join([*filter(None, [self.scope]), *(branch.name for branch in call.branches)]),
            )

    def _seen(self, branch: Branch) -> HistoryConditioning | None:
        if not branch.part:
            return self.history if branch.history else None
        if branch.part not in self.parts:
            known = ", ".join(map(repr, self.parts)) or "none"
            raise MPVGError(f"The guidance asks for the sub-history {branch.part!r}, but there is {known}.")
        return self.parts[branch.part]

    def _embedding(self, branch: Branch) -> Tensor:
        if branch.text == "positive":
            return self.positive
        if self.negative is None:
            raise MPVGError("This guidance needs a negative prompt; encode an empty one, or set the text scale to 1.")
        return self.negative


def _groups(weights: Mapping[Branch, float], batched: bool) -> list[tuple[Branch, ...]]:
    """The branches of each transformer call: one each, or all with the same token length together."""
    if not batched:
        return [(branch,) for branch in weights]
    kinds: dict[tuple[bool, str], list[Branch]] = {}
    for branch in weights:
        kinds.setdefault((branch.history, branch.part), []).append(branch)
    return [tuple(kinds[kind]) for kind in sorted(kinds)]


def _stacked(rows: list[Tensor]) -> Tensor:
    return torch.cat(rows) if len(rows) > 1 else rows[0]
