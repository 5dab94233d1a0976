"""Endless training stories: earlier shots, and the shot to be made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .batches import DrawnBatches, actor_share, as_pixels, training_seed
from .language import tell
from .latents import LatentBasis
from .world import COLOURS, PLACES, SHAPES, Look, Scene, draw_scene, draw_story


@dataclass(frozen=True)
class Told:
    """A shot's prompts: as the film has it, and with the looks told."""

    prompt: str
    told: str


class StoryBatches(DrawnBatches):
    """Batches of shots to be made from the earlier shots of their story.

    A story of S + 1 shots gives S samples: its second shot from its first, and so on. `batch` is a multiple of S.
    clips [N, S + 1, F, 16, h, w] of N = batch / S stories; past [N, S, F, 16, h, w], their earlier shots; latents
    [batch, F, 16, h, w] and actors of the shots to be made; for each sample `prompts`: those of the earlier shots and,
    last, its own; `scenes` likewise; looks [batch, 3] the numbers of the looks of actors 1 to 3.
    """

    stream = 2

    def __init__(self, basis: LatentBasis, batch: int, *, most_past: int = 4, seed: int = 0, skip: int = 0) -> None:
        if batch % most_past:
            raise ValueError(f"a batch of {batch} is no multiple of the {most_past} samples of a story")
        super().__init__(basis, batch, seed=seed, skip=skip)
        self.most_past = most_past

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        clips, actors, prompts, looks, scenes = [], [], [], [], []
        for _ in range(self.batch // self.most_past):
            story = draw_story(training_seed(rng), shots=self.most_past + 1)
            drawn = np.stack([draw_scene(scene) for scene in story.scenes])
            clips.append(self.basis.encode(as_pixels(drawn)))
            words = [_tell(scene, rng) for scene in story.scenes]
            for shot in range(1, self.most_past + 1):
                actors.append(torch.from_numpy(actor_share(drawn[shot], story.scenes[shot])))
                prompts.append(words[: shot + 1])
                scenes.append(story.scenes[: shot + 1])
                looks.append([look_number(look) for look in story.looks])
        stories = torch.stack(clips)
        return {
            "clips": stories,
            "past": stories[:, :-1],
            "latents": stories[:, 1:].flatten(0, 1),
            "actors": torch.stack(actors),
            "prompts": prompts,
            "looks": torch.tensor(looks),
            "scenes": scenes,
        }


def _tell(scene: Scene, rng: np.random.Generator) -> Told:
    """The scene in one wording, once with the looks and once (mostly) without."""
    wording, told = int(rng.integers(2**31)), bool(rng.random() < 0.15)
    return Told(*(tell(scene, np.random.default_rng(wording), told=flag) for flag in (told, True)))


LOOKS = len(COLOURS) * len(SHAPES)


def look_number(look: Look) -> int:
    """A number for each of the 24 looks."""
    return list(COLOURS).index(look.colour) * len(SHAPES) + SHAPES.index(look.shape)


def place_number(scene: Scene) -> int:
    """A number for each place."""
    return list(PLACES).index(scene.place)
