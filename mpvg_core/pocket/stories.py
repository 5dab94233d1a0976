"""Endless training stories: earlier shots, and the shot to be made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .batches import DrawnBatches, actor_share, as_pixels, training_seed
from .language import tell
from .latents import STATIC, LatentBasis
from .world import COLOURS, FRAMES, SHAPES, Look, Scene, background, draw_portrait, draw_scene, draw_story

CODE = 16


@dataclass(frozen=True)
class Told:
    """A shot's prompts: as the film has it, and with the looks told."""

    prompt: str
    told: str


class StoryBatches(DrawnBatches):
    """Batches of shots to be made from the earlier shots of their story.

    A story of S + 1 shots gives S samples: its second shot from its first, and so on. `batch` is a multiple of S.
    latents [B, F, 16, h, w] and actors of the shot to be made; past [B, S, F, 16, h, w] clips of the earlier ones,
    oldest first and padded at the front; for each sample `prompts`: those of the earlier shots and, last, its own;
    looks [B, 3] the codes' index of actors 1 to 3; `scenes` likewise.
    """

    stream = 2

    def __init__(self, basis: LatentBasis, batch: int, *, most_past: int = 4, seed: int = 0, skip: int = 0) -> None:
        if batch % most_past:
            raise ValueError(f"a batch of {batch} is no multiple of the {most_past} samples of a story")
        super().__init__(basis, batch, seed=seed, skip=skip)
        self.most_past = most_past

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        latents, actors, past, prompts, looks, scenes = [], [], [], [], [], []
        for _ in range(self.batch // self.most_past):
            story = draw_story(training_seed(rng), shots=self.most_past + 1)
            clips = np.stack([draw_scene(scene) for scene in story.scenes])
            encoded = self.basis.encode(as_pixels(clips))
            words = [_tell(scene, rng) for scene in story.scenes]
            for shot in range(1, self.most_past + 1):
                latents.append(encoded[shot])
                actors.append(torch.from_numpy(actor_share(clips[shot], story.scenes[shot])))
                padding = encoded.new_zeros(self.most_past - shot, *encoded.shape[1:])
                past.append(torch.cat([padding, encoded[:shot]]))
                prompts.append(words[: shot + 1])
                scenes.append(story.scenes[: shot + 1])
                looks.append([look_index(look) for look in story.looks])
        return {
            "latents": torch.stack(latents),
            "actors": torch.stack(actors),
            "past": torch.stack(past),
            "prompts": prompts,
            "looks": torch.tensor(looks),
            "scenes": scenes,
        }


def _tell(scene: Scene, rng: np.random.Generator) -> Told:
    """The scene in one wording, once with the looks and once (mostly) without."""
    wording, told = int(rng.integers(2**31)), bool(rng.random() < 0.15)
    return Told(*(tell(scene, np.random.default_rng(wording), told=flag) for flag in (told, True)))


def look_index(look: Look) -> int:
    """A number for each of the 24 looks."""
    return list(COLOURS).index(look.colour) * len(SHAPES) + SHAPES.index(look.shape)


def look_codes(basis: LatentBasis) -> torch.Tensor:
    """What each look *looks like*, [24, 16]: the principal components of its portrait's latents, about unit variance.

    Halfway whitened, so that a shape, which covers fewer pixels than a colour, counts as well.
    """
    looks = [Look(colour, shape) for colour in COLOURS for shape in SHAPES]
    portraits = np.stack([draw_portrait(look) for look in looks])
    latents = basis.encode(as_pixels(np.repeat(portraits, FRAMES, axis=1)[:, :5]))[:, 0, :STATIC, 6:15, 4:12].flatten(1)
    centred = latents - latents.mean(dim=0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    codes = left[:, :CODE] * sizes[:CODE].sqrt()
    return codes / codes.square().mean().sqrt()


def place_code(basis: LatentBasis, place: str, mirrored: bool) -> torch.Tensor:
    """What an empty place looks like, [160]: its latents pooled to 4×4 cells."""
    empty = np.repeat(background(place, mirrored)[None, None].astype(np.uint8), 5, axis=1)
    latents = basis.encode(as_pixels(empty))[:, 0, :STATIC]
    return torch.nn.functional.adaptive_avg_pool2d(latents, 4).flatten()
