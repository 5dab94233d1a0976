"""The one denoising loop: every film, with or without history, is sampled here.

It is bit-equal to diffusers' CogVideoXPipeline where both do the same (branches batched, no history).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import MPVGError
from .guidance import Branch, HistoryGuidance, compose
from .inject import HistoryConditioning, injected
from .schedule import Stepper


class Denoiser(Protocol):
    """What the loop needs of a backbone: a transformer and one call of it within its cache context `branch`."""

    @property
    def transformer(self) -> nn.Module: ...

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        """latents [B, F, C, h, w], timestep [B], embeds [B, L, D] -> prediction like latents."""
        ...


@dataclass(frozen=True)
class StepInfo:
    """What `on_step` is told after each step; the tensors are the loop's own: read them, do not write to them."""

    index: int  # 0 .. steps - 1
    steps: int
    timestep: int
    latents: Tensor  # [1, F, C, h, w], after the step
    predicted: Tensor | None  # [1, F, C, h, w], the clean clip as predicted now, if the scheduler tells
    weights: Mapping[Branch, float]  # the conditions evaluated in this step
    seconds: float  # this step's wall-clock time


@torch.no_grad()
def sample(
    backbone: Denoiser,
    *,
    noise: Tensor,
    positive: Tensor,
    negative: Tensor | None = None,
    history: HistoryConditioning | None = None,
    guidance: HistoryGuidance,
    scheduler: Any,
    steps: int,
    batched: bool = False,
    generator: torch.Generator | None = None,
    on_step: Callable[[StepInfo], None] | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Tensor:
    """Denoise `noise` [1, F, C, h, w] into latents of the same shape and dtype.

    positive, negative: prompt embeddings [1, L, D]; `negative` may be missing where no branch asks for it (w1 = 1).
    scheduler: a diffusers scheduler of its own for this call (its timesteps are set here); DPM needs `generator`.
    batched: branches of one kind share a call (negative first), as in diffusers; otherwise one after the other, which
    needs less memory and keeps a cache context for each.
    on_step is called once a step, `interrupt` before every transformer call; either stops the loop by raising.

    Raises MPVGError when the numbers stop being finite (looked at after the first step and at the end) or the negative
    embedding is missing, InputError for a number of steps the scheduler cannot make.
    """
    stepper = Stepper(scheduler, steps, generator)
    history = history.compact() if history is not None else None
    remembers = history is not None and not history.empty

    def predict(latents: Tensor, timestep: Tensor, weights: Mapping[Branch, float]) -> Tensor:
        predictions: dict[Branch, Tensor] = {}
        for group in _groups(weights, batched):
            if interrupt is not None:
                interrupt()
            embeds = _stacked([_embedding(branch, positive, negative) for branch in group])
            states = _stacked([latents] * len(group))
            with injected(backbone.transformer, history if group[0].history else None):
                output = backbone.denoise(
                    states,
                    timestep.to(latents.device).expand(states.shape[0]),
                    embeds,
                    branch=" ".join(branch.name for branch in group),
                )
            parts = output.chunk(len(group)) if len(group) > 1 else (output,)
            predictions.update(zip(group, parts, strict=True))
        return compose(weights, predictions)

    latents = noise * stepper.initial_scale
    total = len(stepper.timesteps)
    for index, timestep in enumerate(stepper.timesteps):
        started = time.perf_counter()
        weights = guidance.weights(index, total, int(timestep), history=remembers)
        prediction = predict(stepper.scale_input(latents, index), timestep, weights)
        latents, predicted = stepper.step(prediction, index, latents)
        latents = latents.to(noise.dtype)
        if index in (0, total - 1):
            _require_finite(latents, index, total, prediction_dtype=positive.dtype)
        if on_step is not None:
            seconds = time.perf_counter() - started
            on_step(StepInfo(index, total, int(timestep), latents, predicted, weights, seconds))
    return latents


def _groups(weights: Mapping[Branch, float], batched: bool) -> list[tuple[Branch, ...]]:
    """The branches of each transformer call: one each, or all with the same token length together."""
    if not batched:
        return [(branch,) for branch in weights]
    kinds = (tuple(branch for branch in weights if branch.history is history) for history in (False, True))
    return [kind for kind in kinds if kind]


def _stacked(rows: list[Tensor]) -> Tensor:
    return torch.cat(rows) if len(rows) > 1 else rows[0]


def _embedding(branch: Branch, positive: Tensor, negative: Tensor | None) -> Tensor:
    if branch.text == "positive":
        return positive
    if negative is None:
        raise MPVGError("This guidance needs a negative prompt; encode an empty one, or set the text scale to 1.")
    return negative


def _require_finite(latents: Tensor, index: int, steps: int, prediction_dtype: torch.dtype) -> None:
    if bool(torch.isfinite(latents).all()):
        return
    precision = str(prediction_dtype).removeprefix("torch.")
    remedy = "lower the guidance scales, or check the model's weights"
    if prediction_dtype == torch.float16:
        remedy = "run it in bfloat16 (CogVideoX-5b was trained in it and overflows float16) or in float32"
    raise MPVGError(f"The picture turned into NaN or infinity by step {index + 1} of {steps} in {precision}; {remedy}.")
