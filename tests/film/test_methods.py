"""Methods of a storyboard in the film: what is made together, what enters a take's id, what cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import CogVideoXDPMScheduler
from fake_film import FakeBackbone, contents, make_film, story_plan
from PIL import Image

from mpvg_core.errors import InputError
from mpvg_core.film.parts import Parted, found_files, latent_lengths
from mpvg_core.film.reading import read_pictures
from mpvg_core.film.takes import TakeStore
from mpvg_core.film.tensors import read_latent
from mpvg_core.storyboard.method import Method
from mpvg_core.storyboard.plan import PlacedBox

PAIR = {"a": "a red boat", "b": "a green wave", "c": "a grey gull"}


def smooth_plan(**changes):
    return story_plan(PAIR, b={"transition": "smooth", "frames": 8, "looks_back": ()}, **changes)


def method(**chosen):
    return {"method": Method.model_validate(chosen)}


def frames_of(shot):
    return np.stack(list(read_pictures(shot.take.clip)))


def test_latent_frames_of_a_take_add_up_to_an_odd_number():
    assert latent_lengths([17, 16, 8], 4) == (range(5), range(5, 9), range(9, 11))


def test_a_stream_of_frames_is_parted_wherever_its_chunks_end():
    stream = Parted(np.split(np.arange(20), [3, 4, 11]).__iter__())
    parts = [np.concatenate(list(stream.first(count))).tolist() for count in (9, 8, 3)]
    assert parts == [list(range(9)), list(range(9, 17)), list(range(17, 20))]
    stream.require_end()


def test_smooth_shots_are_denoised_once_and_go_on_from_one_another(tmp_path):
    backbone = FakeBackbone()
    film, _ = make_film(tmp_path, smooth_plan(), backbone)
    assert [shot.frames for shot in film.shots] == [9, 8, 9]
    assert [shot.transition for shot in film.shots] == ["cut", "smooth", "cut"]
    first, second = (read_latent(shot.take) for shot in film.shots[:2])
    assert first.shape[0] == 3 and second.shape[0] == 3
    assert torch.equal(first[-1], second[0])  # the frame before a later part is kept with it
    assert backbone.decoded == 2  # of two takes, not of three shots


def test_a_smooth_take_is_not_made_again_and_is_made_whole_when_a_part_changes(tmp_path):
    make_film(tmp_path, smooth_plan())
    before = contents(tmp_path)
    again = FakeBackbone()
    make_film(tmp_path, smooth_plan(), again)
    assert again.denoised == 0 and contents(tmp_path) == before
    events = []
    changed = smooth_plan()
    shots = list(changed.shots)
    shots[1] = replace(shots[1], full_prompt="a green whale", prompt="a green whale")
    make_film(tmp_path, replace(changed, shots=tuple(shots)), on_event=events.append)
    assert [e.shot for e in events if e.kind == "start"][:2] == ["a", "b"]


def test_asking_for_a_part_of_a_take_films_all_of_it(tmp_path):
    film, _ = make_film(tmp_path, smooth_plan(), only={2})
    assert [shot.name for shot in film.shots] == ["a", "b"]


def test_a_long_shot_is_one_clip_made_in_windows(tmp_path):
    backbone = FakeBackbone()
    film, _ = make_film(tmp_path, story_plan({"a": "a red boat"}, frames=41), backbone)
    assert read_latent(film.shots[0].take).shape[0] == 11
    assert len(frames_of(film.shots[0])) == 41
    # windows of 5 of 11 latent frames, overlapping by 2: 0-4, 3-7, 6-10; two conditions, three steps
    assert backbone.denoised == 3 * 2 * 3


def test_methods_and_what_they_build_on_are_part_of_a_take(tmp_path):
    def ids(**changes):
        film, _ = make_film(tmp_path, story_plan(PAIR, looks_back=False, **changes))
        return [shot.take.id for shot in film.shots]

    plain = ids()
    edited = ids(c=method(edit={"shot": "a", "strength": 0.5}))
    assert edited[:2] == plain[:2] and edited[2] != plain[2]
    assert ids(c=method(edit={"shot": "a", "strength": 0.6}))[2] != edited[2]
    anew = ids(a={"seed": 7}, c=method(edit={"shot": "a", "strength": 0.5}))
    assert anew[1] == plain[1] and anew[2] != edited[2]


def test_an_edit_of_strength_0_is_the_earlier_shot_itself(tmp_path):
    film, _ = make_film(tmp_path, story_plan(PAIR, looks_back=False, c=method(edit={"shot": "a", "strength": 0.0})))
    assert torch.equal(read_latent(film.shots[0].take), read_latent(film.shots[2].take))


def test_an_edit_within_a_box_leaves_the_rest_as_it_was(tmp_path):
    edit = {"shot": "a", "strength": 1.0, "box": [0.5, 0, 0.5, 1]}
    film, _ = make_film(tmp_path, story_plan(PAIR, looks_back=False, c=method(edit=edit)))
    known, made = read_latent(film.shots[0].take), read_latent(film.shots[2].take)
    assert torch.equal(known[..., :4], made[..., :4]) and not torch.equal(known[..., 4:], made[..., 4:])
    before, after = frames_of(film.shots[0]).astype(int), frames_of(film.shots[2]).astype(int)
    wide = before.shape[2]  # blocks of the codec reach a little over the edge
    assert np.abs(before - after)[:, :, : wide * 3 // 8].max() <= 3
    assert np.abs(before - after)[:, :, wide * 5 // 8 :].max() >= 12


def test_shots_that_are_built_on_are_filmed_first(tmp_path):
    events = []
    plan = story_plan(PAIR, looks_back=False, c=method(edit={"shot": "a", "strength": 0.5}))
    film, _ = make_film(tmp_path, plan, only={3}, on_event=events.append)
    assert [shot.name for shot in film.shots] == ["a", "c"]
    assert any("'a' is filmed too" in e.text and "'c' builds on it" in e.text for e in events if e.kind == "note")


def test_a_missing_file_of_a_method_is_told_before_anything_is_made(tmp_path):
    backbone = FakeBackbone()
    plan = story_plan(PAIR, b=method(edit={"video": "none.mp4"}), c=method(ends={"start": "none.png"}))
    with pytest.raises(InputError) as caught:
        make_film(tmp_path / "film", plan, backbone, files_in=[tmp_path])
    assert [str(problem).split(";")[0] for problem in caught.value.problems] == [
        f"shot 'b': the file 'none.mp4' is not in {tmp_path}",
        f"shot 'c': the file 'none.png' is not in {tmp_path}",
    ]
    assert backbone.denoised == 0


def test_what_a_file_holds_is_part_of_the_take(tmp_path):
    backbone = FakeBackbone()
    backbone.encode_clip = lambda frames: torch.full(((len(frames) - 1) // 4 + 1, 4, 8, 8), float(frames.mean()))
    ids = []
    for shade in (10, 200):
        Image.new("RGB", (64, 64), (shade,) * 3).save(tmp_path / "start.png")
        plan = story_plan({"a": "a red boat"}, a=method(ends={"start": "start.png"}))
        film, _ = make_film(tmp_path / "film", plan, backbone, files_in=[tmp_path])
        ids.append(film.shots[0].take.id)
        assert torch.equal(read_latent(film.shots[0].take)[0], torch.full((4, 8, 8), float(shade)))
    assert ids[0] != ids[1]


def test_two_methods_that_do_not_go_together_name_the_shot(tmp_path):
    plan = story_plan({"a": "a red boat", "b": "a wave"}, frames=9, looks_back=False)
    both = method(edit={"shot": "a"}, ends={"start": "p.png", "strength": 0.5})
    Image.new("RGB", (64, 64)).save(tmp_path / "p.png")
    plan = replace(plan, shots=(plan.shots[0], replace(plan.shots[1], **both)))
    backbone = FakeBackbone()
    backbone.encode_clip = lambda frames: torch.zeros((len(frames) - 1) // 4 + 1, 4, 8, 8)
    with pytest.raises(InputError, match=r"shot 'b': methods: .* both begin the clip elsewhere"):
        make_film(tmp_path / "film", plan, backbone, files_in=[tmp_path])


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({"shared_noise": {"shot": "a"}}, "shared_noise"),
        ({"moving_noise": [[0, 0], [8, 0]]}, "moving_noise"),
        ({"edit": {"shot": "a", "by": "inversion"}}, "edit"),
    ],
)
def test_what_acts_by_noise_is_refused_before_anything_is_made_with_a_scheduler_that_draws_its_own(
    tmp_path, chosen, name
):
    backbone = FakeBackbone()
    backbone.new_scheduler = lambda kind="ddim": CogVideoXDPMScheduler()
    with pytest.raises(InputError, match=f"shot 'c': method {name} acts by noise, and the scheduler 'ddim' draws"):
        make_film(tmp_path, story_plan(PAIR, looks_back=False, c=method(**chosen)), backbone)
    assert backbone.denoised == 0


def test_a_shot_that_is_not_filmed_now_may_have_been_filmed_by_another_scheduler(tmp_path):
    plan = story_plan(PAIR, looks_back=False, b=method(shared_noise={"shot": "a"}))
    make_film(tmp_path, plan)
    backbone = FakeBackbone()
    backbone.new_scheduler = lambda kind="ddim": CogVideoXDPMScheduler()
    film, _ = make_film(tmp_path, plan, backbone)
    assert len(film.shots) == 3 and backbone.denoised == 0


def test_a_control_model_wants_a_control_clip_for_every_shot_before_anything_is_made(tmp_path):
    backbone = FakeBackbone()
    backbone.control_channels = 4
    shots = {"b": method(control={"shot": "a", "adapter": "off"}), "c": method(control={"shot": "a"})}
    with pytest.raises(InputError) as refused:
        make_film(tmp_path, story_plan(PAIR, looks_back=False, **shots), backbone)
    assert [str(problem).split(";")[0] for problem in refused.value.problems] == [
        "shot 'a': the control model 'fake' films after a control clip only",
        "shot 'c': the control model 'fake' films after a control clip only, and by itself",
    ]
    assert backbone.denoised == 0


def test_words_of_methods_are_read_together_with_the_prompts(tmp_path):
    boat = PlacedBox("boat", "a red boat", (0.0, 0.0, 0.5, 0.5), 0.0)
    backbone = FakeBackbone()
    backbone.encode_clip = lambda frames: torch.zeros((len(frames) - 1) // 4 + 1, 4, 8, 8)
    look = {**method(regions=0.0), "layout": (boat,)}
    film, _ = make_film(tmp_path / "one", story_plan(PAIR, looks_back=False, a=look, b=look), backbone)
    assert sorted(backbone.encoded) == sorted({"", *PAIR.values()})  # the words are a prompt's as well
    assert len(film.shots) == 3
    backbone.encoded = []
    make_film(tmp_path / "two", story_plan({"a": "a green wave"}, a=look), backbone)
    assert sorted(backbone.encoded) == ["", "a green wave", "a red boat"]


def test_a_locked_part_of_a_take_that_must_be_made_anew_is_refused(tmp_path):
    film, _ = make_film(tmp_path, smooth_plan())
    with TakeStore(tmp_path) as store:
        store.lock("a", film.shots[0].take.id)
    changed = smooth_plan()
    shots = list(changed.shots)
    shots[1] = replace(shots[1], seed=9)
    with pytest.raises(InputError, match="is made in one take with it"):
        make_film(tmp_path, replace(changed, shots=tuple(shots)))


def test_a_shot_made_coarse_to_fine_shows_the_key_frames_of_its_first_clip(tmp_path):
    backbone = FakeBackbone()
    backbone.encode_clip = lambda frames: torch.stack(
        [torch.full((4, 8, 8), float(frame.mean())) for frame in frames[::4]]
    )
    plan = story_plan({"a": "a red boat"}, frames=17, a=method(infill={"depth": 1, "keys": 3}))
    film, _ = make_film(tmp_path, plan, backbone)
    assert len(frames_of(film.shots[0])) == 17
    assert read_latent(film.shots[0].take).shape[0] == 3  # the coarse clip of 9 frames is what is remembered
    assert backbone.denoised == 3 * 3 * 2  # three clips, three steps, two conditions


def test_parts_of_what_is_remembered_pull_each_by_itself(tmp_path):
    prompts = {"a": "a red boat", "b": "a green wave", "c": "a red boat a green wave"}

    def filmed(folder, **chosen):
        backbone = FakeBackbone()
        film, _ = make_film(folder, story_plan(prompts, c=method(**chosen)), backbone)
        return backbone.denoised, read_latent(film.shots[2].take)

    calls, plain = filmed(tmp_path / "plain")
    more, pulled = filmed(tmp_path / "parts", history_parts={"scale": 0.5})
    assert more == calls + 3 * 2  # two remembered shots, three steps
    assert not torch.equal(plain, pulled)
    same, none = filmed(tmp_path / "none", history_parts={"scale": 0.0})
    assert same == calls and torch.equal(plain, none)
    whole, _ = filmed(tmp_path / "whole", history_parts={"scale": 0.5, "shots_each": 2})
    assert whole == calls + 3


@pytest.mark.parametrize(
    ("chosen", "file"),
    [
        ({"control": {"shot": "a", "edges": True}}, "control_adapter.safetensors"),
        ({"cross_shot": 0.5}, "temporal_adapter.safetensors"),
        ({"one_shot": "walk.safetensors"}, "walk.safetensors"),
    ],
)
def test_an_adapter_that_is_nowhere_is_told_before_anything_is_made(tmp_path, chosen, file):
    backbone = FakeBackbone()
    with pytest.raises(InputError, match=f"the file {file!r} is not in"):
        make_film(tmp_path, story_plan(PAIR, c=method(**chosen)), backbone)
    assert backbone.denoised == 0


def test_a_file_is_taken_from_the_first_of_the_folders_that_has_it(tmp_path):
    folders = [tmp_path / "input", tmp_path / "models"]
    plan = story_plan(PAIR, c=method(one_shot="walk.safetensors"))
    for folder in folders:
        folder.mkdir()
    with pytest.raises(InputError, match=r"is not in .*input or .*models;"):
        found_files(plan, folders)
    (folders[1] / "walk.safetensors").write_bytes(b"")
    assert found_files(plan, folders) == {"walk.safetensors": folders[1] / "walk.safetensors"}
    (folders[0] / "walk.safetensors").write_bytes(b"")
    assert found_files(plan, folders) == {"walk.safetensors": folders[0] / "walk.safetensors"}


def test_a_models_own_adapter_is_taken_before_another_models_of_the_same_name(tmp_path):
    plan, name = story_plan(PAIR, c=method(cross_shot=True)), "temporal_adapter.safetensors"
    (tmp_path / name).write_bytes(b"")
    own = tmp_path / "model" / name
    own.parent.mkdir()
    own.write_bytes(b"")
    assert found_files(plan, [tmp_path], lambda wanted: own) == {name: own}
    assert found_files(plan, [tmp_path]) == {name: tmp_path / name}


def test_an_adapter_that_lies_with_the_model_is_found_there(tmp_path):
    lying = tmp_path / "temporal_adapter.safetensors"
    lying.write_bytes(b"no adapter")
    backbone = FakeBackbone()
    backbone.companion = lambda name: tmp_path / name
    with pytest.raises(InputError, match="does not open"):
        make_film(tmp_path / "film", story_plan(PAIR, c=method(cross_shot=True)), backbone)
