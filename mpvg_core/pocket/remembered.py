"""Training stories as the base itself films them: a film remembers generated clips, faults and all, not drawn ones.

The prompts tell the looks, so that it is known what each clip is to show. One that the reader sees otherwise would
teach the wrong thing: the drawn clip stands in its place.
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
from .batches import as_pixels, training_seed
from .language import tell
from .latents import CHANNELS, LatentBasis
from .reader import agreement, read_clip
from .world import FRAMES, SIZE, Scene, draw_scene, draw_story

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
def film_stories(
    file: Path, base: Mapping[str, Any], basis: LatentBasis, *, stories: int, device: torch.device
) -> FilmedStories:
    """Films `stories` training stories of four shots with the base alone; goes on with what `file` holds already."""
    seeds, clips = _held(file)
    rng = np.random.default_rng([_STREAM, 0])
    wanted = [training_seed(rng) for _ in range(stories)]
    transformer = base["transformer"].to(device).eval()
    text_encoder, words = base["text_encoder"].eval(), tokenizer()
    shape = (1, (FRAMES - 1) // 4 + 1, CHANNELS, SIZE // 4, SIZE // 4)
    for start in range(len(seeds), stories, 5):
        some = wanted[start : start + 5]
        scenes = [scene for seed in some for scene in draw_story(seed, shots=SHOTS).scenes]
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
        latents = torch.stack([_true(clip, scene, basis) for clip, scene in zip(latents.cpu(), scenes, strict=True)])
        clips.append(latents.unflatten(0, (len(some), SHOTS)).half())
        seeds += some
        save_file({"seeds": torch.tensor(seeds), "clips": torch.cat(clips)}, file)
    return FilmedStories(tuple(seeds[:stories]), torch.cat(clips)[:stories])


def _true(clip: Tensor, scene: Scene, basis: LatentBasis) -> Tensor:
    """The filmed clip [F, C, h, w] if it shows its scene, else the scene as it is drawn."""
    pixels = basis.decode(clip[None]).clamp(-1, 1)[0].permute(0, 2, 3, 1)
    found = agreement(read_clip(((pixels + 1) * 127.5).round().to(torch.uint8).numpy()), scene)
    if all(float(value) == 1.0 for name, value in found.items() if name != "mirrored"):
        return clip
    return basis.encode(as_pixels(draw_scene(scene)[None]))[0]


def _held(file: Path) -> tuple[list[int], list[Tensor]]:
    if not file.exists():
        return [], []
    found = load_file(file)
    return [int(seed) for seed in found["seeds"]], [found["clips"]]
