"""What a method changes in the making of a clip; a clip may be made with several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..diffusion.predict import Around, Guided, Predict, Reweigh, Widen
from ..diffusion.sampler import Constrain, StepInfo, denoise
from ..diffusion.schedule import Stepper
from ..errors import InputError, Problem


@dataclass(frozen=True)
class Start:
    """Where the loop begins: latents [1, F, C, h, w] as they are at step `index`."""

    latents: Tensor
    index: int


@dataclass(frozen=True)
class Technique:
    """One method as the loop sees it; what is None stays as it is without the method.

    name: for messages.
    noise: the clip's noise [1, F, C, h, w] to other noise of unit variance.
    start: noise, stepper and the clip's own prediction to where the loop begins, in place of step 0 with the noise.
    predict: the clip's own prediction to another one, which may ask it for parts and with other prompts.
    around, widen, reweigh: what is done to every transformer call, and to the conditions of a step (see
    `diffusion.predict`).
    constrain: noise and stepper to what is put into the latents after each step.
    attention: the interval of steps in which it replaces how the layers attend, which one technique alone can.
    by_noise: it acts by the noise that the loop starts from, which a scheduler that draws its own soon forgets.
    """

    name: str
    noise: Callable[[Tensor], Tensor] | None = None
    start: Callable[[Tensor, Stepper, Guided], Start] | None = None
    predict: Callable[[Guided], Predict] | None = None
    around: Around | None = None
    widen: Widen | None = None
    reweigh: Reweigh | None = None
    constrain: Callable[[Tensor, Stepper], Constrain] | None = None
    attention: tuple[float, float] | None = None
    by_noise: bool = False


def require_compatible(techniques: Sequence[Technique]) -> None:
    """Raises InputError where two techniques want to replace the same thing: where the loop starts, what it asks, or
    how layers attend."""
    wanted = {
        "begin the clip elsewhere": [technique.name for technique in techniques if technique.start is not None],
        "make its predictions otherwise": [technique.name for technique in techniques if technique.predict is not None],
        "change the attention itself": _attending_at_once(techniques),
    }
    for what, names in wanted.items():
        if len(names) > 1:
            both = " and ".join(names)
            raise InputError(Problem("methods", f"{both} both {what}", "one of them", "leave one out"))


def _attending_at_once(techniques: Sequence[Technique]) -> list[str]:
    """Names of those that replace attention in a step in which one of another name does; the same twice may stand in
    different layers."""
    acting = [(technique.name, *technique.attention) for technique in techniques if technique.attention is not None]
    return list(
        dict.fromkeys(
            name
            for name, start, end in acting
            if any(max(start, begin) < min(end, stop) for other, begin, stop in acting if other != name)
        )
    )


def require_kept_noise(name: str, stepper: Stepper) -> None:
    """Raises InputError for a scheduler that draws noise of its own: with a zero signal at its first timestep, as
    CogVideoX has it, nothing of the noise that the loop starts from outlives the first step of DPM."""
    if not stepper.deterministic:
        what, remedy = "it acts by noise, and this scheduler draws its own", "choose the scheduler 'ddim'"
        raise InputError(Problem(name, what, "a scheduler that adds none", remedy))


@torch.no_grad()
def sample_with(
    techniques: Sequence[Technique],
    guided: Guided,
    stepper: Stepper,
    noise: Tensor,
    *,
    on_step: Callable[[StepInfo], None] | None = None,
) -> Tensor:
    """Denoise `noise` [1, F, C, h, w] with all techniques, in their order; none gives the plain clip, bit for bit.

    Raises what `diffusion.sampler.denoise`, `require_compatible` and `require_kept_noise` raise.
    """
    require_compatible(techniques)
    for technique in techniques:
        if technique.by_noise:
            require_kept_noise(technique.name, stepper)
        if technique.noise is not None:
            noise = technique.noise(noise)
    guided = replace(
        guided,
        around=(*guided.around, *(t.around for t in techniques if t.around is not None)),
        widen=(*guided.widen, *(t.widen for t in techniques if t.widen is not None)),
        reweigh=(*guided.reweigh, *(t.reweigh for t in techniques if t.reweigh is not None)),
    )
    predict: Predict = guided
    start = Start(noise * stepper.initial_scale, 0)
    constrains = []
    for technique in techniques:
        if technique.predict is not None:
            predict = technique.predict(guided)
        if technique.start is not None:
            start = technique.start(noise, stepper, guided)
        if technique.constrain is not None:
            constrains.append(technique.constrain(noise, stepper))
    return denoise(
        predict, stepper, start.latents, start=start.index, constrain=_one_after_another(constrains), on_step=on_step
    )


def _one_after_another(constrains: Sequence[Constrain]) -> Constrain | None:
    if not constrains:
        return None

    def all_of_them(latents: Tensor, timestep: Tensor | None) -> Tensor:
        for constrain in constrains:
            latents = constrain(latents, timestep)
        return latents

    return all_of_them
