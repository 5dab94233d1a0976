"""Lessons from stories of footage: clips with the structure they follow, and shots with the shots before them.

Latents are encoded once and kept on disk, as those of transitions are (`training/footage.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..backbone.interface import Backbone
from ..datasets.read import Clip, iter_stories
from ..errors import InputError, Problem
from ..film.durable import canonical_json, sha256_file
from ..film.reading import read_pictures
from ..film.video import as_given, written_size
from ..methods.control import control_latents
from ..methods.structure import canny_clip
from ..methods.temporal_adapter import PastFrames, spread
from ..storyboard.plan import ModelLimits
from .footage import LEAST, read_latents, stretch, unfit, unreadable, write_latents
from .temporal_adapter import StoryLesson

EDGES = "edges"


@dataclass(frozen=True)
class StoryClip:
    """The first `frames` of a shot's clip, of which the model films as many, and what to say of it; its latents lie in
    `file` once they are encoded, and those of its structure in `structure_file`, where it has one."""

    clip: Clip
    frames: int
    prompt: str
    file: Path
    structure: Path | None = None
    structure_file: Path | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.frames, *self.clip.size


def plan_stories(
    data: Path, limits: ModelLimits, cache: Path, fingerprint: str, *, structure: str | None = None
) -> list[list[StoryClip]]:
    """The clips of a data set in layout 'scenes', story by story.

    structure: 'edges' finds those of each clip; another word names the video that lies beside each clip, `depth` the
    file scene-001.depth.mp4 beside scene-001.mp4.
    Raises InputError naming every clip and prompt that the model cannot take, and every structure that is missing.
    """
    problems: list[Problem] = []
    stories: list[list[StoryClip]] = []
    for story in iter_stories(data):
        stories.append([])
        for shot in story.shots:
            clip = shot.clip
            problems += unfit(clip, limits)
            if clip.frames < LEAST:
                continue
            frames = stretch(clip.frames, limits)
            made_of = [1, fingerprint, sha256_file(clip.path), frames]
            own, file = clip.path, cache / _name(*made_of)
            if structure is None:
                stories[-1].append(StoryClip(clip, frames, shot.prompt, file))
                continue
            if structure != EDGES:
                own = clip.path.with_name(f"{clip.path.stem}.{structure}.mp4")
                if not own.is_file():
                    problems.append(Problem(str(own), "is not there", f"the {structure} of {clip.path.name}"))
                    continue
                made_of.append(sha256_file(own))
            stories[-1].append(StoryClip(clip, frames, shot.prompt, file, own, cache / _name(*made_of, structure)))
    told = {one.prompt: str(one.clip.path) for story in stories for one in story}
    problems += unreadable(told, limits)
    if problems:
        raise InputError(problems)
    if not told:
        raise InputError(Problem(str(data), "has no story with captions", remedy="see its dataset.json for why"))
    return stories


def _name(*made_of: Any) -> str:
    return f"{hashlib.sha256(canonical_json(list(made_of))).hexdigest()[:24]}.safetensors"


def encode_stories(
    stories: Sequence[Sequence[StoryClip]], backbone: Backbone, report: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Encodes what has no latents yet; report(n, of): the clips that are done, after each one."""
    clips = [one for story in stories for one in story]
    for number, one in enumerate(clips, 1):
        if not one.file.exists():
            write_latents(backbone.encode_clip(one.clip.read()[: one.frames]), one.file)
        if one.structure_file is not None and not one.structure_file.exists():
            width, height = one.clip.size
            shown = control_latents(backbone, _structure(one), one.frames, height, width)
            write_latents(shown, one.structure_file)
        report(number, len(clips))


def encoded(stories: Sequence[Sequence[StoryClip]]) -> bool:
    """Whether nothing is left to encode."""
    files = [file for story in stories for one in story for file in (one.file, one.structure_file) if file is not None]
    return all(file.exists() for file in files)


