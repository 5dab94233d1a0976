"""Endless training batches of the toy world, drawn by worker processes while the model trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .language import tell
from .latents import BLOCK, LatentBasis
from .world import FRAMES, SIZE, Scene, background, draw_scene, draw_story

FIRST_TRAINING_SEED = 1_000_000  # seeds below are held out for evaluation


class SceneBatches(IterableDataset[dict[str, Any]]):
    """Batches of single scenes: latents [B, F, 16, h, w], actors [B, F, 1, h, w] (share of a cell's pixels), prompts.

    `skip` batches are passed over without drawing them, so that a resumed run goes on where it stopped.
    """

    def __init__(self, basis: LatentBasis, batch: int, *, seed: int, skip: int = 0, told: float = 0.35) -> None:
        self.basis, self.batch, self.seed, self.skip, self.told = basis, batch, seed, skip, told

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        index, step = (info.id, info.num_workers) if info else (0, 1)
        torch.set_num_threads(1)
        number = self.skip + index
        while True:
            rng = np.random.default_rng([self.seed, number])
            clips, masks, prompts = [], [], []
            for _ in range(self.batch):
                scene = draw_story(int(rng.integers(FIRST_TRAINING_SEED, 2**31)), shots=1).scenes[0]
                clip = draw_scene(scene)
                clips.append(clip)
                masks.append(actor_share(clip, scene))
                prompts.append(tell(scene, rng, told=bool(rng.random() < self.told)))
            pixels = as_pixels(np.stack(clips))
            yield {
                "latents": self.basis.encode(pixels),
                "actors": torch.from_numpy(np.stack(masks)),
                "prompts": prompts,
            }
            number += step


def scene_loader(batches: SceneBatches, workers: int) -> Iterator[dict[str, Any]]:
    """Iterates the batches in their order; with workers they are drawn ahead in other processes."""
    return iter(DataLoader(batches, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None))


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
