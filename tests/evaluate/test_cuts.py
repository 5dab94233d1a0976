"""Cuts found by the change of hue, saturation and value."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from mpvg_core.errors import InputError
from mpvg_core.evaluate.cuts import Cut, CutSettings, find_scenes
from mpvg_core.evaluate.hsv import channel_distances, rgb_to_hsv
from mpvg_core.pocket.world import Look, Role, Scene, draw_scene


def _benchmark_films():
    path = Path(__file__).parents[2] / "benchmarks" / "cut_films.py"
    spec = importlib.util.spec_from_file_location("cut_films", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


films = _benchmark_films()


def flat(colour, count=1, size=32):
    return np.full((count, size, size, 3), colour, np.uint8)


def picture(seed, size=48):
    """A picture with patches of its own colours."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (6, 6, 3), np.uint8).repeat(size // 6, axis=0).repeat(size // 6, axis=1)


def shot(seed, count):
    return np.repeat(picture(seed)[None], count, axis=0)


def hard_cuts(scenes):
    return [cut.frame for cut in scenes.cuts if cut.kind == "cut"]


def fades(scenes):
    return [(cut.frame - cut.extent, cut.frame) for cut in scenes.cuts if cut.kind == "fade"]


# --------------------------------------------------------------------------------------------------------- the score


def test_a_score_is_the_weighted_mean_of_the_channels_mean_differences():
    red, dark_green = flat((255, 0, 0)), flat((0, 128, 0))  # HSV (0, 255, 255) and (60, 255, 128)
    scores = find_scenes([*red, *dark_green], CutSettings(weights=(1, 2, 3))).scores
    assert scores.tolist() == [0.0, pytest.approx((60 + 2 * 0 + 3 * 127) / 6, abs=1e-5)]


def test_negative_weights_count_with_their_size_in_the_divisor():
    scores = find_scenes([*flat((255, 0, 0)), *flat((0, 128, 0))], CutSettings(weights=(-1, 0, 1))).scores
    assert scores[1] == pytest.approx((127 - 60) / 2)


def test_hues_at_both_ends_of_the_line_are_neighbours_on_the_circle():
    orange_red, pink_red = rgb_to_hsv(flat((255, 8, 0))[0]), rgb_to_hsv(flat((255, 0, 8))[0])
    assert orange_red[0, 0, 0] == 1 and pink_red[0, 0, 0] == 179
    assert channel_distances(orange_red, pink_red)[0] == 178
    assert channel_distances(orange_red, pink_red, circular_hue=True)[0] == 2
    film = [*flat((255, 8, 0), 6), *flat((255, 0, 8), 6)]
    assert hard_cuts(find_scenes(film)) == [6]
    assert hard_cuts(find_scenes(film, CutSettings(circular_hue=True))) == []


def test_a_score_at_the_threshold_is_enough():
    film = [*flat((0, 0, 0), 6), *flat((81, 81, 81), 6)]  # 81 / 3 = 27
    assert hard_cuts(find_scenes(film)) == [6]
    assert hard_cuts(find_scenes(film, CutSettings(threshold=27.01))) == []


# ---------------------------------------------------------------------------------------------------------- the cuts


def test_an_uncut_film_is_one_scene():
    scenes = find_scenes(shot(1, 12), fps=8)
    assert scenes.cuts == () and len(scenes.segments) == 1
    segment = scenes.segments[0]
    assert (segment.start, segment.end, segment.start_time, segment.end_time) == (0, 12, 0.0, 1.5)


def test_a_single_frame_is_one_scene_and_no_frame_is_none():
    assert len(find_scenes(shot(1, 1)).segments) == 1
    assert find_scenes([]).segments == ()


@pytest.mark.parametrize("fps", [8, 12, 24, 25, 30, 50, 60])
def test_hard_cuts_are_found_to_the_frame_at_any_rate(fps):
    starts = [0, fps, fps + 5, 3 * fps, 5 * fps]
    lengths = np.diff([*starts, 6 * fps])
    film = np.concatenate([shot(seed, count) for seed, count in enumerate(lengths)])
    scenes = find_scenes(film, fps=fps)
    assert hard_cuts(scenes) == starts[1:] and fades(scenes) == []
    assert [segment.start for segment in scenes.segments] == starts
    assert scenes.cuts[0] == Cut(fps, 1.0, pytest.approx(float(scenes.scores[fps])), "cut", 0)


def test_places_of_the_toy_world_cut_where_they_change():
    roles = (Role(0, Look("red", "circle"), "running"),)
    film = [frame for place in ("beach", "moon", "street", "forest") for frame in draw_scene(Scene(roles, place))]
    assert hard_cuts(find_scenes(film, fps=8)) == [17, 34, 51]


