"""Endless training batches of the toy world, drawn by worker processes while the model trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .language import tell
from .latents import BLOCK, LatentBasis
from .world import FRAMES, SIZE, Scene, background, draw_scene, draw_story

FIRST_TRAINING_SEED = 1_000_000  # seeds below are held out for evaluation
TOLD = 0.35  # of the prompts tell the looks; untold ones teach to choose one


class DrawnBatches(IterableDataset[dict[str, Any]], ABC):
    """Batches drawn one after the other, each from a number of its own, so that workers share them out and keep the
    order.

    `skip` batches are passed over without drawing them: a resumed run goes on where it stopped.
    """

    stream: int  # tells one kind of batches from another under the same seed

    def __init__(self, basis: LatentBasis, batch: int, *, seed: int, skip: int = 0) -> None:
        self.basis, self.batch, self.seed, self.skip = basis, batch, seed, skip

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """One batch."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        index, step = (info.id, info.num_workers) if info else (0, 1)
        torch.set_num_threads(1)
        number = self.skip + index
        while True:
            yield self.draw(np.random.default_rng([self.seed, self.stream, number]))
            number += step

    def ahead(self, workers: int) -> Iterator[dict[str, Any]]:
        """The batches in their order; with workers they are drawn ahead in other processes."""
        return iter(DataLoader(self, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None))


class SceneBatches(DrawnBatches):
    """Batches of single scenes: latents [B, F, 16, h, w], actors [B, F, 1, h, w] (share of a cell's pixels), prompts,
    and orders: the actors' numbers from left to right."""

    stream = 1

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        clips, masks, prompts, orders = [], [], [], []
        for _ in range(self.batch):
            scene = draw_story(training_seed(rng), shots=1).scenes[0]
            clip = draw_scene(scene)
            clips.append(clip)
            masks.append(actor_share(clip, scene))
            orders.append([role.index for role in scene.roles])
            told, cast_first = bool(rng.random() < TOLD), bool(rng.random() < 0.5)
            prompts.append(tell(scene, rng, told=told, cast_first=cast_first))
        return {
            "latents": self.basis.encode(as_pixels(np.stack(clips))),
            "actors": torch.from_numpy(np.stack(masks)),
            "prompts": prompts,
            "orders": orders,
        }


def training_seed(rng: np.random.Generator) -> int:
    """The seed of a story that is never held out."""
    return int(rng.integers(FIRST_TRAINING_SEED, 2**31))


def as_pixels(clips: np.ndarray) -> torch.Tensor:
    """uint8 [B, T, H, W, 3] to float [B, T, 3, H, W] in -1..1."""
    return torch.from_numpy(clips).float().div_(127.5).sub_(1).permute(0, 1, 4, 2, 3)


def actor_share(clip: np.ndarray, scene: Scene) -> np.ndarray:
    """How much of each latent cell the actors cover, float32 [F, 1, h, w]: the largest share over the cell's frames."""
    empty = background(scene.place, scene.mirrored)
    covered = (np.abs(clip.astype(np.float32) - empty) > 12).any(-1).astype(np.float32)
    cells = SIZE // BLOCK
    share = covered.reshape(len(clip), cells, BLOCK, cells, BLOCK).mean((2, 4))
    later = share[1:].reshape((FRAMES - 1) // 4, 4, cells, cells).max(1)
    return np.concatenate([share[:1], later])[:, None]
