"""Clips made one by one are kept as storyboards' are: on disk before the next begins, and never made twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..diffusion.inject import HistoryConditioning
from ..methods.technique import Technique
from .shoot import ClipRequest, OnStep, shoot_clip
from .takes import TakeStore, take_id
from .tensors import set_aside, taken_up

if TYPE_CHECKING:
    from ..backbone.interface import Backbone, TextEmbedding


def shoot_once(
    store: TakeStore,
    backbone: Backbone,
    request: ClipRequest,
    positive: TextEmbedding,
    negative: TextEmbedding,
    history: HistoryConditioning | None = None,
    *,
    adapter: str | None = None,
    techniques: Callable[[], Sequence[Technique]] = tuple,
    parts: Mapping[str, HistoryConditioning | None] | None = None,
    made_by: str = "",
    on_step: OnStep | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Tensor:
    """The clip's latent [F, C, h, w]: from the store if it was made of the same inputs, else made now and stored.

    adapter: the fingerprint of the adapter that `history` is from. techniques: built only when the clip is made now;
    made_by: a hash of what they are built from. See `shoot_clip` for the rest.
    """
    inputs = _inputs(backbone, request, positive, negative, history, adapter)
    if made_by:
        inputs["method"] = made_by
    file = store.sampled(take_id(inputs))
    if (latent := taken_up(file)) is not None:
        return latent.to(device=backbone.device, dtype=backbone.dtype)
    latent = shoot_clip(
        backbone,
        request,
        positive,
        negative,
        history,
        techniques=techniques(),
        parts=parts,
        on_step=on_step,
        interrupt=interrupt,
    )
    set_aside(latent, file, store.scratch)
    return latent


def _inputs(
    backbone: Backbone,
    request: ClipRequest,
    positive: TextEmbedding,
    negative: TextEmbedding,
    history: HistoryConditioning | None,
    adapter: str | None,
) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "format": 1,
        "model": backbone.fingerprint,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "prompt": positive.ids.tolist(),
        "negative": negative.ids.tolist(),
        "seed": request.seed,
        "frames": request.frames,
        "width": request.width,
        "height": request.height,
        "steps": request.steps,
        "scheduler": request.scheduler,
        "batched": request.batched,
        "text_scale": float(request.guidance.text_scale),
        "schedule": request.guidance.schedule,
        "history": None,
    }
    if history is not None:  # without it these have no effect
        inputs["history"] = {
            "adapter": adapter,
            "tokens": hashlib.sha256(history.tokens.detach().float().cpu().numpy().tobytes()).hexdigest(),
            "history_scale": float(request.guidance.history_scale),
            "form": request.guidance.form,
            "interval": [float(end) for end in request.guidance.interval],
        }
        if request.guidance.segments:
            inputs["history"]["segments"] = [segment.described() for segment in request.guidance.segments]
    return inputs
