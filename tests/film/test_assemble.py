"""The film made from stored takes alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from fake_film import FakeBackbone, contents, make_film, story_plan

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.film import assemble, durable
from mpvg_core.film.assemble import assemble_film, blended, crossfade_frames, finish_film
from mpvg_core.film.reading import read_pictures
from mpvg_core.film.record import read_film
from mpvg_core.film.takes import TakeStore


def fade(seconds):
    return {"transition": "crossfade", "transition_seconds": seconds}


def grey(*values):
    return iter([np.full((2, 2, 3), value, np.uint8) for value in values])


def test_blended_clips_overlap_by_the_crossfade_and_weights_move_evenly():
    frames = [int(frame[0, 0, 0]) for frame in blended([grey(0, 0, 0, 0), grey(100, 100, 100, 100)], [0, 3])]
    assert frames == [0, 25, 50, 75, 100]


def test_a_shot_may_be_all_crossfade():
    frames = [int(frame[0, 0, 0]) for frame in blended([grey(0, 0), grey(90, 90), grey(0, 0)], [0, 1, 1])]
    assert frames == [0, 45, 45, 0]


def test_cuts_keep_every_frame_of_every_take_as_it_is(tmp_path):
    film, files = make_film(tmp_path)
    alone = [frame for shot in film.shots for frame in read_pictures(shot.take.clip)]
    joined = [*read_pictures(files.film)]
    assert len(joined) == 36
    assert all(np.array_equal(one, other) for one, other in zip(alone, joined, strict=True))


def test_crossfades_shorten_the_film_and_leave_the_other_shots_untouched(tmp_path):
    film, files = make_film(tmp_path, plan=story_plan(island=fade(0.5), home=fade(0.25)))
    assert crossfade_frames(film) == [0, 0, 4, 2]
    frames = [*read_pictures(files.film)]
    assert len(frames) == 36 - 6
    for one, other in zip(read_pictures(film.shots[0].take.clip), frames, strict=False):
        assert np.array_equal(one, other)
    storm, island = ([*read_pictures(film.shots[index].take.clip)] for index in (1, 2))
    middle = storm[6] * 0.6 + island[1] * 0.4
    assert np.abs(frames[9 + 6] - middle).max() <= 6


def test_a_change_of_transition_films_nothing_anew(tmp_path):
    make_film(tmp_path)
    backbone = FakeBackbone()
    _, files = make_film(tmp_path, plan=story_plan(storm=fade(0.5)), backbone=backbone)
    assert backbone.denoised == 0
    assert sum(1 for _ in read_pictures(files.film)) == 32


def test_crossfades_longer_than_a_shot_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"'storm': its 9 frames are too few for crossfades of 4 and 6"):
        make_film(tmp_path, plan=story_plan(storm=fade(0.5), island=fade(0.75)))


def test_the_film_can_be_assembled_again_from_its_folder_to_the_same_bytes(tmp_path):
    make_film(tmp_path, plan=story_plan(storm=fade(0.5)))
    before = contents(tmp_path)
    for name in ("film.mp4", "contact.png"):
        (tmp_path / name).unlink()
    with TakeStore(tmp_path) as store:
        finish_film(read_film(store), store)
    assert contents(tmp_path) == before


def test_a_clip_of_another_encoder_is_encoded_again_not_joined_as_it_is(tmp_path, monkeypatch):
    film, _ = make_film(tmp_path)
    monkeypatch.setattr(assemble, "encoder", lambda: "another ffmpeg")
    with TakeStore(tmp_path) as store:
        assert assemble_film(film, tmp_path / "again.mp4", store.scratch) == 36
    assert sum(1 for _ in read_pictures(tmp_path / "again.mp4")) == 36


def test_a_missing_take_is_an_error_that_names_the_shot(tmp_path):
    film, _ = make_film(tmp_path)
    film.shots[2].take.clip.unlink()
    with TakeStore(tmp_path) as store, pytest.raises(MPVGError, match=r"'island'.*clip.mp4 is missing; film the board"):
        read_film(store)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 9}', '{"version": 1, "shots": 3}'])
def test_a_damaged_record_is_an_error(tmp_path, text):
    make_film(tmp_path)
    (tmp_path / "film.json").write_text(text)
    with TakeStore(tmp_path) as store, pytest.raises(MPVGError, match=r"film\.json"):
        read_film(store)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data.pop("left_out"), "left_out is missing"),
        (lambda data: data["shots"][1].pop("take"), "shots[1].take is missing"),
        (
            lambda data: data["shots"][0].update(transition="fade"),
            "shots[0].transition: input should be 'cut', 'crossfade' or",
        ),
        (lambda data: data["model"].pop("name"), "model.name is missing"),
        (lambda data: data.update(size=[64]), "size[1] is missing"),
        (lambda data: data.pop("version"), "version is missing"),
    ],
)
def test_a_record_edited_by_hand_names_what_is_wrong_in_it(tmp_path, spoil, said):
    make_film(tmp_path)
    data = json.loads((tmp_path / "film.json").read_text("utf-8"))
    spoil(data)
    (tmp_path / "film.json").write_text(json.dumps(data), "utf-8")
    with TakeStore(tmp_path) as store, pytest.raises(MPVGError) as caught:
        read_film(store)
    assert str(caught.value).startswith(f"{tmp_path / 'film.json'} cannot be used ({said}")
    assert "film the board again" in str(caught.value)


def test_a_missing_sound_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        make_film(tmp_path, audio=tmp_path / "song.ogg")


def test_a_film_without_sound_is_no_sound_file(tmp_path):
    _, files = make_film(tmp_path / "silent")
    with pytest.raises(InputError, match=r"film\.mp4: holds no sound that can be read"):
        make_film(tmp_path / "film", audio=files.film)


def test_a_film_held_open_by_a_player_is_said_with_the_remedy(tmp_path, monkeypatch):
    make_film(tmp_path)

    def held(source, target):
        if Path(target).name == "film.mp4":
            raise PermissionError(13, "Access is denied", str(source), None, str(target))
        os.rename(source, target)

    monkeypatch.setattr(durable.os, "replace", held)
    with TakeStore(tmp_path) as store, pytest.raises(MPVGError) as caught:
        finish_film(read_film(store), store)
    assert str(caught.value) == (
        f"{tmp_path / 'film.mp4'} cannot be replaced (Access is denied): "
        f'close the player that holds it open, then run `mpvg assemble "{tmp_path}"`'
    )


def test_the_record_holds_no_time_and_the_hashes_of_the_files(tmp_path):
    _, files = make_film(tmp_path)
    record = json.loads(files.record.read_text("utf-8"))
    assert set(record["files"]) == {"film.mp4", "contact.png"}
    assert not {"created", "rendered"} & set(record) and not any("rendered" in shot for shot in record["shots"])
    assert record["size"] == [64, 64] and record["model"]["name"] == "fake"
