"""What memory a long shot takes while it is denoised: in windows, beside one clip alone and the whole shot at once."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..backbone.cogvideox import CogVideoXBackbone
from ..diffusion.frames import latent_frames
from ..film.settings import FilmSettings
from ..film.shoot import ClipRequest, shoot_clip
from ..methods.codenoise import codenoise
from ..methods.technique import Technique
from ..methods.windows import plan_windows

LENGTHS = (41, 81, 161)  # frames: two, five and ten times the pocket's clip of 17, about
_STEPS = 2  # the second has all that the first leaves behind
_PROMPT = "Actor 1 is waving on the beach."


class LiveBytes(TorchDispatchMode):
    """The most bytes of storages that calculations keep alive at the same time, `peak`, and the most beside tensors as
    long as the clip, [B, `frames`, C, h, w], `work`; what was there before is left out, as are buffers within one
    operation."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.peak = self.work = 0
        self._frames = frames
        self._now, self._now_long = 0, 0
        self._users: Counter[int] = Counter()
        self._is_long: dict[int, bool] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                place, size = storage.data_ptr(), storage.nbytes()
                if not self._users[place]:
                    self._is_long[place] = tensor.dim() == 5 and tensor.shape[1] == self._frames
                    self._now += size
                    self._now_long += size * self._is_long[place]
                self._users[place] += 1
                weakref.finalize(tensor, self._released, place, size)
        self.peak = max(self.peak, self._now)
        self.work = max(self.work, self._now - self._now_long)
        return result

    def _released(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if not self._users[place]:
            self._now -= size
            self._now_long -= size * self._is_long[place]


@dataclass(frozen=True)
class Footprint:
    """How a shot of `frames` was denoised: peak bytes of its tensors, the same without latents, noise and predictions
    of the whole length, and in how many windows, each a transformer call of every branch and step."""

    how: str
    frames: int
    peak: int
    work: int
    windows: int


@torch.no_grad()
def footprints(
    backbone: CogVideoXBackbone, settings: FilmSettings, lengths: Sequence[int] = LENGTHS
) -> list[Footprint]:
    """Of one of the model's own clips, and of longer ones in windows and all at once; denoised, not decoded."""
    limits = backbone.limits()
    found = [_footprint(backbone, settings, "one clip", limits.max_frames, windows=False)]
    for frames in lengths:
        found.append(_footprint(backbone, settings, "in windows", frames, windows=True))
        found.append(_footprint(backbone, settings, "at once", frames, windows=False))
    return found


def _footprint(
    backbone: CogVideoXBackbone, settings: FilmSettings, how: str, frames: int, *, windows: bool
) -> Footprint:
    limits = backbone.limits()
    times = backbone.temporal_compression
    count, window = latent_frames(frames, times), latent_frames(limits.max_frames, times)
    planned = plan_windows(count, window, (window + 1) // 3) if windows else (range(count),)
    techniques: list[Technique] = [codenoise(planned)] if windows else []
    positive, negative = backbone.encode_text([_PROMPT, ""])
    request = ClipRequest(
        seed=1,
        frames=frames,
        width=limits.width,
        height=limits.height,
        steps=_STEPS,
        scheduler=settings.scheduler,
        guidance=settings.guidance,
    )
    with LiveBytes(count) as live:
        shoot_clip(backbone, request, positive, negative, techniques=techniques)
    return Footprint(how, frames, live.peak, live.work, len(planned))


def memory_table(found: Sequence[Footprint]) -> str:
    """Markdown: the peak, and that of the transformer's work alone, also beside that of one clip."""
    lines = ["| a shot of | denoised | windows | peak MiB | work MiB | beside one clip |", "|---" * 6 + "|"]
    for one in found:
        lines.append(
            f"| {one.frames} frames | {one.how} | {one.windows} | {one.peak / 2**20:.2f} | {one.work / 2**20:.2f} | "
            f"{one.work / found[0].work:.2f} |"
        )
    return "\n".join(lines)
