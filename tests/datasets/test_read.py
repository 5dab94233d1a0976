"""A built data set read back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made import lay_out, scene, write_video

from mpvg_core.datasets.read import Clip, iter_stories, iter_transitions
from mpvg_core.errors import InputError, MPVGError

STORY = """
title: Two places
fps: 8
size: [64, 64]
shots:
  - {name: scene 001, prompt: Actor 1 dances on the snow., frames: 9}
  - {name: scene 003, prompt: Actor 1 dances on the moon., frames: 17}
"""
TRANSITION = {
    "version": 1,
    "clip": "clip.mp4",
    "frames": 17,
    "fps": 8,
    "size": [64, 64],
    "cut_frame": 9,
    "before": "snow",
    "after": "moon",
    "explicit": "Previous scene: snow; then next scene: moon",
    "implicit": "snow; moon",
}


@pytest.fixture
def stories(tmp_path):
    home = tmp_path / "set" / "stories" / "a-0123"
    write_video(home / "scene-001.mp4", "snow", [9])
    write_video(home / "scene-003.mp4", "moon", [17])
    (home / "story.yaml").write_text(STORY, "utf-8")
    videos = [{"source": "a.mov", "folder": "stories/a-0123", "stories": ["story.yaml"]}, {"source": "b.mov"}]
    return lay_out(tmp_path / "set", "scenes", videos)


@pytest.fixture
def transitions(tmp_path):
    home = tmp_path / "set" / "transitions" / "a-0123"
    write_video(home / "clip.mp4", "snow moon", [9, 8])
    (home / "transition.json").write_text(json.dumps(TRANSITION), "utf-8")
    videos = [{"source": "a.mov", "folder": "transitions/a-0123", "transition": True}]
    return lay_out(tmp_path / "set", "transitions", videos)


def test_a_story_has_its_prompts_and_clips_in_order(stories):
    (story,) = iter_stories(stories)
    assert (story.title, story.source) == ("Two places", "a.mov")
    assert [shot.prompt[-9:] for shot in story.shots] == ["the snow.", "the moon."]
    for shot, place in zip(story.shots, ("snow", "moon"), strict=True):
        frames = shot.clip.read()
        drawn = scene(place, shot.clip.frames)
        assert frames.shape == drawn.shape and frames.dtype == np.uint8
        assert np.abs(frames.astype(int) - drawn).mean() < 4


def test_a_transition_changes_scene_at_its_cut(transitions):
    (transition,) = iter_transitions(transitions)
    assert (transition.before, transition.after) == ("snow", "moon")
    assert transition.explicit.startswith("Previous scene: snow") and transition.implicit == "snow; moon"
    frames = transition.clip.read().astype(float)
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert steps.argmax() + 1 == transition.cut_frame == 9


def test_pixels_are_decoded_only_when_they_are_asked_for(transitions):
    (transition,) = iter_transitions(transitions)
    transition.clip.path.write_bytes(b"broken")
    (again,) = iter_transitions(transitions)
    with pytest.raises(MPVGError, match=r"clip\.mp4"):
        again.clip.read()


def test_a_clip_of_another_length_is_an_error(transitions):
    (transition,) = iter_transitions(transitions)
    with pytest.raises(MPVGError, match="17 frames; expected 25"):
        Clip(transition.clip.path, 25, 8, (64, 64)).read()


def test_a_missing_clip_is_an_error_and_no_shorter_story(stories):
    (stories / "stories" / "a-0123" / "scene-001.mp4").unlink()
    with pytest.raises(InputError, match=r"scene-001\.mp4: the clip is not there"):
        [*iter_stories(stories)]


def test_a_data_set_of_the_other_layout_is_refused(stories, tmp_path):
    with pytest.raises(InputError, match="holds 'scenes'; expected the layout 'transitions'"):
        next(iter_transitions(stories))
    with pytest.raises(InputError, match=r"dataset\.json: cannot be read"):
        next(iter_transitions(tmp_path / "nowhere"))


@pytest.mark.parametrize("change", [{"cut_frame": 17}, {"cut_frame": "9"}, {"version": 2}, {"size": 64}, {"before": 3}])
def test_a_transition_that_does_not_fit_is_an_error(transitions, change):
    file = transitions / "transitions" / "a-0123" / "transition.json"
    file.write_text(json.dumps({**TRANSITION, **change}), "utf-8")
    with pytest.raises(InputError, match=r"transition\.json"):
        next(iter_transitions(transitions))


def test_a_manifest_cannot_lead_out_of_its_folder(transitions):
    lay_out(transitions, "transitions", [{"source": "a", "folder": "transitions/../../x", "transition": True}])
    with pytest.raises(InputError, match="expected one inside transitions"):
        next(iter_transitions(transitions))
