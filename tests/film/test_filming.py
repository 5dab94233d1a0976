"""A film shot by shot, as others than the command line make it: in any order, with kept takes, of clips made before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_film import STORY, FakeAdapter, FakeBackbone, story_plan

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.errors import InputError
from mpvg_core.film.chain import Filming
from mpvg_core.film.clips import shoot_once
from mpvg_core.film.collect import MadeClip, collect_film
from mpvg_core.film.reading import read_pictures
from mpvg_core.film.settings import FilmSettings
from mpvg_core.film.shoot import ClipRequest, conditioning
from mpvg_core.film.takes import TakeStore
from mpvg_core.history.decouple import HistoryTokens

SETTINGS = FilmSettings(steps=3, guidance=HistoryGuidance(text_scale=2.0))


def filming_of(store: TakeStore, backbone: FakeBackbone, story: dict[str, str] = STORY, **options: object) -> Filming:
    return Filming(story_plan(story), backbone, FakeAdapter(), SETTINGS, store, **options)  # type: ignore[arg-type]


def test_shots_asked_for_out_of_order_bring_those_they_remember_and_give_the_same_takes(tmp_path: Path) -> None:
    with TakeStore(tmp_path / "in order") as store:
        filming = filming_of(store, FakeBackbone())
        expected = [filming.shoot(errand).id for errand in filming.errands]
    with TakeStore(tmp_path / "backwards") as store:
        filming = filming_of(store, FakeBackbone())
        found = [filming.shoot(errand).id for errand in reversed(filming.errands)]
        assert found[::-1] == expected
        assert [shot.take.id for shot in filming.film().shots] == expected


def test_a_film_holds_the_takes_that_are_there_and_names_those_that_are_not(tmp_path: Path) -> None:
    with TakeStore(tmp_path) as store:
        filming = filming_of(store, FakeBackbone())
        filming.shoot(filming.errands[0])
        film = filming.film()
    assert [shot.name for shot in film.shots] == ["dawn"]
    assert film.left_out == ("storm", "island", "home")


def test_every_denoising_step_is_shown_with_its_picture(tmp_path: Path) -> None:
    seen = []
    with TakeStore(tmp_path) as store:
        filming = filming_of(store, FakeBackbone(), on_step=lambda info: seen.append((info.index, info.latents.shape)))
        filming.shoot(filming.errands[0])
    assert [index for index, _ in seen] == [0, 1, 2]
    assert all(len(shape) == 5 for _, shape in seen)


def test_a_kept_take_stays_though_its_shot_changed_and_no_lock_is_left_behind(tmp_path: Path) -> None:
    with TakeStore(tmp_path) as store:
        filming = filming_of(store, FakeBackbone())
        takes = {errand.shot.name: filming.shoot(errand).id for errand in filming.errands}
        changed = {**STORY, "home": "a white gull sings", "dawn": "a yellow boat sinks"}
        filming = filming_of(store, FakeBackbone(), changed, keep={"home": takes["home"]})
        after = {errand.shot.name: filming.shoot(errand).id for errand in filming.errands}
        assert after["home"] == takes["home"] and after["dawn"] != takes["dawn"]
        assert store.locked() == {}


def clip(name: str, frames: int = 3, size: int = 4, level: float = 0.5) -> MadeClip:
    return MadeClip(name, f"prompt of {name}", torch.full((frames, 4, size, size), level))


def test_clips_made_one_by_one_become_a_film_that_is_decoded_once(tmp_path: Path) -> None:
    backbone = FakeBackbone()
    backbone.limits = lambda: type("Limits", (), {"fps": 8})()  # type: ignore[attr-defined]
    with TakeStore(tmp_path) as store:
        clips = [clip("one"), clip("two", frames=1, level=-0.5)]
        film = collect_film("by hand", clips, backbone, store)
        assert [(shot.name, shot.frames, shot.prompt) for shot in film.shots] == [
            ("one", 9, "prompt of one"),
            ("two", 1, "prompt of two"),
        ]
        assert len(list(read_pictures(film.shots[0].take.clip))) == 9
        again = collect_film("by hand", clips, backbone, store)
    assert [shot.take.id for shot in again.shots] == [shot.take.id for shot in film.shots]
    assert backbone.decoded == 2


def test_clips_of_two_sizes_are_refused_by_name(tmp_path: Path) -> None:
    backbone = FakeBackbone()
    backbone.limits = lambda: type("Limits", (), {"fps": 8})()  # type: ignore[attr-defined]
    with TakeStore(tmp_path) as store, pytest.raises(InputError, match="shot 'two': is 64x64; expected 32x32"):
        collect_film("by hand", [clip("one"), clip("two", size=8)], backbone, store)


def test_a_clip_of_the_same_inputs_is_made_once_and_any_other_input_makes_another(tmp_path: Path) -> None:
    backbone, adapter = FakeBackbone(), FakeAdapter()
    positive, other, negative = backbone.encode_text(["a red boat", "a green boat", ""])
    request = ClipRequest(seed=1, frames=9, width=32, height=32, steps=2)
    tokens = conditioning(adapter, HistoryTokens(torch.ones(2, 64)), backbone.device)  # type: ignore[arg-type]
    with TakeStore(tmp_path) as store:
        first = shoot_once(store, backbone, request, positive, negative)
        calls = backbone.denoised
        assert torch.equal(shoot_once(store, backbone, request, positive, negative), first)
        assert backbone.denoised == calls
        for changed in (
            lambda: shoot_once(store, backbone, replace(request, seed=2), positive, negative),
            lambda: shoot_once(store, backbone, request, other, negative),
            lambda: shoot_once(store, backbone, replace(request, steps=3), positive, negative),
            lambda: shoot_once(store, backbone, request, positive, negative, tokens, adapter="a"),
            lambda: shoot_once(store, backbone, request, positive, negative, tokens, adapter="b"),
        ):
            before = backbone.denoised
            changed()
            assert backbone.denoised > before