def test_frames_keep_the_times_they_come_with():
    times = [0.0, 0.1, 0.5, 0.6, 0.65, 1.65, 1.7, 2.7]
    scenes = find_scenes(np.concatenate([shot(1, 5), shot(2, 3)]), CutSettings(min_frames=2), times=times)
    assert scenes.cuts[0].time == 1.65
    assert [(s.start_time, s.end_time) for s in scenes.segments] == [(0.0, 1.65), (1.65, pytest.approx(3.7))]


@pytest.mark.parametrize(("fps", "length"), [(8, 1), (24, 1), (24, 2), (60, 6)])
def test_a_flash_is_no_cut(fps, length):
    film = shot(3, 3 * fps)
    film[fps : fps + length] = 255
    scenes = find_scenes(film, fps=fps)
    assert (scenes.scores >= 27).sum() == 2
    assert scenes.cuts == ()
    assert hard_cuts(find_scenes(film, CutSettings(filter="suppress"), fps=fps)) != []


def test_a_cut_soon_after_a_flash_is_found():
    film = np.concatenate([shot(3, 24), shot(4, 24)])
    film[18] = 255
    assert hard_cuts(find_scenes(film, fps=24)) == [24]


def test_two_scenes_that_go_to_and_fro_are_all_cuts():
    film = np.concatenate([shot(3 + index % 2, 12) for index in range(6)])
    assert hard_cuts(find_scenes(film, fps=24)) == [12, 24, 36, 48, 60]


@pytest.mark.parametrize(("fps", "length"), [(8, 6), (24, 12), (24, 40), (60, 70)])
def test_a_dissolve_is_a_fade_with_its_extent_and_no_cut(fps, length):
    one, other = picture(5).astype(float), picture(6).astype(float)
    shares = (np.arange(length) + 1) / (length + 1)
    mixed = [(one * (1 - share) + other * share).astype(np.uint8) for share in shares]
    film = [*shot(5, 3 * fps), *mixed, *shot(6, 3 * fps)]
    scenes = find_scenes(film, fps=fps)
    assert hard_cuts(scenes) == [] and len(scenes.segments) == 1
    ((begun, done),) = fades(scenes)
    assert abs(begun - 3 * fps) <= 1 + 0.05 * length and abs(done - 3 * fps - length) <= 1 + 0.05 * length


@pytest.mark.parametrize("length", [4, 9])
def test_a_fade_through_black_is_one_fade_though_its_steps_pass_the_threshold(length):
    down = [(picture(7) * (1 - share)).astype(np.uint8) for share in np.linspace(0, 1, length + 1)[1:]]
    up = [(picture(8) * share).astype(np.uint8) for share in np.linspace(0, 1, length + 1)[:-1]]
    film = [*shot(7, 16), *down, *up, *shot(8, 16)]
    scenes = find_scenes(film, fps=12)
    assert hard_cuts(scenes) == []
    assert fades(scenes) == [(16, 16 + 2 * length)]
    if length == 4:
        assert scenes.cuts[0].score >= 27
        assert hard_cuts(find_scenes(film, CutSettings(filter="suppress"), fps=12)) != []


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_a_quick_fade_through_black_of_few_frames_is_a_fade_and_none_of_its_steps_a_cut(length):
    shares = [(number + 1) / (length + 1) for number in range(length)]
    down = [(picture(7) * (1 - 2 * share)).astype(np.uint8) for share in shares if share < 0.5]
    up = [(picture(8) * (2 * share - 1)).astype(np.uint8) for share in shares if share >= 0.5]
    scenes = find_scenes([*shot(7, 16), *down, *up, *shot(8, 16)], fps=8)
    assert hard_cuts(scenes) == []
    assert fades(scenes) == [(16, 16 + length)]


def test_a_light_that_fails_for_a_moment_in_one_scene_is_no_fade():
    dim = [(picture(7) * share).astype(np.uint8) for share in (0.5, 0.1, 0.5)]
    assert fades(find_scenes([*shot(7, 16), *dim, *shot(7, 16)], fps=8)) == []


def test_a_scene_that_is_dark_after_a_bright_one_is_a_cut():
    dark = (picture(8) * 0.2).astype(np.uint8)
    scenes = find_scenes([*shot(7, 16), *[dark] * 16, *shot(9, 16)], fps=8)
    assert hard_cuts(scenes) == [16, 32] and fades(scenes) == []