def _structure(one: StoryClip) -> NDArray[np.uint8]:
    if one.structure == one.clip.path:
        return canny_clip(one.clip.read()[: one.frames])
    assert one.structure is not None
    frames = list(read_pictures(one.structure))
    width, height = one.clip.size
    wide, high = written_size(width, height)  # as this program writes small clips
    sizes = {(frame.shape[1], frame.shape[0]) for frame in frames}
    if len(frames) < one.frames or not sizes <= {(width, height), (wide, high)}:
        found = f"{len(frames)} frames of {' and '.join(f'{w}x{h}' for w, h in sorted(sizes))}"
        wanted = f"those of its clip, {one.clip.frames} of {width}x{height}"
        raise InputError(Problem(str(one.structure), found, wanted))
    own = [frame if frame.shape[:2] == (height, width) else as_given(frame, width, height) for frame in frames]
    return np.stack(own[: one.frames])


class ControlFootage:
    """Batches for `train_control`, endless; the n-th is the same in every run of one seed; its clips have one shape."""

    def __init__(self, stories: Sequence[Sequence[StoryClip]], batch: int, *, seed: int) -> None:
        self._clips = [one for story in stories for one in story]
        self._batch, self._seed = batch, seed

    def __call__(self, start: int) -> Iterator[Mapping[str, Any]]:
        number = start
        while True:
            rng = np.random.default_rng([self._seed, 17, number])
            first = self._clips[int(rng.integers(len(self._clips)))]
            alike = [one for one in self._clips if one.shape == first.shape]
            chosen = [first, *(alike[int(index)] for index in rng.integers(len(alike), size=self._batch - 1))]
            yield {
                "latents": torch.stack([read_latents(one.file) for one in chosen]),
                "control": torch.stack([read_latents(one.structure_file) for one in chosen if one.structure_file]),
                "prompts": [one.prompt for one in chosen],
            }
            number += 1


class CrossShotFootage:
    """Lessons for `train_temporal_adapter`, endless: shots of one story, each with all shots before it in view.

    Raises InputError when no story has two shots.
    """

    def __init__(
        self,
        stories: Sequence[Sequence[StoryClip]],
        embeds: Mapping[str, Tensor],
        per_clip: int,
        *,
        batch: int,
        seed: int,
    ) -> None:
        self._stories = [story for story in stories if len(story) > 1]
        if not self._stories:
            remedy = "build from videos with several scenes"
            raise InputError(Problem("--data", "no story has a shot with another before it", remedy=remedy))
        self._embeds, self._per_clip, self._batch, self._seed = embeds, per_clip, batch, seed

    def __call__(self, start: int) -> Iterator[StoryLesson]:
        number = start
        while True:
            yield self._drawn(np.random.default_rng([self._seed, 19, number]))
            number += 1

    def _drawn(self, rng: np.random.Generator) -> StoryLesson:
        story = self._stories[int(rng.integers(len(self._stories)))]
        first = int(rng.integers(1, len(story)))
        alike = [index for index in range(1, len(story)) if story[index].shape == story[first].shape]
        targets = [first, *(alike[int(index)] for index in rng.integers(len(alike), size=self._batch - 1))]
        latents = torch.stack([read_latents(story[target].file) for target in targets])
        embeds = torch.stack([self._embeds[story[target].prompt] for target in targets])
        return StoryLesson(latents, embeds, past_of([read_latents(one.file) for one in story], targets, self._per_clip))


def past_of(clips: Sequence[Tensor], targets: Sequence[int], per_clip: int) -> PastFrames:
    """The past of shots of one story, a row a target: frames of all clips [F, C, h, w] before it, others masked."""
    earlier = clips[: max(targets)]
    chosen = [spread(len(clip), per_clip) for clip in earlier]
    shots = torch.tensor([shot for shot, frames in enumerate(chosen) for _ in frames])
    numbers = torch.tensor([frame for frames in chosen for frame in frames])
    latents = torch.cat([clip[frames] for clip, frames in zip(earlier, chosen, strict=True)])
    ages = torch.tensor(list(targets))[:, None] - shots
    return PastFrames(latents.expand(len(targets), *latents.shape), numbers, ages, ages > 0)
