"""Endless training stories: earlier shots, and the shot to be made from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .batches import FIRST_TRAINING_SEED, actor_share, as_pixels
from .language import tell
from .latents import STATIC, LatentBasis
from .world import COLOURS, FRAMES, SHAPES, Look, background, draw_portrait, draw_scene, draw_story

CODE = 16


@dataclass(frozen=True)
class Told:
    """A shot's prompts: as the film has it, and with the looks told."""

    prompt: str
    told: str


class StoryBatches(IterableDataset[dict[str, Any]]):
    """Batches of stories whose last shot is to be made.

    latents [B, F, 16, h, w] and actors of the last shot; past [B, S, F, 16, h, w] clips of the earlier ones, oldest
    first and padded at the front; for each sample `prompts`: S' + 1 `Told`, the last one the shot's; looks [B, 3] the
    codes' index of actors 1 to 3; scenes.
    """

    def __init__(self, basis: LatentBasis, batch: int, *, most_past: int = 4, seed: int = 0, skip: int = 0) -> None:
        self.basis, self.batch, self.most_past, self.seed, self.skip = basis, batch, most_past, seed, skip

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        index, step = (info.id, info.num_workers) if info else (0, 1)
        torch.set_num_threads(1)
        number = self.skip + index
        while True:
            yield self._draw(np.random.default_rng([self.seed, 9, number]))
            number += step

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        latents, actors, past, prompts, looks, stories = [], [], [], [], [], []
        for _ in range(self.batch):
            shots = int(rng.integers(1, self.most_past + 1)) + 1
            story = draw_story(int(rng.integers(FIRST_TRAINING_SEED, 2**31)), shots=shots)
            clips = np.stack([draw_scene(scene) for scene in story.scenes])
            encoded = self.basis.encode(as_pixels(clips))
            latents.append(encoded[-1])
            actors.append(torch.from_numpy(actor_share(clips[-1], story.scenes[-1])))
            padding = encoded.new_zeros(self.most_past + 1 - shots, *encoded.shape[1:])
            past.append(torch.cat([padding, encoded[:-1]]))
            words = []
            for scene in story.scenes:
                wording = int(rng.integers(2**31))
                told = bool(rng.random() < 0.15)
                texts = [tell(scene, np.random.default_rng(wording), told=flag) for flag in (told, True)]
                words.append(Told(*texts))
            prompts.append(words)
            looks.append([look_index(look) for look in story.looks])
            stories.append(story)
        return {
            "latents": torch.stack(latents),
            "actors": torch.stack(actors),
            "past": torch.stack(past),
            "prompts": prompts,
            "looks": torch.tensor(looks),
            "stories": stories,
        }


def story_loader(batches: StoryBatches, workers: int) -> Iterator[dict[str, Any]]:
    return iter(DataLoader(batches, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None))


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