def test_fast_motion_is_no_cut_but_a_cut_within_it_is():
    wide = np.concatenate([picture(seed) for seed in range(40)], axis=1)
    other = np.concatenate([picture(seed) // 3 for seed in range(100, 140)], axis=1)
    pan = [wide[:, 20 * t : 20 * t + 48] for t in range(20)] + [other[:, 20 * t : 20 * t + 48] for t in range(20)]
    scenes = find_scenes(pan[:20], fps=8)
    assert (scenes.scores[1:] >= 27).all()
    assert scenes.cuts == ()
    assert hard_cuts(find_scenes(pan, CutSettings(filter="suppress"), fps=8)) != [20]


@pytest.mark.parametrize(("grain", "found"), [(6, [16]), (30, [])])
def test_grain_is_no_cut_even_where_all_of_it_passes_the_threshold(grain, found):
    rng = np.random.default_rng(0)
    film = np.concatenate([shot(1, 16), shot(2, 16)]).repeat(2, axis=1).repeat(2, axis=2) // 3 + 20
    noisy = np.clip(film + rng.normal(0, grain, film.shape), 0, 255).astype(np.uint8)
    scenes = find_scenes(noisy, fps=8)
    assert (scenes.scores[1:] >= 27).all() == (grain == 30)
    assert hard_cuts(scenes) == found  # what does not stand out from such grain is not found either


def test_cuts_closer_than_the_least_length_are_passed_over():
    film = np.concatenate([shot(1, 12), shot(2, 6), shot(3, 12)])
    assert hard_cuts(find_scenes(film, CutSettings(min_frames=6), fps=24)) == [12, 18]
    assert hard_cuts(find_scenes(film, CutSettings(min_frames=7), fps=24)) == [12]


# ------------------------------------------------------------------------------------------------------ known films


@pytest.mark.parametrize("name", ["clean cuts", "8 fps", "static"])
def test_on_clean_films_every_hard_cut_is_found_and_nothing_else(name):
    (kind,) = (kind for kind in films.KINDS if kind.name == name)
    for seed in (2001,):
        film = films.make_film(kind, seed, 64)
        assert film.cuts
        assert hard_cuts(find_scenes(film.frames, fps=film.fps)) == [*film.cuts]


# ------------------------------------------------------------------------------------------------ streaming, refusals


def test_frames_are_taken_one_by_one_and_let_go():
    alive = []

    def stream():
        import weakref

        for number in range(400):
            frame = picture(number // 40)
            alive.append(weakref.ref(frame))
            yield frame
            assert sum(reference() is not None for reference in alive) <= 3

    assert len(find_scenes(stream(), fps=24).segments) == 10


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([flat(0)[0], flat(0, size=40)[0]], "frame 1: is 40x40; expected 32x32"),
        ([flat(0)[0].astype(np.float32)], "frame 0: has shape .* of float32"),
        ([flat(0)[0][..., :2]], r"frame 0: has shape \[32, 32, 2\]"),
    ],
)
def test_frames_that_cannot_be_compared_are_refused(frames, said):
    with pytest.raises(InputError, match=said):
        find_scenes(frames)


def test_too_few_times_are_refused():
    with pytest.raises(InputError, match="has 2 entries"):
        find_scenes(shot(1, 3), times=[0.0, 0.1])


def test_settings_that_are_none_are_refused_all_at_once():
    with pytest.raises(InputError) as caught:
        CutSettings(weights=(0, 0, 0), threshold=float("nan"), min_frames=-1, filter="often")
    assert [problem.where for problem in caught.value.problems] == ["weights", "threshold", "min_frames", "filter"]


# ------------------------------------------------------------------------------------------------- generated clips


def blended(*shares):
    """A change from one picture to another, which is there by `shares`, at 8 frames a second."""
    a, b = picture(1).astype(np.float32), picture(2).astype(np.float32)
    between = [((1 - share) * a + share * b).round().astype(np.uint8) for share in shares]
    return find_scenes([*shot(1, 8), *between, *shot(2, 8)], fps=8.0)


@pytest.mark.parametrize("smear", [(0.67, 0.92, 0.98), (0.63, 0.91), (0.8, 0.96)])
def test_a_cut_that_a_decoder_smears_over_the_next_frames_is_a_cut(smear):
    assert [(cut.frame, cut.kind) for cut in blended(*smear).cuts] == [(8, "cut")]


@pytest.mark.parametrize("dissolve", [(1 / 3, 2 / 3), (0.25, 0.5, 0.75), (0.3, 0.8)])
def test_a_quick_dissolve_is_a_fade(dissolve):
    assert [cut.kind for cut in blended(*dissolve).cuts] == ["fade"]


def test_fast_motion_of_held_pictures_under_grain_is_no_cut():
    """Eight pictures a second in a film of 24 frames a second, as generated clips often are."""
    film = films.make_film(next(kind for kind in films.KINDS if kind.name == "all together"), 3006, 64)
    assert hard_cuts(find_scenes(film.frames, fps=film.fps)) == [*film.cuts]
