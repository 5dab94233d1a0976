"""A film measured as a whole: what stays, what does not, and when the figures say nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from toy_films import PROMPTS, SQUARE, STAR, measured, put_film, scene, story

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.evaluate.consistency import measure
from mpvg_core.evaluate.cuts import CutSettings
from mpvg_core.evaluate.palette import Palette
from mpvg_core.evaluate.reel import open_reel
from mpvg_core.evaluate.roles import roles_of
from mpvg_core.evaluate.shot import measure_shot
from mpvg_core.film.video import VideoWriter
from mpvg_core.pocket.world import Look, draw_scene


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A film that keeps its two looks."""
    return put_film(tmp_path_factory.mktemp("kept"), story(STAR, SQUARE, SQUARE, STAR))


@pytest.fixture(scope="module")
def kept_figures(kept):
    return measured(kept)


def test_a_film_that_keeps_its_looks_says_so_and_one_that_swaps_them_too(kept_figures, tmp_path):
    keeps = kept_figures.summary
    swaps = measured(put_film(tmp_path, story(STAR, SQUARE, STAR, SQUARE))).summary
    assert keeps.subject_shared > keeps.subject_apart + 0.15
    assert swaps.subject_shared < swaps.subject_apart - 0.15
    assert keeps.place_shared > keeps.place_apart + 0.2 and swaps.place_shared > swaps.place_apart + 0.2


def test_a_film_of_the_storyboard_is_measured_shot_by_shot_and_cut_where_it_should_be(kept_figures):
    assert [shot.shot.start for shot in kept_figures.shots] == [0, 9, 18, 27]
    assert [shot.shot.seed for shot in kept_figures.shots] == [100, 101, 102, 103]
    assert kept_figures.shots[2].shot.actors == ("Actor 2",) and kept_figures.shots[2].shot.places == ("playground",)
    assert kept_figures.cuts.accuracy == 1 and kept_figures.cuts.error == 0
    assert kept_figures.doubts == ()
    assert all(0.01 < shot.figures.motion < 0.14 for shot in kept_figures.shots)
    assert kept_figures.shots[0].drift == 0 < kept_figures.summary.drift


def test_takes_are_measured_at_the_models_own_size(kept, kept_figures):
    """The clips on disk are enlarged four times; sharpness would tell."""
    enlarged = measured(kept / "film.mp4")
    assert kept_figures.shots[0].figures.sharpness > 2 * enlarged.shots[0].figures.sharpness


def test_a_video_file_is_cut_where_its_cuts_are_found_and_no_storyboard_is_pretended(kept):
    found = measured(kept / "film.mp4")
    assert [(shot.shot.start, shot.shot.frames) for shot in found.shots] == [(0, 9), (9, 9), (18, 9), (27, 9)]
    assert found.cuts is None and found.summary.subject_shared is None
    assert found.summary.subject_all is not None
    assert found.reel.fps == pytest.approx(8)


def test_a_frozen_film_wins_nothing(tmp_path):
    still = [np.repeat(clip[:1], 9, axis=0) for clip in story(STAR, SQUARE, SQUARE, STAR)[1:3]]
    found = measured(put_film(tmp_path, still, PROMPTS[1:3]))
    assert found.summary.subject_shared is None and found.summary.subject_within is None
    assert [shot.mute for shot in found.shots] == ["does not move"] * 2
    assert "shot 1 and shot 2 do not move" in found.doubts[0]


def test_a_frozen_shot_is_named_and_left_out_of_the_means_and_the_others_count(tmp_path, kept_figures):
    clips = story(STAR, SQUARE, SQUARE, STAR)
    clips[1] = np.repeat(clips[1][:1], 9, axis=0)
    found = measured(put_film(tmp_path, clips))
    assert found.doubts[0].startswith("shot 2 does not move")
    assert found.summary.subject_shared == pytest.approx(float(kept_figures.subject[0, 3]), abs=1e-4)
    assert found.shots[1].figures.subject > 0.99  # it is shown, and would have won


def test_a_film_of_one_colour_a_shot_is_told(tmp_path):
    clips = [np.full((9, 64, 64, 3), level, np.uint8) for level in (40, 200)]
    found = measured(put_film(tmp_path, clips))
    assert [shot.mute for shot in found.shots] == ["is one colour"] * 2
    assert "shot 1 and shot 2 are one colour" in found.doubts[0]
    assert found.summary.subject_all is None


def test_noise_is_told_however_much_it_moves(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 9, 64, 64, 3)).astype(np.uint8)
    found = measured(put_film(tmp_path, list(noise)))
    assert [shot.mute for shot in found.shots] == ["is noise"] * 2
    assert found.summary.subject_all is None


def test_shots_that_are_one_clip_are_told_and_their_likeness_does_not_count(tmp_path):
    clip = story(STAR, SQUARE, SQUARE, STAR)[0]
    found = measured(put_film(tmp_path, [clip] * 3, [PROMPTS[0]] * 3))
    assert any("shot 1, shot 2 and shot 3 show the same clip" in doubt for doubt in found.doubts)
    assert found.summary.subject_shared is None and found.summary.place_shared is None
    assert any("the cut to shot 2 (frame 9) was not seen" in doubt for doubt in found.doubts)


def test_a_cut_within_a_shot_is_told(tmp_path):
    one, two, three, _ = story(STAR, SQUARE, SQUARE, STAR)
    found = measured(put_film(tmp_path, [np.concatenate([one[:5], two[:4]]), three]))
    assert any("a cut that the storyboard does not have was seen within shot 1 (frame 5)" in d for d in found.doubts)
    assert found.cuts.extra == (5,)


