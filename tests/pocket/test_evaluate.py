"""The figures that the pocket is judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpvg_core.pocket.evaluate import FilmedStory, lone_stories, look_figures, prompt_figures, share
from mpvg_core.pocket.world import Role, Scene, Story, draw_scene, draw_story


def filmed(story: Story, scenes: tuple[Scene, ...] | None = None) -> FilmedStory:
    """A story whose film shows `scenes` (its own, unless said otherwise)."""
    return FilmedStory(story, (), (), tuple(draw_scene(scene) for scene in scenes or story.scenes))


def test_a_film_that_shows_its_story_scores_in_full() -> None:
    films = [filmed(draw_story(seed, shots=3)) for seed in range(40, 46)]
    figures = prompt_figures(films)
    assert [figures[name]["mean"] for name in ("place", "count", "colour")] == [1, 1, 1]
    assert figures["motion"]["mean"] > 0.95


def test_an_actor_that_changes_its_look_is_seen_to_have_changed() -> None:
    stories = lone_stories(6, shots=2, first_seed=60)
    kept = look_figures([filmed(story) for story in stories])
    changed = [
        (scene, Scene((Role(role.index, other.looks[role.index], role.motion),), last.place, False, 0.0, 0.0))
        for story, other in zip(stories, [*stories[1:], stories[0]], strict=True)
        for scene, last in [story.scenes]
        for role in last.roles
    ]
    other = look_figures([filmed(story, scenes) for story, scenes in zip(stories, changed, strict=True)])
    assert kept["same colour"]["mean"] == 1.0 and kept["same colour"]["n"] == 6
    assert other["same colour"]["mean"] < 0.6


def test_lone_stories_have_one_and_the_same_actor_in_every_shot() -> None:
    for story in lone_stories(10, shots=4):
        assert {role.index for scene in story.scenes for role in scene.roles} == {story.scenes[0].roles[0].index}
        assert all(len(scene.roles) == 1 for scene in story.scenes)


def test_an_interval_is_wilsons() -> None:
    assert share([1.0] * 40) == {"mean": 1.0, "interval": 0.0438, "n": 40}
    assert share([1.0, 0.0] * 50)["interval"] == pytest.approx(0.0962, abs=1e-4)
    assert math.isnan(share([])["mean"])
    assert share(list(np.zeros(3)))["n"] == 3
