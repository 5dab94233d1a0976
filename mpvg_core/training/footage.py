"""Lessons from footage: of every transition of a data set both scenes alone, and the cut between them, as latents.

Latents are encoded once and kept on disk, so that neither the autoencoder nor the text encoder takes memory while the
transformer trains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..backbone.interface import Backbone
from ..datasets.read import Transition, iter_transitions
from ..diffusion.frames import frame_step
from ..errors import InputError, Problem
from ..film.durable import canonical_json, sha256_file, written_whole
from ..storyboard.lengths import longest_length
from ..storyboard.plan import ModelLimits

Kind = Literal["one", "implied", "explicit"]
_SHARES: dict[Kind, float] = {"one": 0.4, "implied": 0.3, "explicit": 0.3}
_LEAST = 1 + frame_step()


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
        problems += _unfit(transition, limits)
        if clip.frames < _LEAST:
            continue
        key = sha256_file(clip.path)

        def lesson(
            start: int, count: int, prompt: str, kind: Kind, of: Transition = transition, key: str = key
        ) -> None:
            name = hashlib.sha256(canonical_json([1, fingerprint, key, start, count])).hexdigest()[:24]
            lessons.append(Lesson(of, start, start + count, prompt, kind, cache / f"{name}.safetensors"))

        both = _legal(clip.frames, limits)
        start = min(max(cut - both // 2, 0), clip.frames - both)
        if not start < cut < start + both:
            problems.append(Problem(str(clip.path), f"its cut at frame {cut} is at the very edge", "two scenes"))
        lesson(start, both, transition.implicit, "implied")
        lesson(start, both, transition.explicit, "explicit")
        if (before := _legal(cut, limits)) >= _LEAST:
            lesson(cut - before, before, transition.before, "one")
        if (after := _legal(clip.frames - cut, limits)) >= _LEAST:
            lesson(cut, after, transition.after, "one")
    problems += _unreadable(lessons, limits)
    if problems:
        raise InputError(problems)
    if not lessons:
        raise InputError(Problem(str(data), "has no transition with captions", remedy="see its dataset.json for why"))
    return lessons


def _legal(frames: int, limits: ModelLimits) -> int:
    """The longest length 1 + 8n that `frames` hold and the model films; less than 9 if there is none."""
    return longest_length(min(frames, limits.max_frames), limits.frame_step)


def _unfit(transition: Transition, limits: ModelLimits) -> list[Problem]:
    clip, where, step = transition.clip, str(transition.clip.path), limits.size_step
    problems = []
    if clip.frames < _LEAST:
        problems.append(Problem(where, f"{clip.frames} frames", f"at least {_LEAST}", "build with more --seconds"))
    if clip.fps != limits.fps:
        remedy = f"build with --fps {limits.fps}"
        problems.append(Problem(where, f"{clip.fps} frames a second", f"{limits.fps}, as the model films", remedy))
    if clip.size[0] % step or clip.size[1] % step:
        remedy = f"build with --size {limits.width}x{limits.height}"
        problems.append(Problem(where, f"{clip.size[0]}x{clip.size[1]} pixels", f"multiples of {step}", remedy))
    return problems


def _unreadable(lessons: Sequence[Lesson], limits: ModelLimits) -> list[Problem]:
    """Prompts that are too long for the model or have words it does not know."""
    problems = []
    for prompt, lesson in {lesson.prompt: lesson for lesson in lessons}.items():
        where = f"{lesson.transition.clip.path}: prompt {prompt!r}"
        tokens, unknown = limits.count_tokens(prompt), limits.unknown_words(prompt) if limits.unknown_words else ()
        if tokens > limits.max_tokens:
            problems.append(Problem(where, f"{tokens} tokens", f"at most {limits.max_tokens}", "shorten its captions"))
        if unknown:
            problems.append(Problem(where, f"the model does not know {', '.join(unknown)}", remedy="reword it"))
    return problems


def encode_lessons(
    lessons: Sequence[Lesson], backbone: Backbone, report: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Encodes what has no latents yet; report(n, of): the files there are, after each one."""
    from safetensors.torch import save_file

    files = {lesson.file: lesson for lesson in lessons}
    clip: tuple[Path, np.ndarray] | None = None
    for number, (file, lesson) in enumerate(files.items(), 1):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            path = lesson.transition.clip.path
            if clip is None or clip[0] != path:
                clip = (path, lesson.transition.clip.read())
            latents = backbone.encode_clip(clip[1][lesson.start : lesson.end])
            with written_whole(file) as temporary:
                save_file({"latents": latents.to(torch.float16).cpu().contiguous()}, temporary)
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
        from safetensors.torch import load_file

        first = int(rng.choice(len(self._lessons), p=self._chances))
        same = np.array([shape == self._shapes[first] for shape in self._shapes])
        chances = self._chances * same
        more = rng.choice(len(self._lessons), size=self._batch - 1, p=chances / chances.sum())
        chosen = [self._lessons[first], *(self._lessons[int(index)] for index in more)]
        latents = torch.stack([load_file(lesson.file)["latents"].float() for lesson in chosen])
        return {"latents": latents, "prompts": [lesson.prompt for lesson in chosen]}
