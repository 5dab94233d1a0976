"""Lessons from stories of footage: which clips, which structure, and what each shot sees of those before it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import build_model, build_stories

from mpvg_core.backbone.load import load_backbone
from mpvg_core.errors import InputError
from mpvg_core.film.video import VideoWriter
from mpvg_core.training.footage import read_latents
from mpvg_core.training.story_footage import (
    ControlFootage,
    CrossShotFootage,
    encode_stories,
    encoded,
    past_of,
    plan_stories,
)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    torch.set_num_threads(1)
    folder = build_model(tmp_path_factory.mktemp("models") / "2b", channels=4)
    return load_backbone(str(folder), device="cpu", dtype="float32")


def write_structure(clip: Path, name: str, level: int, frames: int = 17, side: int = 64) -> Path:
    file = clip.with_name(f"{clip.stem}.{name}.mp4")
    with VideoWriter(file, width=side, height=side, fps=8) as writer:
        writer.write(np.full((frames, side, side, 3), level, np.uint8))
    return file


def planned(backbone, data: Path, cache: Path, **how):
    return plan_stories(data, backbone.limits(), cache, backbone.fingerprint, **how)


def test_clips_are_as_long_as_the_model_films_and_their_structure_lies_beside_them(backbone, tmp_path) -> None:
    data = build_stories(tmp_path / "data", 17, 25)
    [story] = planned(backbone, data, tmp_path / "cache", structure="edges")
    assert [one.frames for one in story] == [17, 17]
    assert not encoded([story])
    told = []
    encode_stories([story], backbone, lambda *now: told.append(now))
    assert encoded([story]) and told == [(1, 2), (2, 2)]
    batches = ControlFootage([story], 3, seed=1)
    batch = next(batches(0))
    assert batch["latents"].shape == batch["control"].shape == (3, 5, 4, 16, 16)
    assert not torch.equal(batch["latents"], batch["control"])
    again = [found["prompts"] for found in islice(batches(0), 6)]
    assert again[2:] == [found["prompts"] for found in islice(batches(2), 4)]  # a resumed run draws the same


def test_a_structure_is_its_clips_own_file_and_another_file_is_encoded_anew(backbone, tmp_path) -> None:
    data = build_stories(tmp_path / "data", 17)
    clip = data / "stories" / "a-0123" / "scene-001.mp4"
    found = []
    for level in (10, 240):
        write_structure(clip, "depth", level)
        [[one]] = planned(backbone, data, tmp_path / "cache", structure="depth")
        encode_stories([[one]], backbone)
        found.append(read_latents(one.structure_file))
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_every_structure_that_is_missing_is_named_and_one_that_does_not_fit_too(backbone, tmp_path) -> None:
    data = build_stories(tmp_path / "data", 17, 17)
    with pytest.raises(InputError) as caught:
        planned(backbone, data, tmp_path / "cache", structure="depth")
    assert [Path(problem.where).name for problem in caught.value.problems] == [
        "scene-001.depth.mp4",
        "scene-002.depth.mp4",
    ]
    home = data / "stories" / "a-0123"
    write_structure(home / "scene-001.mp4", "depth", 10, frames=9)
    write_structure(home / "scene-002.mp4", "depth", 10, side=320)
    [[short, small]] = planned(backbone, data, tmp_path / "cache", structure="depth")
    for one, said in ((short, "9 frames of 256x256"), (small, "17 frames of 320x320")):
        with pytest.raises(InputError, match=said):
            encode_stories([[one]], backbone)


@pytest.mark.parametrize(
    ("how", "said"), [({"fps": 12}, "12 frames a second"), ({"prompt": "A unicorn runs."}, "unicorn")]
)
def test_what_the_model_cannot_take_is_named_before_anything_is_encoded(backbone, tmp_path, how, said) -> None:
    with pytest.raises(InputError, match=said):
        planned(backbone, build_stories(tmp_path / "data", 17, 17, **how), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_each_shot_sees_frames_of_all_shots_before_it_and_of_none_after_it() -> None:
    clips = [torch.full((frames, 1, 1, 1), float(shot)) for shot, frames in enumerate((5, 3, 5, 5))]
    past = past_of(clips, [1, 3], 2)
    seen = [row[mask].flatten().tolist() for row, mask in zip(past.latents, past.mask, strict=True)]
    assert seen == [[0.0, 0.0], [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]]
    ages = [row[mask].tolist() for row, mask in zip(past.ages, past.mask, strict=True)]
    assert ages == [[1, 1], [3, 3, 2, 2, 1, 1]]
    assert past.frames.tolist() == [1, 3, 0, 2, 1, 3]  # each one's number in its own clip


def test_lessons_are_shots_with_a_past_under_their_own_prompts(backbone, tmp_path) -> None:
    data = build_stories(tmp_path / "data", 17, 9, 17)
    stories = planned(backbone, data, tmp_path / "cache")
    encode_stories(stories, backbone)
    prompts = dict.fromkeys(one.prompt for one in stories[0])
    embeds = {prompt: torch.full((4, 2), float(number)) for number, prompt in enumerate(prompts)}
    lessons = CrossShotFootage(stories, embeds, 2, batch=3, seed=0)
    for lesson in islice(lessons(0), 8):
        target = {5: 2, 3: 1}[lesson.latents.shape[1]]  # by their lengths, in latent frames
        assert torch.equal(lesson.latents[0], read_latents(stories[0][target].file))
        assert lesson.embeds.unique().tolist() == [float(list(prompts).index(stories[0][target].prompt))]
        assert int(lesson.past.mask[0].sum()) == 2 * target


def test_stories_of_one_shot_teach_nothing_about_others(backbone, tmp_path) -> None:
    stories = planned(backbone, build_stories(tmp_path / "data", 17), tmp_path / "cache")
    with pytest.raises(InputError, match="no story has a shot with another before it"):
        CrossShotFootage(stories, {}, 2, batch=1, seed=0)
