"""Lessons from a data set of transitions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import build_data

from mpvg_core.errors import InputError
from mpvg_core.storyboard.plan import ModelLimits
from mpvg_core.training.footage import LessonBatches, encode_lessons, plan_lessons

LIMITS = ModelLimits("tiny", 49, 8, 8, 64, 64, 16, 40, lambda text: len(text.split()), lambda text: ())


@dataclass
class Encoder:
    """Stands in for a model: a latent is the mean of its frames."""

    calls: int = 0

    def encode_clip(self, frames: np.ndarray) -> torch.Tensor:
        self.calls += 1
        level = torch.from_numpy(frames).float().mean((1, 2, 3))
        latents = torch.cat([level[:1], level[1:].view(-1, 4).mean(1)])
        return latents.view(-1, 1, 1, 1).expand(-1, 4, 8, 8)


def plan(data: Path, limits: ModelLimits = LIMITS):
    return plan_lessons(data, limits, data / "cache", "model")


def stretches(lessons) -> dict[str, tuple[int, int]]:
    return {lesson.prompt: (lesson.start, lesson.end) for lesson in lessons}


def test_a_transition_teaches_both_scenes_alone_and_the_cut_in_both_forms(tmp_path) -> None:
    lessons = plan(build_data(tmp_path, frames=81, cut=41))
    assert stretches(lessons) == {
        "snow; moon": (17, 66),
        "Previous scene: snow; then next scene: moon": (17, 66),
        "snow": (0, 41),
        "moon": (41, 74),
    }
    assert [lesson.kind for lesson in lessons] == ["implied", "explicit", "one", "one"]


def test_a_scene_too_short_for_a_clip_gives_no_lesson_of_its_own(tmp_path) -> None:
    assert stretches(plan(build_data(tmp_path, frames=17, cut=9))).keys() == {
        "snow; moon", "Previous scene: snow; then next scene: moon", "snow",
    }  # fmt: skip


def test_the_window_stays_inside_the_clip_and_around_the_cut(tmp_path) -> None:
    for cut in (3, 40, 78):
        lessons = plan(build_data(tmp_path / str(cut), frames=81, cut=cut))
        start, end = stretches(lessons)["snow; moon"]
        assert 0 <= start < cut < end <= 81
        assert end - start == 49


def test_no_frame_of_the_other_scene_is_in_a_scenes_own_lesson(tmp_path) -> None:
    lessons = plan(build_data(tmp_path, frames=41, cut=18))
    encode_lessons(lessons, Encoder())
    seen = {lesson.prompt: latents_of(lesson) for lesson in lessons}
    assert seen["snow"].max() < 60
    assert seen["moon"].min() > 200
    assert seen["snow; moon"].min() < 60 < 200 < seen["snow; moon"].max()


def latents_of(lesson) -> torch.Tensor:
    from safetensors.torch import load_file

    return load_file(lesson.file)["latents"].float()


def test_clips_are_encoded_once(tmp_path) -> None:
    lessons = plan(build_data(tmp_path, frames=41, cut=20))
    encoder, told = Encoder(), []
    encode_lessons(lessons, encoder, lambda done, of: told.append((done, of)))
    assert encoder.calls == 3  # both forms of the cut share their latents
    assert told == [(1, 3), (2, 3), (3, 3)]
    encode_lessons(plan(tmp_path), encoder)
    assert encoder.calls == 3


def test_another_model_has_latents_of_its_own(tmp_path) -> None:
    data = build_data(tmp_path)
    other = plan_lessons(data, LIMITS, data / "cache", "other model")
    assert {lesson.file for lesson in plan(data)}.isdisjoint(lesson.file for lesson in other)


def test_everything_a_model_cannot_take_is_named_at_once(tmp_path) -> None:
    data = build_data(tmp_path, fps=12, before="a dragon " * 30)
    limits = replace(LIMITS, size_step=48, unknown_words=lambda text: ("dragon",) if "dragon" in text else ())
    with pytest.raises(InputError) as caught:
        plan(data, limits)
    said = str(caught.value)
    for expected in ("12 frames a second", "--fps 8", "64x64 pixels", "--size 64x64", "tokens", "does not know dragon"):
        assert expected in said
    assert "clip.mp4" in said


def test_batches_are_of_one_shape_mix_the_kinds_and_are_the_same_again(tmp_path) -> None:
    lessons = plan(build_data(tmp_path, frames=41, cut=20))
    encode_lessons(lessons, Encoder())
    batches = LessonBatches(lessons, 4, seed=1)
    kinds, shapes = Counter(), set()
    told = {lesson.prompt: lesson.kind for lesson in lessons}
    for batch in islice(batches(0), 300):
        shapes.add(tuple(batch["latents"].shape))
        kinds.update(told[prompt] for prompt in batch["prompts"])
    assert shapes == {(4, 11, 4, 8, 8), (4, 5, 4, 8, 8)}
    assert kinds["one"] / 1200 == pytest.approx(0.4, abs=0.08)
    assert kinds["explicit"] / 1200 == pytest.approx(0.3, abs=0.08)
    again, later = next(batches(7)), next(islice(batches(0), 7, None))
    assert torch.equal(again["latents"], later["latents"])
    assert again["prompts"] == later["prompts"]
