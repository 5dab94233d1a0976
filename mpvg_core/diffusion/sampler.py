"""The one denoising loop: every film, with or without history, by whatever method, is sampled here.

It is bit-equal to diffusers' CogVideoXPipeline where both do the same (branches batched, no history).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import MPVGError
from .guidance import HistoryGuidance
from .inject import HistoryConditioning
from .predict import Denoiser, Guided, Predict, Step
from .schedule import Stepper

Constrain = Callable[[Tensor, Tensor | None], Tensor]
"""What is known of the clip, put into its latents: (latents after a step, the timestep they stand at; None at the
end)."""


@dataclass(frozen=True)
class StepInfo:
    """What `on_step` is told after each step; the tensors are the loop's own: read them, do not write to them."""

    index: int  # 0 .. steps - 1
    steps: int
    timestep: int
    latents: Tensor  # [1, F, C, h, w], after the step
    predicted: Tensor | None  # [1, F, C, h, w], the clean clip as predicted now, if the scheduler tells
    seconds: float  # this step's wall-clock time


@torch.no_grad()
def denoise(
    predict: Predict,
    stepper: Stepper,
    latents: Tensor,
    *,
    start: int = 0,
    constrain: Constrain | None = None,
    on_step: Callable[[StepInfo], None] | None = None,
) -> Tensor:
    """Latents [1, F, C, h, w] of step `start` (0: scaled noise) to those of the clip, same shape and dtype.

    constrain: sees the latents after every step; what it gives goes on. Predictions of several windows or prompts are
    fused in `predict`, so that there is one step of the scheduler a step, whatever the method.

    Raises MPVGError when the numbers stop being finite (looked at after the first step and at the end).
    """
    dtype, total = latents.dtype, len(stepper.timesteps)
    for index in range(start, total):
        began = time.perf_counter()
        timestep = stepper.timesteps[index]
        prediction = predict(stepper.scale_input(latents, index), Step(index, total, timestep))
        latents, predicted = stepper.step(prediction, index, latents)
        latents = latents.to(dtype)
        if constrain is not None:
            latents = constrain(latents, stepper.timesteps[index + 1] if index + 1 < total else None)
        if index in (start, total - 1):
            _require_finite(latents, index, total)
        if on_step is not None:
            seconds = time.perf_counter() - began
            on_step(StepInfo(index, total, int(timestep), latents, predicted, seconds))
    return latents


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
    generator: torch.Generator | list[torch.Generator] | None = None,
    on_step: Callable[[StepInfo], None] | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Tensor:
    """Denoise `noise` [1, F, C, h, w] into latents of the same shape and dtype: one prompt, one history.

    scheduler: a diffusers scheduler of its own for this call (its timesteps are set here); DPM needs `generator`.
    on_step is called once a step, `interrupt` before every transformer call; either stops the loop by raising.
    The rest is told at `Guided`.

    Raises MPVGError when the numbers stop being finite or the negative embedding is missing, InputError for a number
    of steps the scheduler cannot make.
    """
    stepper = Stepper(scheduler, steps, generator)
    predict = Guided(
        backbone,
        positive,
        negative,
        history.compact() if history is not None else None,
        guidance,
        batched=batched,
        interrupt=interrupt,
    )
    return denoise(predict, stepper, noise * stepper.initial_scale, on_step=on_step)


def _require_finite(latents: Tensor, index: int, steps: int) -> None:
    if bool(torch.isfinite(latents).all()):
        return
    precision = str(latents.dtype).removeprefix("torch.")
    remedy = "lower the guidance scales, or check the model's weights"
    if latents.dtype == torch.float16:
        remedy = "run it in bfloat16 (CogVideoX-5b was trained in it and overflows float16) or in float32"
    raise MPVGError(f"The picture turned into NaN or infinity by step {index + 1} of {steps} in {precision}; {remedy}.")
