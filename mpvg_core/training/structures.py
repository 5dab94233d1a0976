"""Lessons from a data set for a control adapter: its clips, their structure, and what is said of them.

Clip and structure are encoded once and kept on disk, so that neither the autoencoder nor what finds the structure (an
edge filter, a depth estimator) takes memory while the adapter trains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..backbone.interface import Backbone
from ..datasets.read import Clip, iter_stories
from ..diffusion.frames import frame_step
from ..errors import InputError, Problem
from ..film.durable import canonical_json, sha256_file, written_whole
from ..methods.control import control_latents
from ..storyboard.lengths import longest_length
from ..storyboard.plan import ModelLimits

Structure = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""A clip, uint8 [T, H, W, 3], to its control clip of the same shape; `methods.structure.canny_clip`, for example."""

_LEAST = 1 + frame_step()


@dataclass(frozen=True)
class StructureLesson:
    """Frames `start` to `end` (exclusive) of a clip and what it shows; the latents of both clips in `file` once they
    are encoded."""

    clip: Clip
    start: int
    end: int
    prompt: str
    file: Path


def plan_structures(
    data: Path, limits: ModelLimits, cache: Path, fingerprint: str, structure: str
) -> list[StructureLesson]:
    """The lessons of a data set in layout 'scenes': each clip in pieces as long as the model films, 1 + 8n frames.

    fingerprint: of the model that encodes; structure: names what finds the structure, with its settings: latents of
    another one are not used. Clips of fewer than 9 frames give no lesson. Raises InputError naming every clip and
    prompt that the model cannot take.
    """
    lessons: list[StructureLesson] = []
    problems: list[Problem] = []
    for story in iter_stories(data):
        for shot in story.shots:
            problems += _unfit(shot.clip, shot.prompt, limits)
            length = longest_length(min(shot.clip.frames, limits.max_frames), limits.frame_step)
            if length < _LEAST:
                continue
            key = sha256_file(shot.clip.path)
            for start in range(0, shot.clip.frames - length + 1, length):
                name = hashlib.sha256(canonical_json([1, fingerprint, structure, key, start, length])).hexdigest()[:24]
                file = cache / f"{name}.safetensors"
                lessons.append(StructureLesson(shot.clip, start, start + length, shot.prompt, file))
    if problems:
        raise InputError(dict.fromkeys(problems))
    if not lessons:
        raise InputError(Problem(str(data), f"has no clip of {_LEAST} frames or more", remedy="see its dataset.json"))
    return lessons


def _unfit(clip: Clip, prompt: str, limits: ModelLimits) -> list[Problem]:
    where, step = str(clip.path), limits.size_step
    problems = []
    if clip.fps != limits.fps:
        remedy = f"build with --fps {limits.fps}"
        problems.append(Problem(where, f"{clip.fps} frames a second", f"{limits.fps}, as the model films", remedy))
    if clip.size[0] % step or clip.size[1] % step:
        remedy = f"build with --size {limits.width}x{limits.height}"
        problems.append(Problem(where, f"{clip.size[0]}x{clip.size[1]} pixels", f"multiples of {step}", remedy))
    tokens, unknown = limits.count_tokens(prompt), limits.unknown_words(prompt) if limits.unknown_words else ()
    if tokens > limits.max_tokens:
        found = f"{tokens} tokens"
        problems.append(Problem(f"{where}: prompt {prompt!r}", found, f"at most {limits.max_tokens}", "shorten it"))
    if unknown:
        what = f"the model does not know {', '.join(unknown)}"
        problems.append(Problem(f"{where}: prompt {prompt!r}", what, remedy="reword it"))
    return problems


def encode_structures(
    lessons: Sequence[StructureLesson],
    backbone: Backbone,
    structure: Structure,
    report: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Encodes what has no latents yet; report(n, of): the lessons there are, after each one."""
    from safetensors.torch import save_file

    clip: tuple[Path, NDArray[np.uint8]] | None = None
    for number, lesson in enumerate(lessons, 1):
        if not lesson.file.exists():
            lesson.file.parent.mkdir(parents=True, exist_ok=True)
            if clip is None or clip[0] != lesson.clip.path:
                clip = (lesson.clip.path, lesson.clip.read())
            frames = clip[1][lesson.start : lesson.end]
            parts = {
                "latents": backbone.encode_clip(frames),
                "control": control_latents(backbone, structure(frames), *frames.shape[:3]),
            }
            with written_whole(lesson.file) as temporary:
                save_file({name: part.to(torch.float16).cpu().contiguous() for name, part in parts.items()}, temporary)
        report(number, len(lessons))


class StructureBatches:
    """Batches for `train_control` from encoded lessons, endless; the n-th is the same in every run of one seed.

    In a batch all clips have one shape.
    """

    def __init__(self, lessons: Sequence[StructureLesson], batch: int, *, seed: int) -> None:
        self._lessons, self._batch, self._seed = list(lessons), batch, seed
        self._shapes = [(lesson.end - lesson.start, *lesson.clip.size) for lesson in self._lessons]

    def __call__(self, start: int) -> Iterator[dict[str, Any]]:
        """The batches from the `start`-th on: latents and control [B, F, C, h, w], and prompts."""
        number = start
        while True:
            yield self._drawn(np.random.default_rng([self._seed, 19, number]))
            number += 1

    def _drawn(self, rng: np.random.Generator) -> dict[str, Any]:
        from safetensors.torch import load_file

        first = int(rng.integers(len(self._lessons)))
        same = [index for index, shape in enumerate(self._shapes) if shape == self._shapes[first]]
        more = rng.choice(same, size=self._batch - 1)
        chosen = [self._lessons[first], *(self._lessons[int(index)] for index in more)]
        read = [load_file(lesson.file) for lesson in chosen]
        return {
            "latents": torch.stack([one["latents"].float() for one in read]),
            "control": torch.stack([one["control"].float() for one in read]),
            "prompts": [lesson.prompt for lesson in chosen],
        }
