"""The subject's mask against the truth of the toy world."""

from __future__ import annotations

import numpy as np
import pytest
from toy_films import STAR, scene

from mpvg_core.evaluate.mask import subject_mask
from mpvg_core.pocket.trial import actors_truth
from mpvg_core.pocket.world import draw_scene


def precision_and_recall(picture, frames=9):
    clip = draw_scene(picture)[:: 17 // frames][:frames]
    mask = subject_mask(clip)
    truth = actors_truth(picture, clip)
    hit = (mask.weights * truth).sum()
    return hit / mask.weights.sum(), hit / truth.sum(), mask


@pytest.mark.parametrize("place", ["snow", "street", "forest"])
@pytest.mark.parametrize("motion", ["running", "jumping"])
def test_an_actor_that_moves_is_found_and_the_place_is_not(motion, place):
    precision, recall, mask = precision_and_recall(scene(0, STAR, motion, place))
    assert mask.kind == "motion"
    assert precision > 0.7 and recall > 0.8


def test_of_an_actor_that_only_waves_more_than_its_arm_is_found():
    precision, recall, _ = precision_and_recall(scene(0, STAR, "waving", "moon"))
    assert precision > 0.4 and recall > 0.4


def test_where_nothing_moves_the_middle_is_guessed_and_it_says_so():
    still = np.repeat(draw_scene(scene(0, STAR, "running", "snow"))[:1], 9, axis=0)
    mask = subject_mask(still)
    assert mask.kind == "centre"
    assert mask.weights[:, 24:40, 24:40].mean() > 5 * mask.weights[:, :, :6].mean()


def test_where_the_camera_moves_the_middle_is_guessed_and_it_says_so():
    wide = np.random.default_rng(1).integers(0, 256, (8, 20, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    pan = np.stack([wide[:, 4 * t : 4 * t + 64] for t in range(9)])
    assert subject_mask(pan).kind == "centre"


def test_weights_are_shares_and_one_frame_is_enough():
    mask = subject_mask(draw_scene(scene(0, STAR, "running", "snow"))[:1])
    assert mask.weights.shape == (1, 64, 64)
    assert mask.weights.min() >= 0 and mask.weights.max() <= 1