def test_crossfades_are_no_cuts_and_do_not_shift_the_shots_after_them(tmp_path):
    clips = story(STAR, SQUARE, SQUARE, STAR)[:3]
    found = measured(put_film(tmp_path, clips, crossfades=[0, 0.5, 0]))
    assert found.reel.fades == ((5, 9),) and found.reel.wanted == (14,)
    assert found.cuts.extra == () and found.doubts == ()
    assert found.cuts.accuracy == 1
    assert [shot.figures.frames for shot in found.shots] == [9, 9, 9]


def test_a_single_shot_is_measured_and_compared_with_nothing(tmp_path):
    found = measured(put_film(tmp_path, story(STAR, SQUARE, SQUARE, STAR)[:1]))
    assert found.summary.subject_all is None and found.summary.subject_within > 0.8
    assert found.subject.shape == (1, 1) and found.cuts.accuracy == 1


def test_names_are_told_by_the_storyboard_rather_than_guessed(kept):
    told = measured(kept, actors=["Actor 1"], places=[])
    assert [shot.shot.actors for shot in told.shots] == [("Actor 1",), (), (), ("Actor 1",)]
    assert not told.reel.names_guessed
    # One pair shares the actor; shots that name nobody say nothing about who they show.
    assert told.summary.subject_shared == pytest.approx(float(told.subject[0, 3]))
    assert told.summary.subject_apart is None and told.summary.place_shared is None


def test_names_in_prose_are_whole_words_and_numbers_make_names():
    roles = roles_of(["Actor 1 waves in the forest in the morning.", "Actor 12 runs."], None, None)
    assert roles.actors == (("Actor 1",), ("Actor 12",)) and roles.guessed
    assert roles.places == (("forest",), ())


def test_figures_are_plain_data_that_json_can_hold(kept_figures):
    data = json.loads(json.dumps(kept_figures.to_json(), allow_nan=False))
    assert data["version"] == 1 and data["cuts"]["wanted"] == [9, 18, 27]
    assert data["shots"][0]["prompt"] == PROMPTS[0] and data["shots"][0]["mute"] is None
    assert data["summary"]["subject_shared"] == pytest.approx(kept_figures.summary.subject_shared, abs=1e-4)
    assert np.shape(data["subject"]) == (4, 4)


def test_measuring_twice_gives_the_same(kept, kept_figures):
    assert measured(kept).to_json() == kept_figures.to_json()


def test_a_long_shot_takes_no_more_memory_than_a_short_one():
    """The stream is never held: of 150 frames few are alive at any time."""
    alive: list[int] = []
    drawn = draw_scene(scene(0, STAR, "dancing", "snow"))

    class Counted(np.ndarray):
        def __del__(self):
            if alive:
                alive[0] -= 1

    most = 0

    def frames():
        nonlocal most
        for index in range(150):
            frame = np.array(drawn[index % 17]).view(Counted)
            alive[0] += 1
            most = max(most, alive[0])
            yield frame

    alive.append(0)
    figures, look = measure_shot(frames(), Palette(), fps=8)
    assert figures.frames == 150 and len(look.pictures) == 5
    assert most < 60


def test_a_shot_without_frames_is_an_error_that_names_it():
    with pytest.raises(MPVGError, match="storm has no frame"):
        measure_shot(iter(()), Palette(), fps=8, name="storm")


def test_what_is_no_film_is_refused_in_words(tmp_path, kept):
    with pytest.raises(InputError, match=r"film\.json"):
        open_reel(tmp_path, CutSettings())
    with pytest.raises(InputError, match="is not there"):
        open_reel(tmp_path / "none", CutSettings())
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(MPVGError, match=r"x\.mp4"):
        open_reel(tmp_path / "x.mp4", CutSettings())


def test_a_film_without_its_file_or_with_another_ones_is_to_be_assembled_again(tmp_path):
    folder = put_film(tmp_path, story(STAR, SQUARE, SQUARE, STAR)[:2])
    with VideoWriter(folder / "film.mp4", width=64, height=64, fps=8) as writer:
        writer.write(np.zeros((5, 64, 64, 3), np.uint8))
    with pytest.raises(MPVGError, match=r"has 5 frames, its takes make 18; .*mpvg assemble"):
        open_reel(folder, CutSettings())
    (folder / "film.mp4").unlink()
    with pytest.raises(InputError, match="mpvg assemble"):
        open_reel(folder, CutSettings())


def test_features_that_cannot_tell_anything_apart_find_no_difference_of_looks(kept):
    """The figure comes from the features: with blind ones it vanishes."""

    class Blind(Palette):
        def describe(self, pictures, weights):
            return np.ones((len(pictures), 4), np.float32) / 2

    found = measure(open_reel(kept, CutSettings()), Blind())
    assert found.summary.subject_shared == found.summary.subject_apart == pytest.approx(1)


def test_other_looks_in_the_same_story_lower_the_actors_figure_and_leave_the_places(tmp_path, kept_figures):
    changed = measured(put_film(tmp_path, story(STAR, SQUARE, Look("green", "circle"), Look("blue", "triangle"))))
    assert changed.summary.subject_shared < kept_figures.summary.subject_shared - 0.1
    assert changed.summary.place_shared == pytest.approx(kept_figures.summary.place_shared, abs=0.05)
