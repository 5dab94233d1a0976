"""Training stories as the base itself films them: a film remembers generated clips, faults and all, not drawn ones.

The prompts tell the looks, so that what each clip shows is known without reading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..backbone.construct import new_scheduler
from ..diffusion.guidance import HistoryGuidance
from ..diffusion.noise import shot_noise, step_generator
from ..diffusion.sampler import sample
from .base import SCHEDULER, token_ids, tokenizer
from .batches import training_seed
from .language import tell
from .latents import CHANNELS
from .world import FRAMES, SIZE, draw_story

SHOTS = 4
STEPS = 16
_STREAM = 7


@dataclass(frozen=True)
class FilmedStories:
    """seeds [S] of stories, and the clips of their first shots as latents [S, 4, F, C, h, w], half precision."""

    seeds: tuple[int, ...]
    clips: Tensor


@dataclass(frozen=True)
class _Base:
    """The base in training as the sampler sees it."""

    transformer: nn.Module

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        with torch.autocast(latents.device.type, dtype=torch.bfloat16):
            found: Tensor = self.transformer(latents, embeds, timestep, return_dict=False)[0]
        return found.float()


@torch.no_grad()
def film_stories(file: Path, base: Mapping[str, Any], *, stories: int, device: torch.device) -> FilmedStories:
    """Films `stories` training stories of four shots with the base alone; goes on with what `file` holds already."""
    seeds, clips = _held(file)
    rng = np.random.default_rng([_STREAM, 0])
    wanted = [training_seed(rng) for _ in range(stories)]
    transformer = base["transformer"].to(device).eval()
    text_encoder, words = base["text_encoder"].eval(), tokenizer()
    shape = (1, (FRAMES - 1) // 4 + 1, CHANNELS, SIZE // 4, SIZE // 4)
    for start in range(len(seeds), stories, 5):
        some = wanted[start : start + 5]
        prompts = [
            tell(scene, np.random.default_rng([seed, shot]), told=True)
            for seed in some
            for shot, scene in enumerate(draw_story(seed, shots=SHOTS).scenes)
        ]
        own = [(seed + shot) % 2**31 for seed in some for shot in range(SHOTS)]
        latents = sample(
            _Base(transformer),
            noise=torch.cat([shot_noise(seed, shape, device) for seed in own]),
            positive=text_encoder(input_ids=token_ids(words, prompts)).last_hidden_state.to(device),
            guidance=HistoryGuidance(text_scale=1.0, history_scale=0.0),
            scheduler=new_scheduler(SCHEDULER, "dpm"),
            steps=STEPS,
            generator=[step_generator(seed) for seed in own],
        )
        clips.append(latents.unflatten(0, (len(some), SHOTS)).half().cpu())
        seeds += some
        save_file({"seeds": torch.tensor(seeds), "clips": torch.cat(clips)}, file)
    return FilmedStories(tuple(seeds[:stories]), torch.cat(clips)[:stories])


def _held(file: Path) -> tuple[list[int], list[Tensor]]:
    if not file.exists():
        return [], []
    found = load_file(file)
    return [int(seed) for seed in found["seeds"]], [found["clips"]]
