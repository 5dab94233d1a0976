"""Lessons from footage: of every transition of a data set both scenes alone, and the cut between them, as latents.

Latents are encoded once and kept on disk, so that neither the autoencoder nor the text encoder takes memory while the
transformer trains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..backbone.interface import Backbone
from ..datasets.read import Clip, Transition, iter_transitions
from ..diffusion.frames import frame_step
from ..errors import InputError, Problem
from ..film.durable import canonical_json, sha256_file, written_whole
from ..storyboard.lengths import longest_length
from ..storyboard.plan import ModelLimits

Kind = Literal["one", "implied", "explicit"]
_SHARES: dict[Kind, float] = {"one": 0.4, "implied": 0.3, "explicit": 0.3}
LEAST = 1 + frame_step()


@dataclass(frozen=True)
class Lesson:
    """A stretch of a clip and what to say of it: frames `start` to `end` (exclusive) of the transition's clip; its
    latents in `file` once they are encoded."""

    transition: Transition
    start: int
    end: int
    prompt: str
    kind: Kind
    file: Path


def plan_lessons(data: Path, limits: ModelLimits, cache: Path, fingerprint: str) -> list[Lesson]:
    """The lessons of a data set in layout 'transitions'.

    Around the cut as many frames as the model can film (and the clip has), told in both forms; before it and after it
    as many as there are of one scene, told by its own caption. Lengths are 1 + 8n; a side that is shorter than 9 frames
    gives no lesson.
    Raises InputError naming every clip and prompt that the model cannot take.
    """
    lessons: list[Lesson] = []
    problems: list[Problem] = []
    for transition in iter_transitions(data):
        clip, cut = transition.clip, transition.cut_frame
        problems += unfit(clip, limits)
        if clip.frames < LEAST:
            continue
        key = sha256_file(clip.path)

        def lesson(
            start: int, count: int, prompt: str, kind: Kind, of: Transition = transition, key: str = key
        ) -> None:
            name = hashlib.sha256(canonical_json([1, fingerprint, key, start, count])).hexdigest()[:24]
            lessons.append(Lesson(of, start, start + count, prompt, kind, cache / f"{name}.safetensors"))

        both = stretch(clip.frames, limits)
        start = min(max(cut - both // 2, 0), clip.frames - both)
        if not start < cut < start + both:
            problems.append(Problem(str(clip.path), f"its cut at frame {cut} is at the very edge", "two scenes"))
        lesson(start, both, transition.implicit, "implied")
        lesson(start, both, transition.explicit, "explicit")
        if (before := stretch(cut, limits)) >= LEAST:
            lesson(cut - before, before, transition.before, "one")
        if (after := stretch(clip.frames - cut, limits)) >= LEAST:
            lesson(cut, after, transition.after, "one")
    problems += unreadable({lesson.prompt: str(lesson.transition.clip.path) for lesson in lessons}, limits)
    if problems:
        raise InputError(problems)
    if not lessons:
        raise InputError(Problem(str(data), "has no transition with captions", remedy="see its dataset.json for why"))
    return lessons


def stretch(frames: int, limits: ModelLimits) -> int:
    """The longest length 1 + 8n that `frames` hold and the model films; less than 9 if there is none."""
    return longest_length(min(frames, limits.max_frames), limits.frame_step)


def unfit(clip: Clip, limits: ModelLimits) -> list[Problem]:
    """What keeps the model from filming clips like this one."""
    where, step = str(clip.path), limits.size_step
    problems = []
    if clip.frames < LEAST:
        problems.append(Problem(where, f"{clip.frames} frames", f"at least {LEAST}", "build with more --seconds"))
    if clip.fps != limits.fps:
        remedy = f"build with --fps {limits.fps}"
        problems.append(Problem(where, f"{clip.fps} frames a second", f"{limits.fps}, as the model films", remedy))
    if clip.size[0] % step or clip.size[1] % step:
        remedy = f"build with --size {limits.width}x{limits.height}"
        problems.append(Problem(where, f"{clip.size[0]}x{clip.size[1]} pixels", f"multiples of {step}", remedy))
    return problems


def unreadable(prompts: Mapping[str, str], limits: ModelLimits) -> list[Problem]:
    """Prompts that are too long for the model or have words it does not know; each with where it stands."""
    problems = []
    for prompt, place in prompts.items():
        where = f"{place}: prompt {prompt!r}"
        tokens, unknown = limits.count_tokens(prompt), limits.unknown_words(prompt) if limits.unknown_words else ()
        if tokens > limits.max_tokens:
            problems.append(Problem(where, f"{tokens} tokens", f"at most {limits.max_tokens}", "shorten its captions"))
        if unknown:
            problems.append(Problem(where, f"the model does not know {', '.join(unknown)}", remedy="reword it"))
    return problems


def write_latents(latents: Tensor, file: Path) -> None:
    """Keeps latents [F, C, h, w] in half precision; the file is there whole or not at all."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as temporary:
        save_file({"latents": latents.to(torch.float16).cpu().contiguous()}, temporary)


def read_latents(file: Path) -> Tensor:
    from safetensors.torch import load_file

    return load_file(file)["latents"].float()


def encode_lessons(
    lessons: Sequence[Lesson], backbone: Backbone, report: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Encodes what has no latents yet; report(n, of): the files there are, after each one."""
    files = {lesson.file: lesson for lesson in lessons}
    clip: tuple[Path, np.ndarray] | None = None
    for number, (file, lesson) in enumerate(files.items(), 1):
        if not file.exists():
            path = lesson.transition.clip.path
            if clip is None or clip[0] != path:
                clip = (path, lesson.transition.clip.read())
            write_latents(backbone.encode_clip(clip[1][lesson.start : lesson.end]), file)
        report(number, len(files))


class LessonBatches:
    """Batches for training from encoded lessons, endless; the n-th batch is the same in every run of one seed.

    In a batch all clips have one shape. Kinds come in fixed shares, one-scene clips 4 of 10: without them a model
    cuts whatever it is told.
    """

    def __init__(self, lessons: Sequence[Lesson], batch: int, *, seed: int) -> None:
        self._lessons, self._batch, self._seed = list(lessons), batch, seed
        shares = np.array([_SHARES[lesson.kind] for lesson in self._lessons])
        kinds = [lesson.kind for lesson in self._lessons]
        shares /= np.array([kinds.count(kind) for kind in kinds])
        self._chances = shares / shares.sum()
        self._shapes = [(lesson.end - lesson.start, *lesson.transition.clip.size) for lesson in self._lessons]

    def __call__(self, start: int) -> Iterator[dict[str, Any]]:
        """The batches from the `start`-th on: latents [B, F, C, h, w] and prompts."""
        number = start
        while True:
            yield self._drawn(np.random.default_rng([self._seed, 13, number]))
            number += 1

    def _drawn(self, rng: np.random.Generator) -> dict[str, Any]:
        first = int(rng.choice(len(self._lessons), p=self._chances))
        same = np.array([shape == self._shapes[first] for shape in self._shapes])
        chances = self._chances * same
        more = rng.choice(len(self._lessons), size=self._batch - 1, p=chances / chances.sum())
        chosen = [self._lessons[first], *(self._lessons[int(index)] for index in more)]
        latents = torch.stack([read_latents(lesson.file) for lesson in chosen])
        return {"latents": latents, "prompts": [lesson.prompt for lesson in chosen]}
