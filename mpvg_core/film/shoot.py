"""One clip from its prompt and what it remembers: the sampler called as every shot of every film calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..diffusion.frames import latent_frames
from ..diffusion.guidance import HistoryGuidance
from ..diffusion.inject import HistoryConditioning
from ..diffusion.noise import shot_noise, step_generator
from ..diffusion.predict import Guided
from ..diffusion.sampler import StepInfo
from ..diffusion.schedule import Stepper
from ..errors import InputError, Problem
from ..methods.technique import Technique, sample_with

if TYPE_CHECKING:
    from ..backbone.interface import Backbone, TextEmbedding
    from ..history.adapter import HistoryAdapter
    from ..history.decouple import HistoryTokens

OnStep = Callable[[StepInfo], None]


@dataclass(frozen=True)
class ClipRequest:
    """What a clip is to be: its length in frames, its size in pixels, and how it is denoised (see `FilmSettings`)."""

    seed: int
    frames: int
    width: int
    height: int
    steps: int
    scheduler: str = "ddim"
    batched: bool = False
    guidance: HistoryGuidance = field(default_factory=HistoryGuidance)

    def require_possible(self, backbone: Backbone) -> None:
        """Raises InputError, for all at once, when the model cannot make a clip of this length or size."""
        limits = backbone.limits()
        problems = []
        if self.frames < 1 or (self.frames - 1) % limits.frame_step:
            legal = f"1 + {limits.frame_step}n for model '{limits.model}'"
            problems.append(Problem("frames", f"{self.frames}", legal))
        for name, side in (("width", self.width), ("height", self.height)):
            if side < limits.size_step or side % limits.size_step:
                near = max(round(side / limits.size_step), 1) * limits.size_step
                wanted = f"a multiple of {limits.size_step} for model '{limits.model}'"
                problems.append(Problem(name, f"{side} pixels", wanted, f"for example {near}"))
        if problems:
            raise InputError(problems)


def shoot_clip(
    backbone: Backbone,
    request: ClipRequest,
    positive: TextEmbedding,
    negative: TextEmbedding,
    history: HistoryConditioning | None = None,
    *,
    techniques: Sequence[Technique] = (),
    parts: Mapping[str, HistoryConditioning | None] | None = None,
    on_step: OnStep | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Tensor:
    """The clip's latent [F, C, h, w], made with all `techniques`; parts: sub-histories by name.

    See `diffusion.sampler.sample` for callbacks and errors.
    """
    side = backbone.spatial_compression
    frames = latent_frames(request.frames, backbone.temporal_compression)
    shape = (1, frames, backbone.latent_channels, request.height // side, request.width // side)
    guided = Guided(
        backbone,
        positive.embeds[None].to(backbone.device),
        negative.embeds[None].to(backbone.device),
        history.compact() if history is not None else None,
        request.guidance,
        batched=request.batched,
        interrupt=interrupt,
        parts=parts or {},
    )
    stepper = Stepper(backbone.new_scheduler(request.scheduler), request.steps, step_generator(request.seed))
    noise = shot_noise(request.seed, shape, backbone.device, backbone.dtype)
    return sample_with(techniques, guided, stepper, noise, on_step=on_step)[0]


def conditioning(
    adapter: HistoryAdapter | None, remembered: HistoryTokens | None, device: torch.device
) -> HistoryConditioning | None:
    """History tokens on their way into the transformer; None where nothing is remembered."""
    if adapter is None or remembered is None:
        return None
    return HistoryConditioning(adapter.injection, remembered.tokens[None].to(device))
