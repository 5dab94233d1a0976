"""The clip of the one-shot tuning: its motion is one that no prompt tells, and it is read from any clip."""

from __future__ import annotations

import numpy as np
import pytest

from mpvg_core.backbone.load import load_backbone
from mpvg_core.methods.one_shot import one_shot
from mpvg_core.pocket.reader import read_clip
from mpvg_core.pocket.swaying import MOTION, PROMPT, SOURCE, followed_share, source_clip, swaying, tune
from mpvg_core.pocket.world import FRAMES, PLACES, Look, Role, Scene, draw_scene


def test_the_clip_shows_its_prompt_and_ends_where_it_began():
    clip = source_clip()
    [actor] = read_clip(clip).actors
    assert (actor.colour, actor.shape) == ("yellow", "circle") and read_clip(clip).place == "street"
    assert clip.shape == (FRAMES, 64, 64, 3)
    assert abs(swaying()[0]) < 1e-9 and abs(swaying()[-1]) < 1e-9 and swaying().max() == pytest.approx(8, abs=0.1)
    assert str(SOURCE.roles[0].look) in PROMPT


@pytest.mark.parametrize("place", PLACES)
def test_all_of_the_swaying_is_read_as_one_and_an_actor_that_stands_as_none(place):
    scene = Scene((Role(0, Look("red", "star"), MOTION),), place)
    still = draw_scene(scene)
    moved = np.stack([draw_scene(Scene(scene.roles, place, shift=x / 8))[i] for i, x in enumerate(swaying())])
    assert followed_share(scene, moved) == pytest.approx(1, abs=0.1)
    assert abs(followed_share(scene, still)) < 0.1
    assert followed_share(scene, np.repeat(still[:1] * 0, FRAMES, axis=0)) != 1


def test_a_clip_without_an_actor_follows_nothing():
    empty = draw_scene(Scene((), "moon"))
    assert followed_share(Scene((), "moon"), empty) == 0.0


def test_a_tuning_of_the_clip_is_one_for_the_pocket(tmp_path):
    pytest.importorskip("peft", reason="pip install 'mpvg[tuning]'")
    backbone = load_backbone("pocket", device="cpu", dtype="float32")
    tuning = tune(backbone, tmp_path, 1)
    assert tuning.trained["prompt"] == PROMPT and tuning.trained["fingerprint"] == backbone.fingerprint
    assert one_shot(tuning).around is not None
