"""Films many stories of the toy world side by side, shot after shot: what the pocket's figures are read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..backbone.cogvideox import CogVideoXBackbone
from ..backbone.interface import TextEmbedding
from ..diffusion.frames import latent_frames
from ..diffusion.guidance import HistoryGuidance
from ..diffusion.inject import HistoryConditioning
from ..diffusion.noise import shot_noise, step_generator
from ..diffusion.sampler import sample
from ..history.adapter import HistoryAdapter
from ..history.history import PastShot, PromptHistory
from ..history.select import TokenSelection, select_tokens
from .language import tell
from .world import FRAMES, Story

Selector = Callable[[Sequence[TextEmbedding], TextEmbedding, HistoryAdapter], TokenSelection]


def adapter_selection(past: Sequence[TextEmbedding], current: TextEmbedding, adapter: HistoryAdapter) -> TokenSelection:
    """As the adapter was trained: similarity and a threshold."""
    return select_tokens(past, current, adapter.selection, adapter.space)


def every_token(past: Sequence[TextEmbedding], current: TextEmbedding, adapter: HistoryAdapter) -> TokenSelection:
    """No selection: every word of every past prompt is kept, and serves what the adapter's own selection serves."""
    chosen = adapter_selection(past, current, adapter)
    if not chosen.count:
        return chosen
    anything = chosen.served[0]
    masks = tuple(text.mask.cpu() for text in past)
    serves = tuple(
        torch.where(own >= 0, own, torch.where(mask, anything, -1))
        for own, mask in zip(chosen.serves, masks, strict=True)
    )
    return TokenSelection(masks, chosen.scores, serves, chosen.reaches)


@dataclass(frozen=True)
class Variant:
    """How a shot is filmed: its guidance, steps and scheduler, what is selected, and whether anything is remembered."""

    guidance: HistoryGuidance
    steps: int
    scheduler: str = "ddim"
    remembers: bool = True
    select: Selector = adapter_selection


@dataclass
class Film:
    """A story being filmed: its prompts, and of each shot so far latents [F, C, h, w] and frames uint8 [T, H, W, 3]."""

    story: Story
    prompts: tuple[str, ...]
    texts: tuple[TextEmbedding, ...] = ()
    latents: list[Tensor] = field(default_factory=list)
    clips: list[np.ndarray] = field(default_factory=list)
    history: PromptHistory = field(default_factory=PromptHistory)


@dataclass(frozen=True)
class Shown:
    """One shot as filmed, and how many tokens of the past were kept for it, out of how many words."""

    latents: Tensor
    clip: np.ndarray
    kept: int
    words: int


class Studio:
    """A model and its adapter, filming the same shot of many stories at once.

    Seeds depend on story and shot alone, so that variants of a shot differ in nothing but what is varied.
    """

    def __init__(self, backbone: CogVideoXBackbone, adapter: HistoryAdapter | None, *, batch: int = 20) -> None:
        self.backbone, self.adapter, self.batch = backbone, adapter, batch
        for module in backbone.vae.modules():  # twice as fast on a CPU in half precision
            if isinstance(module, torch.nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def open(self, stories: Sequence[Story], *, told: bool = False) -> list[Film]:
        """Films with nothing filmed yet; `told`: the prompts tell the looks."""
        films = []
        for story in stories:
            words = [
                tell(scene, np.random.default_rng([story.seed, 3]), told=told, plain=True) for scene in story.scenes
            ]
            films.append(Film(story, tuple(words), tuple(self.backbone.encode_text(words))))
        return films

    def film(self, films: Sequence[Film], variant: Variant, shots: int) -> None:
        """Films the next `shots` shots of every film, one after the other; each is remembered."""
        for _ in range(shots):
            for film, shown in zip(films, self.shot(films, variant), strict=True):
                shot = len(film.clips)
                film.latents.append(shown.latents)
                film.clips.append(shown.clip)
                past = PastShot(f"shot {shot + 1}", film.texts[shot], self.backbone.describe_clip(shown.latents))
                film.history = film.history.append(past)

    def shot(
        self, films: Sequence[Film], variant: Variant, histories: Sequence[PromptHistory] | None = None
    ) -> list[Shown]:
        """The next shot of every film, which is not kept; `histories` in place of the films' own."""
        histories = histories if histories is not None else [film.history for film in films]
        shown: list[Shown] = []
        for start in range(0, len(films), self.batch):
            part = slice(start, start + self.batch)
            shown += self._shots(films[part], variant, histories[part])
        return shown

    @torch.no_grad()
    def _shots(self, films: Sequence[Film], variant: Variant, histories: Sequence[PromptHistory]) -> list[Shown]:
        backbone, limits = self.backbone, self.backbone.limits()
        side = backbone.spatial_compression
        shape = (1, latent_frames(FRAMES), backbone.latent_channels, limits.height // side, limits.width // side)
        current = [film.texts[len(film.clips)] for film in films]
        seeds = [(film.story.seed * 1009 + len(film.clips)) % 2**31 for film in films]
        conditioning, kept, words = self._remembered(variant, histories, current)
        latents = sample(
            backbone,
            noise=torch.cat([shot_noise(seed, shape, backbone.device, backbone.dtype) for seed in seeds]),
            positive=torch.stack([text.embeds for text in current]),
            negative=backbone.encode_text([""])[0].embeds.expand(len(films), -1, -1),
            history=conditioning,
            guidance=variant.guidance,
            scheduler=backbone.new_scheduler(variant.scheduler),
            steps=variant.steps,
            generator=[step_generator(seed) for seed in seeds],
        )
        clips = [np.concatenate(list(backbone.decode(latent))) for latent in latents]
        return [Shown(*parts) for parts in zip(latents, clips, kept, words, strict=True)]

    def _remembered(
        self, variant: Variant, histories: Sequence[PromptHistory], current: Sequence[TextEmbedding]
    ) -> tuple[HistoryConditioning | None, list[int], list[int]]:
        """The history tokens of every film, padded to the same number; kept tokens and words of each one's past."""
        words = [sum(int(shot.text.mask.sum()) for shot in history) for history in histories]
        adapter = self.adapter
        if adapter is None or not variant.remembers:
            return None, [0] * len(words), words
        found, kept = [], []
        for history, text in zip(histories, current, strict=True):
            selection = variant.select([shot.text for shot in history], text, adapter)
            kept.append(selection.count)
            found.append(adapter.history_tokens(history, text, selection))
        most = max((len(tokens.tokens) for tokens in found if tokens), default=0)
        if not most:
            return None, kept, words
        tokens = torch.zeros(len(found), most, adapter.extractor.numbers["width"])
        mask = torch.zeros(len(found), most, dtype=torch.bool)
        for b, own in enumerate(found):
            if own:
                tokens[b, : len(own.tokens)], mask[b, : len(own.tokens)] = own.tokens, True
        return HistoryConditioning(adapter.injection, tokens, mask=mask), kept, words
