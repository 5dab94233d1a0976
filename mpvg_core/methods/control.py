"""Structure control: a clip that follows another one's depth, edges or boxes.

The control clip is a video of the shot's length and size (see `structure.py`), encoded as footage is. Its latents are
further channels of what the transformer is shown, behind the clip's own: h = W x + W_c c. W_c comes from a control
adapter beside a stock model, or with a control model (CogVideoX-Fun V1.1 Control), whose transformer takes the further
channels by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..diffusion.guidance import Branch
from ..diffusion.predict import Call, Step
from ..diffusion.schedule import in_interval, interval_problems
from ..errors import InputError, Problem
from .control_adapter import ControlAdapter, widened
from .technique import Technique

NAME = "control"


@dataclass(frozen=True)
class Control:
    """How a control clip acts.

    strength: of the control's channels, 0 not at all, 1 as trained.
    scale w_c: v + (w_c - 1) [v(c) - v(no c)], both of the most conditioned branch: above 1 it pulls towards the
    structure, at the cost of one call a step. Without an adapter "no control" is zeros, which a control model was not
    trained for: leave it at 1 there.
    interval: the part of the way from 0 (noise) to 1 (picture) in which it acts; the structure is settled early.
    negative: whether the branches of the negative prompt see it, too, as in training; without it the text scale pulls
    towards the structure as well.

    Raises InputError naming every field that is wrong.
    """

    strength: float = 1.0
    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    negative: bool = True

    def __post_init__(self) -> None:
        problems = []
        if not 0.0 <= self.strength < math.inf:
            problems.append(Problem("control strength", f"{self.strength}", "0 or more; 1 is as trained"))
        if not math.isfinite(self.scale):
            problems.append(Problem("control scale", f"{self.scale} is no scale", "a finite number"))
        problems += interval_problems("control interval", self.interval)
        if problems:
            raise InputError(problems)

    def strength_in(self, branch: Branch, step: Step) -> float:
        """The strength with which this branch sees the control clip at this step."""
        sees = branch.control and (self.negative or branch.text == "positive")
        return self.strength if sees and in_interval(step.index, step.steps, self.interval) else 0.0


class Encoder(Protocol):
    """What is needed of a backbone to encode a control clip."""

    def encode_clip(self, frames: np.ndarray) -> Tensor: ...


def control_latents(encoder: Encoder, clip: np.ndarray, frames: int, height: int, width: int) -> Tensor:
    """A control clip, uint8 [T, H, W, 3], as latents [F, C, h, w]. Raises InputError unless it is of the shot's length
    and size, in pixels."""
    found, wanted = clip.shape, (frames, height, width, 3)
    if found != wanted or clip.dtype != np.uint8:
        given = f"{found[0]} frames of {found[2]}x{found[1]}" if clip.ndim == 4 else f"{clip.dtype} {list(found)}"
        remedy = "cut and scale it to the shot's length and size"
        raise InputError(Problem("control clip", given, f"{frames} frames of {width}x{height}, RGB", remedy))
    return encoder.encode_clip(clip)


def control(clip: Tensor, adapter: ControlAdapter | None = None, settings: Control | None = None) -> Technique:
    """Follow the control clip with latents `clip` [F, C, h, w], or [B, F, C, h, w]: one for each clip of a batch.

    adapter: of a stock model; None for a control model. A window of the clip is shown the window's part. With an
    adapter, strength 0, steps outside the interval and an untrained adapter are the stock model bit for bit. Among
    techniques it stands after those that change what the model is shown of the clip itself (held frames).

    Raises InputError when clip, adapter and model do not fit each other, when the first step is made.
    """
    settings = settings or Control()
    if adapter is not None and settings.strength == 0.0:
        return Technique(NAME)
    acting = _Controlling(clip if clip.dim() == 5 else clip[None], adapter, settings)
    pulls = settings.scale != 1.0 and settings.strength != 0.0
    return Technique(NAME, around=acting.around, widen=acting.widen, reweigh=acting.reweigh if pulls else None)


@dataclass(frozen=True)
class _Controlling:
    clip: Tensor  # [1 or B, F, C, h, w]
    adapter: ControlAdapter | None
    settings: Control

    def reweigh(self, weights: Mapping[Branch, float], step: Step) -> Mapping[Branch, float]:
        most = list(weights)[-1]
        if not self.settings.strength_in(most, step):
            return weights
        pull = self.settings.scale - 1.0
        changed = {**weights, most: weights[most] + pull, most._replace(control=False): -pull}
        return {branch: weight for branch, weight in changed.items() if weight != 0.0}

    def widen(self, states: Tensor, call: Call) -> Tensor:
        strengths = self._strengths(call)
        if self.adapter is not None and not any(strengths):
            return states
        own = self._part(states, call)
        rows = states.shape[0] // len(strengths)
        if own.shape[0] not in (1, rows):
            what = f"it is for {own.shape[0]} clips, the batch has {rows}"
            raise InputError(Problem("control clip", what, "one for all clips, or one for each"))
        own = own.to(states).expand(rows, *own.shape[1:])
        return torch.cat([states, torch.cat([own * strength for strength in strengths])], dim=2)

    def around(self, transformer: Any, call: Call) -> AbstractContextManager[None]:
        strengths = self._strengths(call)
        if self.adapter is None:
            _require_control_model(transformer, self.clip.shape[2])
            return nullcontext()
        return widened(transformer, self.adapter, strengths) if any(strengths) else nullcontext()

    def _strengths(self, call: Call) -> tuple[float, ...]:
        return tuple(self.settings.strength_in(branch, call.step) for branch in call.branches)

    def _part(self, states: Tensor, call: Call) -> Tensor:
        """The control clip of the frames that the call is for."""
        own, channels = self.clip, self.adapter.control_channels if self.adapter else self.clip.shape[2]
        if call.frames is not None and max(call.frames) < own.shape[1]:
            own = own[:, list(call.frames)]
        wanted = (states.shape[1], channels, *states.shape[3:])
        if own.shape[1:] != wanted:
            found, remedy = f"its latents are {list(own.shape[1:])}", "give it the length and size of the shot"
            raise InputError(Problem("control clip", found, f"{list(wanted)} for this shot", remedy))
        return own


def _require_control_model(transformer: Any, channels: int) -> None:
    config = transformer.config
    own = config.in_channels - config.out_channels
    if own == 0:
        what = "this model takes no control clip by itself"
        raise InputError(Problem("control clip", what, "a control adapter, or a control model", "choose an adapter"))
    if own != channels:
        what = f"its latents have {channels} channels"
        raise InputError(Problem("control clip", what, f"{own} for this model", "encode it with the model's own VAE"))
