"""Each figure by itself, on pictures whose figure can be told by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from mpvg_core.evaluate.colour import lab
from mpvg_core.evaluate.cut_accuracy import cut_accuracy
from mpvg_core.evaluate.drift import colour_drift
from mpvg_core.evaluate.flicker import flicker, light
from mpvg_core.evaluate.likeness import likeness, mean_direction, pair_mean, steadiness, text_likeness
from mpvg_core.evaluate.motion import change, flow
from mpvg_core.evaluate.palette import Palette, box_around
from mpvg_core.evaluate.sampling import EvenSample, reduced
from mpvg_core.evaluate.sharpness import contrast, neighbour_likeness, sharpness

NOISE = np.random.default_rng(0)


def plain(*colour: int, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), colour if len(colour) == 3 else colour * 3, np.uint8)


def cloth(shift: int = 0, size: int = 64) -> np.ndarray:
    """A smooth random picture, moved right by `shift` pixels."""
    coarse = np.random.default_rng(3).integers(0, 256, (12, 16)).astype(float)
    x = (np.arange(size) - shift + 24) / 8
    y = (np.arange(size) + 8) / 8
    whole_x, whole_y = x.astype(int), y.astype(int)
    part_x, part_y = x - whole_x, y - whole_y
    rows = coarse[whole_y] * (1 - part_y)[:, None] + coarse[whole_y + 1] * part_y[:, None]
    picture = rows[:, whole_x] * (1 - part_x) + rows[:, whole_x + 1] * part_x
    return np.repeat(picture.astype(np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.2))],
    ids=["white", "black", "red"],
)
def test_lab_gives_the_textbook_values(rgb, expected):
    assert np.allclose(lab(np.array(rgb, np.uint8)), expected, atol=0.1)


def test_black_is_a_hundred_away_from_white_and_nothing_drifts_from_itself():
    white, black = lab(np.array([255] * 3, np.uint8)), lab(np.array([0] * 3, np.uint8))
    assert colour_drift(white, black) == pytest.approx(100, abs=0.1)
    assert colour_drift(white, white) == 0


@pytest.mark.parametrize("pixels", [1, 2, 4, 6])
def test_flow_finds_how_far_a_picture_moved(pixels):
    assert flow(cloth(0), cloth(pixels)) == pytest.approx(pixels / 64, abs=0.5 / 64)


def test_a_still_picture_has_neither_flow_nor_change_even_with_a_little_grain():
    grainy = np.clip(cloth().astype(int) + NOISE.integers(-1, 2, (64, 64, 3)), 0, 255).astype(np.uint8)
    assert flow(cloth(), cloth()) == 0 and change(cloth(), cloth()) == 0
    assert flow(cloth(), grainy) == 0 and change(cloth(), grainy) <= 1


def test_an_even_change_of_light_is_a_change_and_no_flow_of_a_plain_picture():
    assert change(plain(100), plain(110)) == 10
    assert flow(plain(100), plain(110)) == 0
    assert flow(plain(100, size=2), plain(110, size=2)) == 0


def test_a_small_thing_that_moves_counts_as_much_as_the_strongest_twentieth():
    before, after = plain(200), plain(200)
    before[20:36, 10:26], after[20:36, 14:30] = cloth()[:16, :16], cloth()[:16, :16]
    assert flow(before, after) > 2.5 / 64
    assert change(before, after) > 20


def test_flicker_is_how_far_the_middle_frame_is_off_and_an_even_fade_has_none():
    dark, bright, brighter = (light(plain(level)) for level in (100, 110, 120))
    assert flicker(dark, bright, brighter) == pytest.approx(0, abs=1e-4)
    assert flicker(dark, brighter, dark) == pytest.approx(20, abs=1e-3)


def test_something_that_moves_through_a_small_part_of_the_picture_is_no_flicker():
    with_ball = plain(100)
    with_ball[8:24, 8:24] = 255
    assert flicker(light(plain(100)), light(with_ball), light(plain(100))) < 1e-3


def test_light_is_the_mean_of_each_field_whatever_the_size():
    odd = NOISE.integers(0, 256, (45, 61, 3)).astype(np.uint8)
    assert light(odd).shape == (8, 8)
    assert light(plain(7, size=5)).shape == (5, 5) and np.allclose(light(plain(7, size=5)), 7)


def test_a_blurred_picture_is_less_sharp_and_one_colour_not_at_all():
    sharp = NOISE.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    soft = np.stack([np.roll(sharp, shift, 1) for shift in range(4)]).mean(0).astype(np.uint8)
    assert sharpness(sharp) > 3 * sharpness(soft) > sharpness(plain(90)) == 0


def test_sharpness_is_the_variance_of_the_laplacian():
    """A single bright pixel: the Laplacian is -4 v there and v at its four neighbours."""
    dot = plain(0, size=7)
    dot[3, 3] = 100
    values = np.zeros(25)
    values[:5] = [-400, 100, 100, 100, 100]
    assert sharpness(dot) == pytest.approx(values.var(), rel=1e-4)


def test_neighbours_are_alike_in_a_picture_and_not_in_noise():
    assert neighbour_likeness(cloth()) > 0.9
    assert abs(neighbour_likeness(NOISE.integers(0, 256, (64, 64, 3)).astype(np.uint8))) < 0.1
    assert neighbour_likeness(plain(50)) == 1 and contrast(plain(50)) == 0


def test_steadiness_is_vbenchs_mean_of_likeness_to_the_first_and_to_the_one_before():
    a, b = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    assert steadiness(np.stack([a, a, a])) == 1
    # Frame 2: <a, b> = 0 twice; frame 3: <a, a> = 1 to the first, <b, a> = 0 to the one before.
    assert steadiness(np.stack([a, b, a])) == pytest.approx((0 + 0 + 1 + 0) / 4)
    assert steadiness(a[None]) == 1


def test_likeness_is_symmetric_with_ones_on_its_diagonal():
    vectors = np.stack([mean_direction(NOISE.normal(size=(3, 5)).astype(np.float32)) for _ in range(4)])
    matrix = likeness(vectors)
    assert np.allclose(np.diag(matrix), 1, atol=1e-6) and np.allclose(matrix, matrix.T)
    assert pair_mean(matrix, [(0, 1), (2, 3)]) == pytest.approx((matrix[0, 1] + matrix[2, 3]) / 2)
    assert pair_mean(matrix, []) is None


def test_text_likeness_is_the_mean_over_frames():
    frames = np.array([[1, 0], [0, 1]], np.float32)
    assert text_likeness(frames, np.array([1, 0], np.float32)) == 0.5


def test_palette_sees_colours_first_and_tells_equal_from_other():
    pink, pinkish, green = plain(255, 130, 190), plain(225, 118, 166), plain(40, 180, 70)
    vectors = Palette().describe(np.stack([pink, pinkish, green]), np.ones((3, 64, 64), np.float32))
    same, close, other = (float(vectors[0] @ vector) for vector in vectors)
    assert same == pytest.approx(1, abs=1e-5)
    assert same > close > other + 0.3


def test_palette_looks_only_where_there_is_weight():
    half = plain(255, 130, 190)
    half[:, 32:] = (40, 180, 70)
    weights = np.zeros((1, 64, 64), np.float32)
    weights[:, :, :32] = 1
    left = Palette().describe(half[None], weights)[0]
    pink, green = Palette().describe(np.stack([plain(255, 130, 190), plain(40, 180, 70)]), np.ones((2, 64, 64)))
    assert left @ pink > 0.7 and left @ green < 0.1


def test_palette_tells_shapes_of_one_colour_apart_in_one_pose():
    def bars(across: bool) -> np.ndarray:
        picture = plain(222, 44, 44)
        lines = picture if across else picture.transpose(1, 0, 2)
        lines[::8] = lines[1::8] = 30
        return picture

    vectors = Palette().describe(np.stack([bars(True), bars(False), bars(True)]), np.ones((3, 64, 64), np.float32))
    assert vectors[0] @ vectors[2] == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] < 0.8


def test_the_box_holds_what_has_weight_and_is_all_where_nothing_has():
    weights = np.zeros((20, 30), np.float32)
    assert box_around(weights) == (0, 20, 0, 30)
    weights[5:9, 10:25] = 1
    assert box_around(weights, share=0) == (5, 9, 10, 25)


def test_a_cut_at_its_frame_is_fully_accurate_and_each_fault_costs():
    assert cut_accuracy([10, 20], [10, 20], 30).accuracy == 1
    off = cut_accuracy([10, 20], [11, 18], 30)
    assert off.error == 1.5 and off.accuracy == pytest.approx(math.exp(-3 / 30))
    lost = cut_accuracy([10, 20], [10], 30)
    assert lost.missed == (20,) and lost.error == 0 and lost.accuracy == pytest.approx(math.exp(-10 / 30))
    many = cut_accuracy([10, 20], [10, 14, 20], 30)
    assert many.extra == (14,) and many.accuracy == pytest.approx(math.exp(-10 / 30))


def test_no_cut_wanted_and_none_found_is_right_and_one_found_is_not():
    assert cut_accuracy([], [], 17).accuracy == 1
    assert cut_accuracy([], [5], 17).accuracy == pytest.approx(math.exp(-1))
    assert cut_accuracy([], [], 17).error is None
    with pytest.raises(ValueError, match="0 frames"):
        cut_accuracy([], [], 0)


def test_cuts_are_matched_one_to_one_and_the_nearest_wins():
    found = cut_accuracy([20], [16, 19], 40)
    assert found.matched == ((20, 19),) and found.extra == (16,)
    assert cut_accuracy([20], [5], 40).missed == (20,)


def test_a_sample_stays_small_even_and_keeps_the_first():
    for length in (1, 7, 16, 17, 1000):
        sample = EvenSample(8)
        for item in range(length):
            sample.add(item)
        kept = sample.items
        assert kept[0] == 0 and len(kept) <= 16 and len(kept) >= min(length, 8)
        assert len({b - a for a, b in pairwise(kept)}) <= 1
        assert length <= 16 or kept[-1] > 0.8 * length


def test_frames_are_made_smaller_until_their_short_side_is_small_enough():
    frame = np.zeros((4, 6, 3), np.uint8)
    assert reduced(np.zeros((480, 720, 3), np.uint8), 256).shape == (240, 360, 3)
    assert reduced(frame, 4) is frame
