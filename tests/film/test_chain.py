"""The way of a shot: what is filmed, what is reused, what is remembered."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fake_film import STORY, FakeAdapter, FakeBackbone, contents, make_film, settings, story_plan

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.film.takes import TakeStore

CALLS = {"dawn": 6, "storm": 9, "island": 9, "home": 6}  # of the transformer: 3 steps of 2 conditions, 3 with history


def events_of(**options):
    heard = []
    film, _ = make_film(on_event=heard.append, **options)
    return film, {event.shot: event.kind for event in heard if event.kind not in ("plan", "note")}, heard


def test_a_film_leaves_a_take_for_each_shot_and_the_files_of_the_film(tmp_path):
    film, files = make_film(tmp_path)
    assert [shot.name for shot in film.shots] == ["dawn", "storm", "island", "home"]
    assert sorted(entry.name for entry in (tmp_path / "takes").iterdir()) == sorted(shot.take.id for shot in film.shots)
    assert {path.name for path in tmp_path.iterdir()} == {"takes", "film.mp4", "contact.png", "film.json"}
    record = json.loads(files.record.read_text("utf-8"))
    assert [shot["take"] for shot in record["shots"]] == [shot.take.id for shot in film.shots]
    assert [[memory["shot"] for memory in shot["history"]] for shot in record["shots"]] == [
        [],
        ["dawn"],
        ["dawn"],
        [],
    ]
    assert record["shots"][1]["history"][0]["pieces"] == ["boat"]
    assert record["shots"][1]["history"][0]["serves"] == ["boat"]


def test_every_prompt_and_negative_is_encoded_once_in_one_go(tmp_path):
    backbone = FakeBackbone()
    make_film(tmp_path, backbone=backbone)
    assert sorted(backbone.encoded) == sorted([*(shot.full_prompt for shot in story_plan().shots), ""])


def test_filming_again_unchanged_asks_the_transformer_nothing(tmp_path):
    make_film(tmp_path)
    before, backbone = contents(tmp_path), FakeBackbone()
    _, seen, _ = events_of(folder=tmp_path, backbone=backbone)
    assert (backbone.denoised, backbone.decoded, backbone.described) == (0, 0, 0)
    assert set(seen.values()) == {"reused"}
    assert contents(tmp_path) == before


def test_two_films_of_the_same_plan_are_equal_byte_for_byte(tmp_path):
    make_film(tmp_path / "a")
    make_film(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize(
    ("edited", "prompt", "filmed"),
    [
        ("home", "a grey gull wakes", {"home"}),  # nobody remembers it
        ("dawn", "a blue boat leaves the harbour", {"dawn", "storm", "island"}),  # two shots remember it
        ("storm", "a green wave hits the rocks", {"storm"}),  # forgets the boat; nobody remembers it
        ("island", "the boat is empty", {"island"}),
    ],
)
def test_an_edited_shot_is_filmed_again_with_exactly_those_that_remember_it(tmp_path, edited, prompt, filmed):
    make_film(tmp_path)
    backbone = FakeBackbone()
    plan = story_plan(**{edited: {"prompt": prompt, "full_prompt": prompt}})
    _, seen, _ = events_of(folder=tmp_path, plan=plan, backbone=backbone)
    assert {name for name, kind in seen.items() if kind == "done"} == filmed
    remembering = {"storm", "island"} - ({edited} if edited == "storm" else set())
    assert backbone.denoised == sum(9 if name in remembering else 6 for name in filmed)


def test_a_new_seed_of_a_remembered_shot_reaches_those_that_remember_it(tmp_path):
    make_film(tmp_path)
    _, seen, _ = events_of(folder=tmp_path, plan=story_plan(dawn={"seed": 999}))
    assert {name for name, kind in seen.items() if kind == "done"} == {"dawn", "storm", "island"}


def test_the_history_scale_films_again_only_shots_that_remember(tmp_path):
    make_film(tmp_path)
    _, seen, _ = events_of(folder=tmp_path, settings=settings(history_scale=2.0))
    assert {name for name, kind in seen.items() if kind == "done"} == {"storm", "island"}


def test_another_adapter_films_again_only_shots_that_remember(tmp_path):
    make_film(tmp_path)
    _, seen, _ = events_of(folder=tmp_path, adapter=FakeAdapter("b" * 64))
    assert {name for name, kind in seen.items() if kind == "done"} == {"storm", "island"}


def test_history_changes_the_picture_and_no_adapter_means_no_history(tmp_path):
    with_history, _ = make_film(tmp_path / "a")
    without, _ = make_film(tmp_path / "b", adapter=None)
    same = [
        one.take.latent.read_bytes() == other.take.latent.read_bytes()
        for one, other in zip(with_history.shots, without.shots, strict=True)
    ]
    assert same == [True, False, False, True]
    assert [shot.take.id for shot in without.shots if not shot.history] == [shot.take.id for shot in without.shots]


def test_a_past_shot_is_described_once_in_its_life_and_only_when_remembered(tmp_path):
    backbone = FakeBackbone()
    make_film(tmp_path, backbone=backbone)
    assert backbone.described == 1  # dawn, which two shots remember
    again = FakeBackbone()
    make_film(tmp_path, settings=settings(history_scale=3.0), backbone=again)
    assert again.denoised == 18
    assert again.described == 0


def test_damaged_features_are_described_anew(tmp_path):
    film, _ = make_film(tmp_path)
    [features] = film.shots[0].take.folder.glob("features-*")
    whole = features.read_bytes()
    features.write_bytes(whole[:-2] + b"xx")
    backbone = FakeBackbone()
    make_film(tmp_path, settings=settings(history_scale=3.0), backbone=backbone)
    assert backbone.described == 1
    assert features.read_bytes() == whole


def test_only_the_asked_shot_and_what_remembers_it_is_filmed(tmp_path):
    make_film(tmp_path)
    plan = story_plan(dawn={"seed": 5}, home={"seed": 6})
    film, seen, _ = events_of(folder=tmp_path, plan=plan, only={1})
    assert seen == {"dawn": "done", "storm": "done", "island": "done", "home": "kept"}
    assert film.shots[3].seed == 103


def test_an_earlier_shot_that_the_asked_one_needs_is_filmed_too_and_said(tmp_path):
    backbone = FakeBackbone()
    film, seen, heard = events_of(folder=tmp_path, only={3}, backbone=backbone)
    assert seen == {"dawn": "done", "storm": "left out", "island": "done", "home": "left out"}
    assert [shot.name for shot in film.shots] == ["dawn", "island"]
    assert film.left_out == ("storm", "home")
    [note] = [event.text for event in heard if event.kind == "note"]
    assert "'dawn'" in note and "'island'" in note


def test_asking_for_a_shot_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no shot 7"):
        make_film(tmp_path, only={2, 7})


def test_a_locked_take_stays_whatever_changes_and_is_what_is_remembered(tmp_path):
    first, _ = make_film(tmp_path)
    kept = first.shots[0].take
    with TakeStore(tmp_path) as store:
        store.lock("dawn", kept.id)
    backbone = FakeBackbone()
    changed = story_plan(dawn={"prompt": "a castle", "full_prompt": "a castle", "seed": 1})
    film, seen, _ = events_of(folder=tmp_path, plan=changed, backbone=backbone)
    assert seen == {"dawn": "locked", "storm": "reused", "island": "reused", "home": "reused"}
    assert film.shots[0].take == kept
    assert backbone.denoised == 0
    assert "a castle" not in backbone.encoded  # what the take shows is compared, not what the board says now


def test_a_locked_take_that_departs_from_the_board_says_in_what(tmp_path):
    film, _ = make_film(tmp_path)
    with TakeStore(tmp_path) as store:
        for shot in film.shots[:2]:
            store.lock(shot.name, shot.take.id)
    changed = story_plan(dawn={"prompt": "a castle", "full_prompt": "a castle", "seed": 1})
    _, _, heard = events_of(folder=tmp_path, plan=changed)
    assert [(event.shot, event.text) for event in heard if event.kind == "note"] == [
        (
            "dawn",
            "shot 'dawn' is locked: its take shows 'a red boat leaves the harbour', the board says 'a castle'; "
            "its take has seed 100, the board says 1",
        )
    ]


def test_a_folder_that_holds_another_film_is_told_before_filming(tmp_path):
    make_film(tmp_path)
    _, _, heard = events_of(folder=tmp_path, plan=story_plan({"dawn": "a castle"}))
    assert heard[0].kind == "note"
    assert "holds another film" in heard[0].text and "'a red boat leaves the harbour'" in heard[0].text
    assert "--out or title" in heard[0].text


@pytest.mark.parametrize("prompts", [STORY, {"new": "a castle", "home": STORY["home"]}])
def test_a_film_that_keeps_one_shot_is_no_other_film(tmp_path, prompts):
    make_film(tmp_path)
    _, _, heard = events_of(folder=tmp_path, plan=story_plan(prompts))
    assert not [event for event in heard if event.kind == "note"]


def test_a_locked_take_of_another_size_is_refused_with_the_remedy(tmp_path):
    film, _ = make_film(tmp_path)
    with TakeStore(tmp_path) as store:
        store.lock("dawn", film.shots[0].take.id)
    with pytest.raises(InputError, match=r"'dawn'.*64x64 at 8 fps, the film 64x80.*unlock"):
        make_film(tmp_path, plan=story_plan(size=(64, 80)))


def test_a_locked_take_of_another_model_cannot_be_remembered(tmp_path):
    film, _ = make_film(tmp_path)
    with TakeStore(tmp_path) as store:
        store.lock("dawn", film.shots[0].take.id)
    with pytest.raises(InputError, match="another model"):
        make_film(tmp_path, backbone=FakeBackbone(fingerprint="0" * 64))


@pytest.mark.parametrize("name", ["latent.safetensors", "clip.mp4", "take.json"])
@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: data[:60] + b"?" + data[61:]])
def test_a_damaged_take_is_refused_and_filmed_again_to_the_same_bytes(tmp_path, name, damage):
    film, _ = make_film(tmp_path)
    before = contents(tmp_path)
    victim = film.shots[1].take.folder / name
    victim.write_bytes(damage(victim.read_bytes()))
    backbone = FakeBackbone()
    make_film(tmp_path, backbone=backbone)
    assert backbone.denoised == CALLS["storm"]
    assert contents(tmp_path) == before


def test_ctrl_c_keeps_finished_takes_and_the_next_run_goes_on(tmp_path):
    make_film(tmp_path / "undisturbed")
    backbone = FakeBackbone()
    backbone.fail_at = CALLS["dawn"] + 4
    with pytest.raises(KeyboardInterrupt):
        make_film(tmp_path / "stopped", backbone=backbone)
    takes = [entry.name for entry in (tmp_path / "stopped" / "takes").iterdir()]
    assert len(takes) == 1
    again = FakeBackbone()
    make_film(tmp_path / "stopped", backbone=again)
    assert again.denoised == sum(CALLS.values()) - CALLS["dawn"]
    assert contents(tmp_path / "stopped") == contents(tmp_path / "undisturbed")


def test_an_error_on_the_way_names_the_shot(tmp_path):
    class Short(FakeBackbone):
        def decode(self, latents):
            yield from list(super().decode(latents))[:1]

    with pytest.raises(MPVGError, match=r"shot 'dawn'.*4 frames where 9"):
        make_film(tmp_path, backbone=Short())
    assert [path.name[:9] for path in (tmp_path / "takes").iterdir()] == [".sampled-"]


def test_a_decoder_that_fails_costs_no_sampling_the_next_time(tmp_path):
    class OutOfMemory(FakeBackbone):
        def decode(self, latents):
            raise MPVGError("out of memory")

    make_film(tmp_path / "undisturbed")
    with pytest.raises(MPVGError, match="shot 'dawn': out of memory"):
        make_film(tmp_path / "film", backbone=OutOfMemory())
    backbone = FakeBackbone()
    make_film(tmp_path / "film", backbone=backbone)
    assert backbone.denoised == sum(CALLS.values()) - CALLS["dawn"]
    assert contents(tmp_path / "film") == contents(tmp_path / "undisturbed")


def test_a_damaged_latent_that_waits_is_sampled_again(tmp_path):
    film, _ = make_film(tmp_path / "whole")
    (tmp_path / "film" / "takes").mkdir(parents=True)
    (tmp_path / "film" / "takes" / f".sampled-{film.shots[0].take.id}.safetensors").write_bytes(b"half")
    backbone = FakeBackbone()
    make_film(tmp_path / "film", backbone=backbone)
    assert backbone.denoised == sum(CALLS.values())
    assert contents(tmp_path / "film") == contents(tmp_path / "whole")


def test_the_manifest_says_all_that_went_in_and_by_what(tmp_path):
    film, _ = make_film(tmp_path)
    manifest = film.shots[1].take.manifest
    assert manifest["inputs"]["history"]["shots"] == [{"take": film.shots[0].take.id, "age": 1, "tokens": [2]}]
    assert (manifest["inputs"]["seed"], manifest["inputs"]["steps"], manifest["inputs"]["text_scale"]) == (101, 3, 2.0)
    assert manifest["model"] == {"name": "fake", "fingerprint": "f" * 64}
    assert "torch" in manifest["versions"]
    assert set(manifest["rendered"]) == {"created", "device", "seconds_sampling", "seconds_decoding"}


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": 2.5}, {"steps": 1001}, {"scheduler": "euler"}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(settings(), **wrong)
