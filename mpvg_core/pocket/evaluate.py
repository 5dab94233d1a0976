"""What the pocket model can do, read off its pixels: held-out stories, filmed shot after shot and looked at by the
reader.

python -m mpvg_core.pocket.evaluate [--model DIR] [--stories N] [--shots N] [--history own|none] …
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..backbone.cogvideox import CogVideoXBackbone
from ..backbone.interface import TextEmbedding
from ..backbone.load import load_backbone
from ..diffusion.frames import latent_frames
from ..diffusion.guidance import HistoryGuidance
from ..diffusion.inject import HistoryConditioning
from ..diffusion.noise import shot_noise
from ..diffusion.sampler import sample
from ..history.adapter import HistoryAdapter, load_adapter
from ..history.history import PastShot, PromptHistory
from ..history.select import select_tokens
from .language import tell
from .reader import agreement, read_clip
from .world import FRAMES, Look, Scene, Story, draw_story


@dataclass(frozen=True)
class FilmedStory:
    """A story, its prompts, and what was filmed of each shot: latents [F, C, h, w] and frames uint8 [T, H, W, 3]."""

    story: Story
    prompts: tuple[str, ...]
    latents: tuple[Tensor, ...]
    clips: tuple[np.ndarray, ...]


@torch.no_grad()
def film_stories(
    backbone: CogVideoXBackbone,
    adapter: HistoryAdapter | None,
    stories: Sequence[Story],
    *,
    told: bool = False,
    steps: int = 25,
    guidance: HistoryGuidance | None = None,
) -> list[FilmedStory]:
    """Films all stories side by side, shot after shot; all must have the same number of shots. `told`: looks in the
    prompt.

    History is the film's own: what the model has drawn itself. Without `adapter` nothing is remembered.
    """
    guidance = guidance or HistoryGuidance()
    prompts = [
        [tell(s, np.random.default_rng([story.seed, 3]), told=told, plain=True) for s in story.scenes]
        for story in stories
    ]
    texts = [backbone.encode_text(list(row)) for row in prompts]
    negative = backbone.encode_text([""])[0].embeds
    limits = backbone.limits()
    side = backbone.spatial_compression
    shape = (1, latent_frames(FRAMES), backbone.latent_channels, limits.height // side, limits.width // side)
    histories = [PromptHistory() for _ in stories]
    made: list[list[Tensor]] = [[] for _ in stories]
    clips: list[list[np.ndarray]] = [[] for _ in stories]
    for shot in range(len(stories[0].scenes)):
        current = [row[shot] for row in texts]
        seeds = [(story.seed * 1009 + shot) % 2**31 for story in stories]
        latents = sample(
            backbone,
            noise=torch.cat([shot_noise(seed, shape, backbone.device, backbone.dtype) for seed in seeds]),
            positive=torch.stack([text.embeds for text in current]),
            negative=negative.expand(len(stories), -1, -1),
            history=_remembered(adapter, histories, current),
            guidance=guidance,
            scheduler=backbone.new_scheduler(),
            steps=steps,
        )
        for b, latent in enumerate(latents):
            made[b].append(latent)
            clips[b].append(np.concatenate(list(backbone.decode(latent))))
            past = PastShot(f"shot {shot + 1}", current[b], backbone.describe_clip(latent))
            histories[b] = histories[b].append(past)
    rows = zip(stories, prompts, made, clips, strict=True)
    return [FilmedStory(story, tuple(p), tuple(m), tuple(c)) for story, p, m, c in rows]


def _remembered(
    adapter: HistoryAdapter | None, histories: Sequence[PromptHistory], current: Sequence[TextEmbedding]
) -> HistoryConditioning | None:
    """The history tokens of every story, padded to the same number."""
    if adapter is None:
        return None
    found = []
    for history, text in zip(histories, current, strict=True):
        selection = select_tokens([shot.text for shot in history], text, adapter.selection, adapter.space)
        found.append(adapter.history_tokens(history, text, selection))
    most = max((len(tokens.tokens) for tokens in found if tokens), default=0)
    if not most:
        return None
    width = adapter.extractor.numbers["width"]
    tokens, mask = torch.zeros(len(found), most, width), torch.zeros(len(found), most, dtype=torch.bool)
    for b, own in enumerate(found):
        if own:
            tokens[b, : len(own.tokens)], mask[b, : len(own.tokens)] = own.tokens, True
    return HistoryConditioning(adapter.injection, tokens, mask=mask)


def prompt_figures(films: Sequence[FilmedStory]) -> dict[str, dict[str, float]]:
    """Right place, number of actors, motion, over all shots; and colour and shape as the story has them."""
    scores: dict[str, list[float]] = {}
    for film in films:
        for scene, clip in zip(film.story.scenes, film.clips, strict=True):
            for name, value in agreement(read_clip(clip), scene).items():
                scores.setdefault(name, []).append(float(value))
    return {name: share(values) for name, values in scores.items()}


def look_figures(films: Sequence[FilmedStory]) -> dict[str, dict[str, float]]:
    """Same colour and shape as the actor had when it was first seen, over all later appearances that can be read.

    The looks compared are the film's own, not the story's: no prompt tells them, so the first shot is free to choose.
    """
    colours, shapes = [], []
    for film in films:
        first: dict[int, Look] = {}
        for scene, clip in zip(film.story.scenes, film.clips, strict=True):
            reading = read_clip(clip)
            if len(reading.actors) != len(scene.roles):
                continue
            for role, actor in zip(scene.roles, reading.actors, strict=True):
                if role.index in first:
                    colours.append(float(actor.colour == first[role.index].colour))
                    shapes.append(float(actor.shape == first[role.index].shape))
                else:
                    first[role.index] = Look(actor.colour, actor.shape)
    return {"same colour": share(colours), "same shape": share(shapes)}


def share(values: Sequence[float]) -> dict[str, float]:
    """Mean, half the width of its 95 % interval (Wilson's, right near 0 and 1 too), and the number of values."""
    if not values:
        return {"mean": math.nan, "interval": math.nan, "n": 0}
    mean, count, z = float(np.mean(values)), len(values), 1.96
    half = z * math.sqrt(mean * (1 - mean) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return {"mean": round(mean, 4), "interval": round(half, 4), "n": count}


def lone_stories(count: int, shots: int, first_seed: int = 0) -> list[Story]:
    """Held-out stories of one actor, alone in every shot."""
    stories = []
    for seed in range(first_seed, first_seed + count):
        story = draw_story(seed, shots=shots, max_actors=1)
        stories.append(replace(story, scenes=tuple(_alone(scene) for scene in story.scenes)))
    return stories


def _alone(scene: Scene) -> Scene:
    return replace(scene, roles=scene.roles[:1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--stories", type=int, default=24)
    parser.add_argument("--shots", type=int, default=2)
    parser.add_argument("--actors", type=int, choices=[1, 3], default=3, help="at most, in a story")
    parser.add_argument("--history", choices=["own", "none"], default="own")
    parser.add_argument("--told", action="store_true", help="tell the looks in the prompts")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--text-scale", type=float)
    parser.add_argument("--history-scale", type=float)
    parser.add_argument("--sheet", type=Path, help="write a picture of the first stories here")
    options = parser.parse_args()
    backbone = load_backbone(options.model)
    defaults = backbone.folder.defaults()
    adapter = load_adapter(backbone.folder.adapter) if options.history == "own" and backbone.folder.adapter else None
    guidance = HistoryGuidance(
        text_scale=defaults.text_scale if options.text_scale is None else options.text_scale,
        history_scale=defaults.history_scale if options.history_scale is None else options.history_scale,
    )
    if options.actors == 1:
        stories = lone_stories(options.stories, options.shots)
    else:
        stories = [draw_story(seed, shots=options.shots) for seed in range(options.stories)]
    films = film_stories(
        backbone, adapter, stories, told=options.told, steps=options.steps or defaults.steps, guidance=guidance
    )
    figures: dict[str, Any] = {**prompt_figures(films), **look_figures(films)}
    print(json.dumps(figures, indent=1))
    if options.sheet:
        _sheet(films[:6], options.sheet)


def _sheet(films: Sequence[FilmedStory], path: Path) -> None:
    from PIL import Image

    rows = [np.concatenate([clip[t] for t in (0, 5, 11, 16)], axis=1) for film in films for clip in film.clips]
    picture = Image.fromarray(np.concatenate(rows))
    picture.resize((picture.width * 3, picture.height * 3), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
