"""The bench of methods: boards that can be filmed, figures that can tell, a table that does not claim too much."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mpvg_core.backbone.load import model_limits
from mpvg_core.pocket.figures import average
from mpvg_core.pocket.method_bench import Outcome, methods_table, write_methods
from mpvg_core.pocket.method_trials import BORDERS, LONG, TRIALS, difference, draw_cast, kept_look, seam
from mpvg_core.pocket.world import FRAMES, Look, draw_scene
from mpvg_core.storyboard.model import Storyboard
from mpvg_core.storyboard.plan import plan_film, require_known_words

NAMES = [trial.name for trial in TRIALS]


@pytest.mark.parametrize("trial", TRIALS, ids=NAMES)
@pytest.mark.parametrize("used", [False, True])
def test_every_board_is_one_that_the_pocket_can_film(trial, used):
    limits = model_limits("pocket")
    plan = plan_film(Storyboard.model_validate(trial.board(draw_cast(5), used)), limits)
    require_known_words(plan, limits)
    assert not any("the prompt does not name" in note for shot in plan.shots for note in shot.notes)


@pytest.mark.parametrize("trial", TRIALS, ids=NAMES)
def test_with_and_without_a_method_the_prompts_and_lengths_are_the_same(trial):
    off, on = (
        plan_film(Storyboard.model_validate(trial.board(draw_cast(5), used)), model_limits("pocket"), seed=3)
        for used in (False, True)
    )
    assert [s.full_prompt for s in off.shots] == [s.full_prompt for s in on.shots]
    assert [s.seed for s in off.shots] == [s.seed for s in on.shots]
    lost = [a.frames - b.frames for a, b in zip(off.shots, on.shots, strict=True)]
    assert set(lost) <= {0, 1}  # a smooth shot begins with the last frame of the one before
    assert off != on


@pytest.mark.parametrize("trial", TRIALS, ids=NAMES)
def test_every_trial_reads_its_own_figure_from_drawn_clips(trial):
    cast = draw_cast(5)
    shots = len(trial.board(cast, True)["shots"])
    frames = trial.board(cast, True)["shots"][0].get("frames", FRAMES)
    clips = [draw_scene(cast.scene(), frames) for _ in range(shots)]
    assert np.isfinite(trial.read(cast, clips)[trial.own])


def test_a_cast_is_drawn_by_its_seed_and_its_looks_and_places_differ():
    assert draw_cast(1) == draw_cast(1) != draw_cast(2)
    for seed in range(50):
        cast = draw_cast(seed)
        assert cast.look.colour != cast.other.colour and cast.look.shape != cast.other.shape
        assert cast.place != cast.elsewhere


def test_a_seam_shows_where_a_clip_jumps_and_nowhere_else():
    cast = draw_cast(5)
    whole = draw_scene(cast.scene(), LONG)
    broken = whole.copy()
    broken[BORDERS[0] + 1 :] = np.roll(broken[BORDERS[0] + 1 :], 12, axis=2)
    assert seam(broken, BORDERS) > 2 * seam(whole, BORDERS)
    assert seam(np.zeros((20, 64, 64, 3), np.uint8), (9,)) == 0


def test_a_kept_look_is_half_colour_half_shape():
    cast = draw_cast(5)
    clip = draw_scene(cast.scene())
    assert kept_look(cast.scene(), clip, cast.look) == 1
    assert kept_look(cast.scene(), clip, Look(cast.look.colour, cast.other.shape)) == 0.5
    assert kept_look(cast.scene(), clip, cast.other) == 0


def test_a_difference_counts_the_columns_asked_for():
    dark, half = np.zeros((2, 4, 8, 3), np.uint8), np.zeros((2, 4, 8, 3), np.uint8)
    half[:, :, 4:] = 100
    assert difference(dark, half) == 50
    assert difference(dark, half, slice(0, 4)) == 0
    assert difference(dark, half, slice(4, 8)) == 100


def outcome(change, better="higher"):
    figures = {"look": average([0.2, 0.4]), "place": average([1.0, 1.0])}
    clip = np.zeros((17, 64, 64, 3), np.uint8)
    return Outcome("a method", "look", better, figures, figures, average(change), (8.0, 12.0), [[clip, clip]])


def test_a_method_moves_its_figure_only_beyond_the_spread_and_the_right_way():
    assert outcome([0.4, 0.5, 0.45]).moves_it
    assert not outcome([0.4, 0.5, 0.45], "lower").moves_it
    assert not outcome([0.9, -0.8, 0.3]).moves_it
    assert outcome([-0.4, -0.5, -0.45], "lower").moves_it
    assert "| no |" in methods_table([outcome([0.9, -0.8, 0.3])])


def test_the_report_is_a_table_figures_and_a_sheet_for_each_method(tmp_path):
    written = write_methods([outcome([0.4, 0.5])], tmp_path, {"seeds": 2})
    assert [path.name for path in written] == ["table.md", "figures.json", "a-method.png"]
    assert json.loads(written[1].read_text())["methods"]["a method"]["calls"] == [8.0, 12.0]
