"""A film of clips that were made one by one: each becomes a take on disk, as if a storyboard had asked for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError, Problem
from ..storyboard.words import shot_label
from .assemble import clip_record
from .record import Film, FilmedShot
from .takes import CLIP, Take, TakeStore, take_id
from .tensors import write_latent
from .video import VideoWriter

if TYPE_CHECKING:
    from ..backbone.interface import Backbone


@dataclass(frozen=True)
class MadeClip:
    """A finished clip: what it is called, its prompt, and its latent [F, C, h, w]."""

    name: str
    prompt: str
    latent: Tensor


def collect_film(
    title: str,
    clips: Sequence[MadeClip],
    backbone: Backbone,
    store: TakeStore,
    interrupt: Callable[[], None] | None = None,
) -> Film:
    """The clips in order as a film joined by cuts; those whose takes are there are not decoded again.

    Raises InputError, for all clips at once, when they are not of one size.
    """
    side = backbone.spatial_compression
    sizes = [(clip.latent.shape[3] * side, clip.latent.shape[2] * side) for clip in clips]
    problems = [
        Problem(shot_label(clip.name), f"is {size[0]}x{size[1]}", f"{sizes[0][0]}x{sizes[0][1]}, as the first")
        for clip, size in zip(clips, sizes, strict=True)
        if size != sizes[0]
    ]
    if problems or not clips:
        raise InputError(problems or Problem("history", "holds no shot", remedy="append one"))
    fps = backbone.limits().fps
    shots = []
    for number, clip in enumerate(clips, start=1):
        take = _take_of(clip, backbone, store, fps, interrupt)
        shots.append(FilmedShot(number, clip.name, take, False, "cut", 0.0))
    model = {"name": backbone.name, "fingerprint": backbone.fingerprint}
    return Film(title, fps, *sizes[0], model, None, {}, tuple(shots))


def _take_of(
    clip: MadeClip, backbone: Backbone, store: TakeStore, fps: int, interrupt: Callable[[], None] | None
) -> Take:
    side = backbone.spatial_compression
    width, height = clip.latent.shape[3] * side, clip.latent.shape[2] * side
    frames = 1 + (clip.latent.shape[0] - 1) * backbone.temporal_compression
    inputs: dict[str, Any] = {
        "format": 1,
        "model": backbone.fingerprint,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "prompt": clip.prompt,
        "negative": "",
        "seed": 0,
        "frames": frames,
        "fps": fps,
        "width": width,
        "height": height,
        "latent": _digest(clip.latent),
    }
    if take := store.get(take_id(inputs)):
        return take
    with store.draft() as draft:
        write_latent(clip.latent, draft)
        with VideoWriter(draft / CLIP, width=width, height=height, fps=fps) as writer:
            for part in backbone.decode(clip.latent.to(device=backbone.device, dtype=backbone.dtype)):
                if interrupt is not None:
                    interrupt()
                writer.write(part)
        return store.commit(
            draft,
            {
                "shot": clip.name,
                "prompt": clip.prompt,
                "inputs": inputs,
                "history": [],
                "model": {"name": backbone.name, "fingerprint": backbone.fingerprint},
                "adapter": None,
                "clip": clip_record(width, height),
                "rendered": {},
            },
        )


def _digest(latent: Tensor) -> str:
    data = latent.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()
