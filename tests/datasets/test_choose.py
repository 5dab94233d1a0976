"""Which frames become a clip."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mpvg_core.datasets.choose import choose_scene, choose_transition, parts_between, sides_of_first_cut
from mpvg_core.datasets.settings import ClipSettings, longest_clip
from mpvg_core.errors import InputError
from mpvg_core.evaluate.cuts import Cut, CutSettings, Scenes, Segment


def settings(**changes) -> ClipSettings:
    given = {"layout": "scenes", "fps": 8, "size": (64, 64), "frames": 49, "min_scene": 1.0, "max_scene": None}
    return ClipSettings(**{**given, "threshold": 27.0, **changes})


def scenes(fps: float, *lengths: int) -> tuple[np.ndarray, list[Segment]]:
    """The times of a video of scenes with so many frames, and the scenes."""
    ends = np.cumsum([0, *lengths])
    return np.arange(ends[-1]) / fps, [Segment(a, b, a / fps, b / fps) for a, b in pairwise(ends)]


@pytest.mark.parametrize(
    ("fps", "length", "frames"),
    [(8, 9, 9), (8, 16, 9), (8, 17, 17), (8, 400, 49), (24, 27, 9), (24, 200, 49), (30, 120, 25), (4, 40, 49)],
)
def test_a_scene_gives_the_longest_legal_clip_from_its_middle(fps, length, frames):
    times, (_, scene, _) = scenes(fps, 7, length, 11)
    chosen = choose_scene(times, scene, settings())
    assert len(chosen.frames) == frames
    assert all(scene.start <= index < scene.end for index in chosen.frames)
    assert chosen.start >= scene.start_time - 1e-9 and chosen.stop <= scene.end_time + 1 / 8
    margins = chosen.start - scene.start_time, scene.end_time - chosen.stop
    assert abs(margins[0] - margins[1]) <= 1 / 8 + 1e-9


def test_a_clip_keeps_the_pace_of_its_video():
    times, (scene,) = scenes(24, 240)
    assert set(np.diff(choose_scene(times, scene, settings()).frames)) == {3}


def test_a_slower_video_gives_frames_twice():
    times, (scene,) = scenes(4, 8)
    assert choose_scene(times, scene, settings()).frames == (1, 2, 2, 3, 3, 4, 4, 5, 5)


def test_a_video_of_varying_rate_is_read_by_its_times():
    times = np.array([0.0, 1.0, 1.01, 1.02, 1.03, 1.5, 2.0])
    chosen = choose_scene(times, Segment(0, 7, 0.0, 2.1), settings())
    assert chosen.start == 0.0 and chosen.frames == (0,) * 8 + (1,) + (4,) * 3 + (5,) * 4 + (6,)


@pytest.mark.parametrize(
    ("length", "changes", "why"),
    [
        (8, {}, "too short"),
        (15, {"min_scene": 2.0}, "too short"),
        (80, {"max_scene": 9.9}, "too long"),
    ],
)
def test_scenes_of_an_unwanted_length_give_none(length, changes, why):
    times, (scene,) = scenes(8, length)
    assert choose_scene(times, scene, settings(**changes)) == why


@pytest.mark.parametrize(
    ("fps", "before", "after", "frames", "cut"),
    [
        (8, 100, 100, 81, 40),  # five seconds before, five after
        (24, 300, 300, 81, 40),
        (25, 300, 300, 81, 40),
        (8, 40, 41, 81, 40),
        (8, 39, 41, 73, 36),  # a frame short: trimmed to 1 + 8n from the longer side
        (8, 10, 100, 49, 10),
        (8, 100, 8, 41, 33),
        (8, 8, 9, 17, 8),
    ],
)
def test_a_transition_reaches_as_far_on_both_sides_as_it_may(fps, before, after, frames, cut):
    times, (first, second) = scenes(fps, before, after)
    chosen = choose_transition(times, first, second, settings(layout="transitions", frames=81))
    assert (len(chosen.frames), chosen.cut) == (frames, cut)
    assert max(chosen.frames[:cut]) < second.start == chosen.frames[cut]
    assert np.isclose(chosen.start + cut / 8, second.start_time)


@pytest.mark.parametrize(("before", "after"), [(7, 80), (80, 7), (1, 1)])
def test_a_cut_too_near_to_another_or_to_an_end_gives_none(before, after):
    times, (first, second) = scenes(8, before, after)
    assert choose_transition(times, first, second, settings(layout="transitions", frames=81)) == "too short"


def found(*cuts: Cut) -> Scenes:
    times = np.arange(100) / 8
    return Scenes(np.zeros(100, np.float32), times, cuts, CutSettings())


def test_what_fades_is_in_no_scene():
    fade, cut, first = Cut(40, 5.0, 30.0, "fade", 8), Cut(70, 8.75, 60.0), Cut(6, 0.75, 30.0, "fade", 6)
    assert [(part.start, part.end) for part in parts_between(found(fade, cut))] == [(0, 32), (40, 70), (70, 100)]
    assert [(part.start, part.end) for part in parts_between(found(first))] == [(6, 100)]
    assert [(part.start_time, part.end_time) for part in parts_between(found(fade))] == [(0.0, 4.0), (5.0, 12.5)]


def test_a_transition_is_between_what_lies_next_to_the_first_hard_cut():
    fade, cut, later = Cut(20, 2.5, 30.0, "fade", 4), Cut(50, 6.25, 60.0), Cut(90, 11.25, 30.0, "fade", 10)
    sides = sides_of_first_cut(found(fade, cut, later))
    assert [(part.start, part.end) for part in sides] == [(20, 50), (50, 80)]
    assert [(part.start, part.end) for part in sides_of_first_cut(found(fade))] == [(0, 100)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": 48}, r"--frames: 48 frames cannot be filmed; expected 1 \+ 8n from 9 on; take 49"),
        ({"frames": 1}, "take 9"),
        ({"size": (720, 481)}, "--size: 720x481"),
        ({"fps": 0}, "--fps"),
        ({"layout": "shots"}, "--layout"),
        ({"min_scene": 3.0, "max_scene": 2.0}, "--min-scene"),
        ({"threshold": 0.0}, "--threshold"),
    ],
)
def test_settings_that_no_clip_can_have_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        settings(**changes)


def test_every_setting_and_the_bytes_are_in_the_key():
    changes = ({}, {"fps": 9}, {"size": (64, 80)}, {"frames": 57}, {"min_scene": 2.0}, {"max_scene": 9.0})
    others = [settings(**change).key("0f") for change in (*changes, {"threshold": 26.0}, {"layout": "transitions"})]
    assert len({*others, settings().key("10")}) == 9


@pytest.mark.parametrize(
    ("layout", "fps", "frames", "seconds", "longest"),
    [
        ("scenes", 8, None, None, 49),
        ("transitions", 8, None, None, 81),
        ("scenes", 16, None, None, 97),
        ("scenes", 8, None, 0.2, 9),
        ("scenes", 8, None, 2.2, 17),
        ("scenes", 8, 33, None, 33),
    ],
)
def test_the_longest_clip_may_be_said_in_frames_or_seconds(layout, fps, frames, seconds, longest):
    assert longest_clip(layout, fps, frames, seconds) == longest
    with pytest.raises(InputError, match="both are given"):
        longest_clip(layout, fps, 9, 1.0)
