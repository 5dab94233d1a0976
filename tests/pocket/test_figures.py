"""The figures that the pocket is judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpvg_core.pocket.figures import average, look_at, look_figures, look_of, motion_degree, prompt_figures, share
from mpvg_core.pocket.world import Look, Role, Scene, draw_scene, draw_story


def shot(scene: Scene, shown: Scene | None = None):
    return look_at(scene, draw_scene(shown or scene))


def alone(look: Look, motion: str = "waving", index: int = 0) -> Scene:
    return Scene((Role(index, look, motion),), "snow", False, 0.0, 0.0)


def test_films_that_show_their_stories_score_in_full() -> None:
    figures = prompt_figures([shot(scene) for seed in range(40, 50) for scene in draw_story(seed, shots=2).scenes])
    assert [figures[name].mean for name in ("place", "count", "motion")] == [1, 1, 1]
    assert figures["place"].n == 20 < figures["motion"].n


def test_a_wrong_place_motion_or_number_is_counted() -> None:
    told = alone(Look("red", "star"))
    other = Scene(
        (Role(0, Look("red", "star"), "jumping"), Role(1, Look("blue", "star"), "jumping")), "moon", False, 0, 0
    )
    figures = prompt_figures([shot(told), shot(told, other)])
    assert [figures[name].mean for name in ("place", "count", "motion")] == [0.5, 0.5, 0.5]


def test_a_look_is_found_by_the_actors_number_and_not_by_its_side() -> None:
    red, blue = Look("red", "star"), Look("blue", "square")
    pair = Scene((Role(2, red, "waving"), Role(0, blue, "waving")), "snow", False, 0.0, 0.0)
    assert look_of(shot(pair), 2) == red
    assert look_of(shot(pair), 0) == blue
    assert look_of(shot(pair), 1) is None


def test_a_look_that_cannot_be_told_is_wrong_later_but_no_reference() -> None:
    red, blue = Look("red", "star"), Look("blue", "star")
    figures = look_figures([(red, red), (red, blue), (red, None), (None, red)])
    assert (figures["colour"].mean, figures["colour"].n) == (pytest.approx(1 / 3, abs=1e-4), 3)
    assert (figures["shape"].mean, figures["shape"].n) == (pytest.approx(2 / 3, abs=1e-4), 3)


def test_a_shot_with_one_actor_too_many_tells_no_looks() -> None:
    told = alone(Look("red", "star"))
    crowd = Scene(
        (Role(0, Look("red", "star"), "waving"), Role(1, Look("blue", "star"), "waving")), "snow", False, 0, 0
    )
    assert look_of(shot(told, crowd), 0) is None


def test_a_frozen_clip_moves_nothing() -> None:
    clip = draw_scene(alone(Look("red", "star"), "running"))
    assert motion_degree(np.repeat(clip[:1], 17, axis=0)) == 0
    assert motion_degree(clip) > 0.5


def test_an_interval_of_a_share_is_wilsons() -> None:
    assert (share([1.0] * 40).mean, share([1.0] * 40).interval, share([1.0] * 40).n) == (1.0, 0.0438, 40)
    assert share([1.0, 0.0] * 50).interval == pytest.approx(0.0962, abs=1e-4)
    assert math.isnan(share([]).mean)
    assert str(share([])) == "-"


def test_an_interval_of_a_mean_is_the_normal_one() -> None:
    found = average([1.0, 3.0] * 50)
    assert found.mean == 2.0
    assert found.interval == pytest.approx(1.96 * 1.005 / 10, abs=1e-3)
