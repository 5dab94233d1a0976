"""A take to be made, and all that its methods are built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..diffusion.frames import latent_frames
from ..methods.codenoise import PromptSpan

if TYPE_CHECKING:
    from ..backbone.interface import Backbone, TextEmbedding
    from ..storyboard.method import Method
    from ..storyboard.plan import PlacedBox


@dataclass(frozen=True)
class Model:
    """An earlier shot that a method builds on: its name and prompt, and its clean latents [F, C, h, w]."""

    name: str
    text: TextEmbedding
    latents: Tensor


@dataclass(frozen=True)
class Asked:
    """A take to be made, and what its methods are built from.

    label: what errors call it. text: its first prompt; spans: the prompts of a take of several shots. frames: pixel
    frames of the whole take. shots: the earlier ones that methods name, in their order; seeds: of their noise, by name;
    past: those that are seen as a whole, oldest first, and how many shots ago each was, `ages`. clips, masks: frames
    uint8 [T, H, W, 3] and masks bool [1 or T, H, W] that are given by hand in place of files of these names; files:
    where the others lie.
    """

    backbone: Backbone
    method: Method
    label: str
    text: TextEmbedding
    seed: int
    frames: int
    width: int
    height: int
    fps: int
    layout: Sequence[PlacedBox] = ()
    spans: Sequence[PromptSpan] = ()
    shots: Mapping[str, Model] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    past: Sequence[str] = ()
    ages: Sequence[int] | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    clips: Mapping[str, np.ndarray] = field(default_factory=dict)
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: Mapping[str, TextEmbedding] = field(default_factory=dict)

    def read(self, words: str) -> TextEmbedding:
        """Words as the model reads them, from `texts` where they were read before."""
        return self.texts[words] if words in self.texts else self.backbone.encode_text([words])[0]

    @property
    def clip_frames(self) -> int:
        """Pixel frames of the latent: all, or those of the coarse clip that others are filled into."""
        infill = self.method.infill
        return infill.clip_length(self.frames) if infill else self.frames

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Of the take's latents."""
        side, model = self.backbone.spatial_compression, self.backbone
        frames = latent_frames(self.clip_frames, model.temporal_compression)
        return 1, frames, model.latent_channels, self.height // side, self.width // side


def words_of(method: Method, layout: Sequence[PlacedBox]) -> list[str]:
    """What a shot's methods read beside its prompts."""
    words = [line.words for line in layout] if method.regions else []
    words += [method.keep_look.words] if method.keep_look and method.keep_look.words else []
    walked = method.edit and method.edit.by == "inversion" and method.edit.shot is None
    return [*dict.fromkeys([*words, *([""] if walked else [])])]


def with_words(asked: Asked, *more: str) -> Asked:
    """The same, with all words read that its methods want, and more: at once, since a large text encoder does not
    stay."""
    wanted = dict.fromkeys([*more, *words_of(asked.method, asked.layout)])
    words = [text for text in wanted if text not in asked.texts]
    read = dict(zip(words, asked.backbone.encode_text(words), strict=True)) if words else {}
    return replace(asked, texts={**asked.texts, **read})
