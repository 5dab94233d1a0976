"""The bench of methods: boards that can be filmed, figures that can tell, a table that does not claim too much."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mpvg_core.backbone.load import load_backbone, model_limits
from mpvg_core.diffusion.frames import latent_frames
from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.errors import InputError
from mpvg_core.film.settings import FilmSettings
from mpvg_core.methods.windows import plan_windows
from mpvg_core.pocket.figures import average
from mpvg_core.pocket.method_bench import FIRST_SEED, TRIALS, LeftOut, Outcome, run_methods
from mpvg_core.pocket.method_memory import Footprint, footprints, memory_table
from mpvg_core.pocket.method_page import copy_sheets, filled, sentence, slots
from mpvg_core.pocket.method_report import earlier_rows, methods_table, rows_of, write_methods
from mpvg_core.pocket.method_trials import BORDERS, LONG, difference, draw_cast, kept_look, seam
from mpvg_core.pocket.world import FRAMES, PLACES, Look, Role, Scene, draw_scene
from mpvg_core.storyboard.method import METHODS
from mpvg_core.storyboard.model import Storyboard
from mpvg_core.storyboard.plan import plan_film, require_known_words

NAMES = [trial.name for trial in TRIALS]


def test_every_method_of_the_storyboard_but_ends_is_on_trial():
    asked = {
        name
        for trial in TRIALS
        for shot in plan_film(Storyboard.model_validate(trial.board(draw_cast(5), True)), model_limits("pocket")).shots
        for name in shot.method.chosen
    }
    assert asked == METHODS.keys() - {"ends"}  # they want a picture file; coarse to fine is made of them


@pytest.mark.parametrize("trial", TRIALS, ids=NAMES)
@pytest.mark.parametrize("used", [False, True])
def test_every_board_is_one_that_the_pocket_can_film(trial, used):
    limits = model_limits("pocket")
    board = trial.board(draw_cast(5), used)
    plan = plan_film(Storyboard.model_validate(board), limits)
    require_known_words(plan, limits)
    if "places" not in board:  # one of these is put where the prompt does not want it
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


def test_windows_on_trial_end_where_the_next_begin_and_borders_are_looked_for_there():
    windows = plan_windows(latent_frames(LONG), latent_frames(FRAMES), 0)
    assert [window.start for window in windows[1:]] == [window.stop for window in windows[:-1]]
    assert [4 * (window.start - 1) for window in windows[1:]] == [*BORDERS]  # the last frame of the one before


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
    assert "| no |" in methods_table(rows_of([outcome([0.9, -0.8, 0.3])]))


def test_the_report_is_a_table_figures_and_a_sheet_for_each_method(tmp_path):
    written = write_methods([outcome([0.4, 0.5])], tmp_path, {"seeds": 2})
    assert [path.name for path in written] == ["table.md", "figures.json", "a-method.png"]
    assert json.loads(written[1].read_text())["methods"]["a method"]["calls"] == [8.0, 12.0]


def test_some_methods_measured_again_join_the_others_in_the_order_of_the_trials(tmp_path):
    about = {"seeds": 2, "history_interval": (0.0, 0.7)}
    first, other = (replace(outcome([0.4, 0.5]), name=trial.name) for trial in TRIALS[:2])
    memory = [Footprint("in windows", 41, 100, 10, 3)]
    write_methods([other, first], tmp_path, about, memory)
    again = replace(other, calls=(1.0, 2.0))
    earlier, kept = earlier_rows(tmp_path, about)
    write_methods([again], tmp_path, about, kept, earlier)
    everything = json.loads((tmp_path / "figures.json").read_text())
    assert list(everything["methods"]) == [first.name, other.name]
    assert [row["calls"] for row in everything["methods"].values()] == [[8.0, 12.0], [1.0, 2.0]]
    assert len(everything["memory"]) == 1
    table = (tmp_path / "table.md").read_text("utf-8")
    assert first.name in table and "1 → 2" in table and "41 frames" in table


def test_methods_measured_with_other_settings_do_not_join(tmp_path):
    assert earlier_rows(tmp_path, {"seeds": 2}) == ({}, [])
    write_methods([outcome([0.4, 0.5])], tmp_path, {"seeds": 2})
    with pytest.raises(InputError, match="seeds 2, here 8"):
        earlier_rows(tmp_path, {"seeds": 8})


def named(name):
    return next(trial for trial in TRIALS if trial.name == name)


def test_a_place_in_a_box_is_read_in_the_box_alone():
    cast = draw_cast(5)
    here, there = draw_scene(cast.scene()), draw_scene(cast.scene(place=cast.elsewhere))
    half = here.copy()
    half[:, :, :32] = there[:, :, :32]
    figures = [named("a place in a box").read(cast, [clip]) for clip in (here, half)]
    assert figures[0]["box"] > 0.9 and figures[0]["beside it"] > 0.9
    assert figures[1]["box"] < 0.1 and figures[1]["beside it"] > 0.9


def test_looks_in_boxes_are_read_each_on_its_side():
    cast = draw_cast(5)
    left, right = Role(0, cast.look, "waving"), Role(1, cast.other, "waving")
    swapped = replace(left, look=cast.other), replace(right, look=cast.look)
    cast = replace(cast, motion="waving")
    assert cast.look.colour != cast.other.colour and cast.look.shape != cast.other.shape
    for roles, share in (((left, right), 1.0), ((left, swapped[1]), 0.5), (swapped, 0.0)):
        figures = named("looks in boxes").read(cast, [draw_scene(Scene(roles, cast.place))])
        assert figures["looks"] == share and figures["motion"] == 1.0


def test_edges_are_to_bring_the_shape_of_the_earlier_shot_in_whatever_colour():
    cast = draw_cast(5)
    recoloured = Look(cast.other.colour, cast.look.shape)
    clips = [draw_scene(cast.scene()), draw_scene(cast.scene(look=recoloured))]
    figures = named("control by edges").read(cast, clips)
    assert (figures["shape"], figures["colour"]) == (1.0, 0.0)


def test_control_is_read_where_the_boxes_are_not_where_the_story_has_the_actor():
    trial = named("control by boxes")
    for seed in range(4):
        cast = draw_cast(seed)
        shift = 1.0 if list(PLACES).index(cast.place) % 2 else -1.0
        aside = replace(cast.scene(), shift=shift)
        led, stayed = (trial.read(cast, [draw_scene(scene)])["overlap"] for scene in (aside, cast.scene()))
        assert led > 0.9 > 0.75 > stayed


@pytest.fixture(scope="module")
def backbone():
    torch.set_num_threads(1)
    return load_backbone("pocket", device="cpu", dtype="float32")


SETTINGS = FilmSettings(steps=2, guidance=HistoryGuidance(1.0, 4.0))


def test_what_a_model_has_not_learned_is_left_out_and_the_table_says_what_is_missing(backbone, tmp_path):
    untaught = replace(named("one clip's motion"), needs="no_such_file.safetensors")
    found = run_methods(backbone, SETTINGS, trials=[untaught, named("history parts")])
    assert [type(one) for one in found] == [LeftOut, LeftOut]
    assert "no adapter: no_such_file.safetensors does not lie with the model" in methods_table(rows_of(found))
    assert "no history adapter" in methods_table(rows_of(found))
    write_methods(found, tmp_path, {})
    kept = json.loads((tmp_path / "figures.json").read_text())["methods"]
    assert "no_such_file" in kept["one clip's motion"]["not_tried"]


def test_a_trial_films_both_boards_of_every_seed_and_counts_calls(backbone):
    [found] = run_methods(backbone, SETTINGS, trials=[named("co-denoised windows")], seeds=2)
    assert found.change.n == 2 and len(found.clips) == 2
    # 15 latent frames: three windows of 5 end to end, or five that share 2; one branch, as a scale of 1 needs no other.
    assert found.calls == (2 * 3, 2 * 5)


def test_another_first_seed_films_other_boards(backbone):
    trial = named("an actor in a box")
    seen = []
    noted = replace(trial, board=lambda cast, used: seen.append(cast) or trial.board(cast, used))
    for first in (FIRST_SEED, 310_000):
        run_methods(backbone, replace(SETTINGS, steps=1), trials=[noted], seeds=1, first_seed=first)
    assert seen == [draw_cast(FIRST_SEED)] * 2 + [draw_cast(310_000)] * 2


def test_memory_in_windows_is_that_of_one_clip_whatever_the_length_and_calls_grow_in_step(backbone):
    one, *longer = footprints(backbone, SETTINGS, (41, 81))
    windows, whole = longer[::2], longer[1::2]
    works = [found.work for found in (one, *windows)]
    assert max(works) < 1.05 * min(works)
    assert [found.windows for found in windows] == [3, 7]
    assert whole[1].work > 3 * works[0]  # the figure would tell
    assert "| 81 frames | in windows | 7 |" in memory_table([one, *longer])


PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_page_has_a_place_for_every_method_once_and_for_nothing_else():
    assert sorted(slots(PAGE.read_text("utf-8"))) == sorted(["table", "memory", *NAMES])


def test_a_bench_fills_the_page_again_and_again_and_leaves_the_rest_alone(tmp_path):
    page = "# A\n\n<!-- figure: a method -->\nold\n<!-- end -->\n\nprose\n\n<!-- table -->\nold\n<!-- end -->\n"
    page += "<!-- memory -->\nold\n<!-- end -->\n<!-- figure: other -->\nold\n<!-- end -->\n"
    about = {"model": "pocket", "fingerprint": "0" * 64, "seeds": 3, "steps": 4, "dtype": "float32"}
    about |= {"text_scale": 1.0, "scheduler": "dpm"}
    found = [outcome([0.4, 0.5, 0.45]), LeftOut("other", "no adapter: x.safetensors does not lie with the model")]
    write_methods(found, tmp_path, about, [Footprint("in windows", 41, 100, 10, 3)])
    new = filled(page, tmp_path, "sheets")
    assert filled(new, tmp_path, "sheets") == new
    assert "old" not in new and new.count("prose") == 1 and new.startswith("# A\n")
    assert "change +0.450 ± 0.057 over 3 seeds, more than the spread of runs" in new
    assert "place 1.00 → 1.00, calls 8 → 12" in new
    assert "sheets/a-method.png" in new and "sheets/other.png" not in new
    assert "*Not measured: no adapter: x.safetensors does not lie with the model.*" in new
    assert "| 41 frames | in windows | 3 |" in new
    [copied] = copy_sheets(page, tmp_path, tmp_path / "sheets")
    with Image.open(copied) as sheet:
        assert sheet.height == 128 and len(sheet.getcolors()) <= 128


def test_a_method_that_does_not_move_its_figure_is_said_to(tmp_path):
    write_methods([outcome([0.9, -0.8, 0.3])], tmp_path, {})
    row = json.loads((tmp_path / "figures.json").read_text())["methods"]["a method"]
    assert "**not beyond the spread of runs**" in sentence(row)


def test_a_page_with_a_method_that_was_not_tried_and_a_folder_without_a_bench_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no bench of methods"):
        filled("", tmp_path)
    write_methods([outcome([0.4, 0.5])], tmp_path, {})
    with pytest.raises(InputError, match="method 'levitation': the bench did not try it"):
        filled("<!-- figure: levitation -->\n\n<!-- end -->", tmp_path)
