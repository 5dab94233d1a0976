"""When and how strongly: guidance over the steps, step intervals, and one way to step every scheduler."""

from __future__ import annotations

import inspect
import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..errors import InputError, MPVGError, Problem

ScheduleName = Literal["constant", "cosine", "upstream"]
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)


def scale_at(name: str, scale: float, index: int, steps: int, timestep: int) -> float:
    """The guidance scale of step `index` (0 .. steps - 1), `timestep` being the scheduler's (0 .. 999).

    constant: s.
    cosine:   1 + s (1 - cos(pi (index/steps)^5)) / 2, CogVideoX's dynamic guidance over the step index as it was meant:
              rises from exactly 1 (no guidance, no second call) towards 1 + s.
    upstream: the same with (steps - timestep)/steps in place of index/steps, as diffusers' `use_dynamic_cfg` has it; as
              the timestep is no step index, it oscillates. For parity only.
    """
    if name == "constant":
        return scale
    if name == "cosine":
        progress = index / steps
    elif name == "upstream":
        progress = (steps - timestep) / steps
    else:
        raise InputError(Problem("guidance schedule", f"{name!r} is unknown", f"one of {', '.join(SCHEDULES)}"))
    return 1 + scale * ((1 - math.cos(math.pi * progress**5.0)) / 2)


def in_interval(index: int, steps: int, interval: tuple[float, float]) -> bool:
    """Whether step `index` of `steps` lies in [start, end) of the way from 0 (pure noise) to 1 (the picture)."""
    start, end = interval
    return start <= index / steps < end


def interval_problems(name: str, interval: tuple[float, float]) -> list[Problem]:
    """What is wrong with an interval of steps for `in_interval`; `name` says which it is."""
    if len(interval) == 2 and 0.0 <= interval[0] <= interval[1] <= 1.0:
        return []
    return [Problem(name, f"{interval}", "two numbers, 0 <= start <= end <= 1")]


def draws_noise(scheduler: Any) -> bool:
    """Whether a scheduler adds noise of its own in every step, as CogVideoX's DPM does."""
    return "old_pred_original_sample" in inspect.signature(scheduler.step).parameters


class Stepper:
    """A diffusers scheduler (CogVideoX's DDIM or DPM, or any with `step(output, t, sample)`) behind one call.

    `timesteps` is an int64 CPU tensor [steps], from the noisiest on; it stays on the CPU because schedulers index their
    CPU tables with it. The DPM scheduler needs the last predicted clip and timestep, remembered here, and fresh noise,
    which `generator` gives; of a list of generators each gives that of one clip of a batch.
    """

    def __init__(
        self, scheduler: Any, steps: int, generator: torch.Generator | list[torch.Generator] | None = None
    ) -> None:
        """Raises InputError for a number of steps the scheduler cannot make, MPVGError for DPM without generator."""
        if steps < 1:
            raise InputError(Problem("steps", f"{steps} steps", "at least 1"))
        try:
            scheduler.set_timesteps(steps, device="cpu")
        except ValueError as error:
            raise InputError(Problem("steps", f"the scheduler refuses {steps} steps: {error}")) from error
        accepted = inspect.signature(scheduler.step).parameters
        self._remembers = draws_noise(scheduler)
        if self._remembers and generator is None:
            raise MPVGError(
                "The DPM scheduler adds fresh noise at every step; give a generator, or the shot cannot be made again."
            )
        self._options: dict[str, Any] = {"return_dict": False}
        if "generator" in accepted:
            self._options["generator"] = generator
        self._scheduler = scheduler
        self._last_predicted: Tensor | None = None
        # "trailing" spacing rounds some counts (61, 103, 121 ...) to one timestep too many, -1, which ruins the clip.
        self.timesteps: Tensor = scheduler.timesteps[:steps]

    @property
    def initial_scale(self) -> float:
        """What unit noise is multiplied with to start (1 for CogVideoX)."""
        return float(self._scheduler.init_noise_sigma)

    @property
    def deterministic(self) -> bool:
        """Whether the way down adds no noise (DDIM), so that it can be walked back up; DPM adds noise at every step."""
        return not self._remembers

    def level(self, timestep: Tensor | int | None) -> tuple[float, float]:
        """Signal a and noise s at `timestep`: x_t = a x0 + s eps, a^2 + s^2 = 1. None is the finished clip, (1, 0)."""
        if timestep is None:
            return 1.0, 0.0
        kept = float(self._scheduler.alphas_cumprod[int(timestep)])
        return math.sqrt(kept), math.sqrt(1.0 - kept)

    def noised(self, clean: Tensor, noise: Tensor, timestep: Tensor | int | None) -> Tensor:
        """a x0 + s eps in float32, then in the precision of `clean`; at zero terminal SNR the start is `noise` itself.

        Both tensors have one shape; None leaves `clean` as it is.
        """
        a, s = self.level(timestep)
        return (a * clean.float() + s * noise.float()).to(clean.dtype)

    def parts(self, prediction: Tensor, latents: Tensor, timestep: Tensor | int | None) -> tuple[Tensor, Tensor]:
        """The clean clip and the noise that `prediction` says `latents` at `timestep` are made of, in float32.

        v: x0 = a x - s v, eps = s x + a v. sample: eps = (x - a x0)/s. epsilon: x0 = (x - s eps)/a.
        """
        a, s = self.level(timestep)
        x, said, kind = latents.float(), prediction.float(), self._scheduler.config.prediction_type
        if kind == "v_prediction":
            return a * x - s * said, s * x + a * said
        if kind == "sample":
            return said, (x - a * said) / s
        return (x - s * said) / a, said

    def scale_input(self, latents: Tensor, index: int) -> Tensor:
        """The latents as the model wants to see them at step `index` (unchanged for CogVideoX)."""
        scaled: Tensor = self._scheduler.scale_model_input(latents, self.timesteps[index])
        return scaled

    def step(self, prediction: Tensor, index: int, latents: Tensor) -> tuple[Tensor, Tensor | None]:
        """From the latents of step `index` to the next: (latents, predicted clean latents or None if not given).

        Call it once a step, in order; predictions of several windows or branches are fused before, never after.
        """
        timestep = self.timesteps[index]
        if self._remembers:
            back = self.timesteps[index - 1] if index > 0 else None
            result = self._scheduler.step(prediction, self._last_predicted, timestep, back, latents, **self._options)
            self._last_predicted = result[1]
        else:
            result = self._scheduler.step(prediction, timestep, latents, **self._options)
        return result[0], result[1] if len(result) > 1 else None
