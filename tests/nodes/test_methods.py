"""The nodes for other ways to make a shot: what they chain, and what they refuse."""

from __future__ import annotations

import importlib
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import standin
import torch

from mpvg_core.pocket import swaying


def given(nodes: dict[str, Any], name: str, **inputs: Any) -> Any:
    """What a node of this name puts on its output."""
    return nodes[f"MPVG_{name}"].execute(**inputs).args[0]


def asked_of(methods: Any, frames: int = 17) -> Any:
    """The shot that the sampler would be asked for with these methods, of a model at 8 frames a second."""
    nodes = sys.modules[f"{standin.PACK}.nodes.asked"]
    model = SimpleNamespace(backbone=SimpleNamespace(limits=lambda: SimpleNamespace(fps=8)))
    request = SimpleNamespace(seed=1, frames=frames, width=64, height=64)
    return nodes.asked_of(methods, model, SimpleNamespace(text=None), request)


def box(nodes: dict[str, Any], words: str, left: float, **more: Any) -> Any:
    moves = {"end_left": 0.0, "end_top": 0.5, "moves": False, **more}
    return given(nodes, "PlaceInBox", words=words, left=left, top=0, width=0.5, height=0.5, strength=1, end=1, **moves)


def test_methods_are_chained_and_the_last_of_one_kind_counts(nodes: dict[str, Any]) -> None:
    first = given(nodes, "SharedNoise", seed=7, strength=0.5)
    second = given(nodes, "Windows", overlap=0, weights="flat", freenoise=False, methods=first)
    chosen = asked_of(given(nodes, "SharedNoise", seed=8, strength=0.25, methods=second)).method.chosen
    assert list(chosen) == ["windows", "shared_noise"]
    assert chosen["shared_noise"].strength == 0.25 and chosen["shared_noise"].shot == "seed 8"
    assert chosen["windows"].overlap is None, "0 is a third of a window"


def test_boxes_add_up_and_a_word_that_is_placed_again_moves(nodes: dict[str, Any]) -> None:
    star = box(nodes, "a red star", 0.0, moves=True)
    both = box(nodes, " a blue square ", 0.5, methods=star)
    again = box(nodes, "a red star", 0.25, methods=both)
    assert [(line.words, line.box[:2], line.at) for line in asked_of(both).layout] == [
        ("a red star", (0.0, 0), 0.0),
        ("a red star", (0.0, 0.5), 1.0),
        ("a blue square", (0.5, 0), 0.0),
    ]
    assert [(line.words, line.box[0]) for line in again.layout] == [("a blue square", 0.5), ("a red star", 0.25)]


def test_a_box_of_nobody_is_refused(nodes: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="words: is empty; expected who or what is placed"):
        box(nodes, "  ", 0.0)


def test_a_shot_with_neither_a_first_nor_a_last_picture_is_refused(nodes: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="ends: ends names no picture"):
        asked_of(given(nodes, "StartAndEnd", strength=1.0))


def test_a_video_is_edited_at_the_models_rate_and_pictures_one_by_one(nodes: dict[str, Any]) -> None:
    pictures = torch.linspace(0, 1, 60)[:, None, None, None].expand(60, 8, 8, 3)
    video = standin.VideoFromComponents(SimpleNamespace(images=pictures, frame_rate=24))
    of_video, of_pictures = (
        asked_of(given(nodes, "EditClip", clip=clip, strength=0.5, by="noise")).clips["the clip"]
        for clip in (video, pictures)
    )
    assert of_video[:, 0, 0, 0].tolist() == [round(255 * 3 * i / 59) for i in range(17)]
    assert of_pictures[:, 0, 0, 0].tolist() == [round(255 * i / 59) for i in range(17)]


def test_whatever_is_given_by_hand_makes_another_shot_of_it(nodes: dict[str, Any]) -> None:
    white, black = torch.ones(1, 8, 8, 3), torch.zeros(1, 8, 8, 3)
    made = [
        given(nodes, "StartAndEnd", start=white, strength=1.0),
        given(nodes, "StartAndEnd", start=black, strength=1.0),
        given(nodes, "StartAndEnd", end=white, strength=1.0),
        given(nodes, "EditClip", clip=white, strength=1.0, by="noise"),
        given(nodes, "EditClip", clip=white, strength=1.0, by="noise", mask=white[..., 0]),
        given(nodes, "EditClip", clip=white, strength=1.0, by="noise", mask=black[..., 0]),
        box(nodes, "a star", 0.0),
        box(nodes, "a star", 0.5),
    ]
    assert len({methods.fingerprint() for methods in made}) == len(made)
    assert made[0].fingerprint() == given(nodes, "StartAndEnd", start=white.clone(), strength=1.0).fingerprint()


def test_an_earlier_shot_goes_by_its_name_or_number_and_another_is_refused(nodes: dict[str, Any]) -> None:
    backbone = SimpleNamespace(fingerprint="f", device=torch.device("cpu"), dtype=torch.float32, name="toy")
    clips = tuple(SimpleNamespace(name=name, latent=torch.zeros(1)) for name in ("dawn", "storm"))
    past = SimpleNamespace(shots=tuple(SimpleNamespace(text=SimpleNamespace(ids=torch.ones(1))) for _ in clips))
    history = SimpleNamespace(model="f", clips=clips, past=past)

    def of(shot: str) -> Any:
        inputs = {"model": SimpleNamespace(backbone=backbone), "history": history, "shot": shot, "strength": 0.5}
        look = {"words": "", "noise": 0.0, "start": 0.0, "end": 1.0, "seed": 3}
        return asked_of(given(nodes, "KeepLook", **inputs, **look))

    assert [of(shot).method.keep_look.shot for shot in ("", "storm", "2", " dawn ")] == [
        "dawn",
        "storm",
        "storm",
        "dawn",
    ]
    assert of("2").seeds == {"storm": 3}
    with pytest.raises(Exception, match="shot: 'night' is not in the history; expected one of 'dawn', 'storm'"):
        of("night")


def test_two_earlier_shots_of_one_name_are_refused_and_one_shot_may_serve_twice(nodes: dict[str, Any]) -> None:
    backbone = SimpleNamespace(fingerprint="f", device=torch.device("cpu"), dtype=torch.float32, name="toy")

    def history(shade: float) -> Any:
        past = SimpleNamespace(shots=(SimpleNamespace(text=SimpleNamespace(ids=torch.ones(1))),))
        clips = (SimpleNamespace(name="shot 1", latent=torch.full((1,), shade)),)
        return SimpleNamespace(model="f", clips=clips, past=past)

    def both(first: float, second: float) -> Any:
        common = {"model": SimpleNamespace(backbone=backbone), "shot": "", "strength": 0.5, "end": 1.0}
        look = {"words": "", "noise": 0.0, "start": 0.0, "seed": 3, "history": history(first)}
        box = {"left": 0.2, "top": 0.2, "width": 0.5, "height": 0.5, "history": history(second)}
        return given(nodes, "SameBackground", **common, **box, methods=given(nodes, "KeepLook", **common, **look))

    assert list(both(1.0, 1.0).shots) == ["shot 1"]
    common = {"model": SimpleNamespace(backbone=backbone), "shot": "", "strength": 0.5, "end": 1.0}
    box = {"left": 0.2, "top": 0.2, "width": 0.5, "height": 0.5}
    first = given(nodes, "SameBackground", **common, **box, history=history(1.0))
    again = given(nodes, "SameBackground", **common, **box, history=history(2.0), methods=first)
    assert again.shots["shot 1"].latents.item() == 2.0  # takes the place of the first
    with pytest.raises(Exception, match="shot 'shot 1': methods build on two earlier shots of this name"):
        both(1.0, 2.0)


def model_with(companions: dict[str, Path] | None = None, adapter: Any = None) -> Any:
    """A model on the CPU that brings these files of its own."""
    backbone = SimpleNamespace(
        fingerprint="f",
        name="toy",
        device=torch.device("cpu"),
        dtype=torch.float32,
        companion=(companions or {}).get,
        transformer=None,
    )
    return SimpleNamespace(backbone=backbone, adapter=adapter, resident=None)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, nodes: dict[str, Any], tmp_path: Path) -> Path:
    """The folder models/mpvg, with three files in it."""
    for name in ("mine", "yours", "my  own"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    monkeypatch.setattr(sys.modules[f"{standin.PACK}.nodes.folders"], "_roots", lambda kind: [tmp_path])
    return tmp_path


def controlled(nodes: dict[str, Any], model: Any, adapter: str, **more: Any) -> Any:
    settings = {"strength": 0.5, "scale": 2.0, "end": 0.6, "edges": True, **more}
    return given(nodes, "ControlClip", model=model, adapter=adapter, **settings)


def test_a_control_clip_goes_with_the_models_own_adapter_or_a_file_or_none(nodes: dict[str, Any], files: Path) -> None:
    own = model_with({"control_adapter.safetensors": files / "mine.safetensors"})
    clip = torch.ones(20, 8, 8, 3)
    found = {}
    for adapter in ("the model's own", "yours.safetensors", "none"):
        asked = asked_of(controlled(nodes, own, adapter, clip=clip))
        assert asked.clips["the control clip"].shape == (17, 8, 8, 3), "a longer clip is cut"
        control = asked.method.control
        assert (control.strength, control.scale, control.interval, control.edges) == (0.5, 2.0, (0.0, 0.6), True)
        file = control.adapter_file
        found[adapter] = None if file is None else asked.files[file].name
    assert found == {
        "the model's own": "mine.safetensors",
        "yours.safetensors": "yours.safetensors",
        "none": None,
    }


def test_an_adapter_that_the_model_does_not_bring_is_refused(nodes: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"adapter: the model brings none of its own.*choose a file under models/mpvg"):
        controlled(nodes, model_with(), "the model's own")


def test_control_with_neither_a_clip_nor_a_box_is_refused(nodes: dict[str, Any]) -> None:
    ways_of = importlib.import_module(f"{standin.PACK}.mpvg_core.film.techniques").ways_of
    with pytest.raises(Exception, match="the shot: control: there is neither a clip to follow nor a box"):
        ways_of(asked_of(controlled(nodes, model_with(), "none")))


def test_a_control_clip_that_is_too_short_is_refused_as_one(nodes: dict[str, Any]) -> None:
    ways_of = importlib.import_module(f"{standin.PACK}.mpvg_core.film.techniques").ways_of
    with pytest.raises(
        Exception, match="the shot: control: the control clip gives 9 frames at 8 a second; expected 17"
    ):
        ways_of(asked_of(controlled(nodes, model_with(), "none", clip=torch.ones(9, 8, 8, 3))))


def test_all_earlier_shots_are_in_view_with_their_ages(nodes: dict[str, Any], files: Path) -> None:
    clips = tuple(SimpleNamespace(name=name, latent=torch.full((1,), age)) for name, age in (("dawn", 2), ("storm", 1)))
    past = tuple(SimpleNamespace(text=SimpleNamespace(ids=torch.ones(1))) for _ in clips)
    history = SimpleNamespace(model="f", clips=clips, past=past)
    inputs = {"history": history, "adapter": "mine.safetensors", "strength": 0.7, "end": 1.0}
    asked = asked_of(given(nodes, "EarlierShotsInView", model=model_with(), **inputs))
    seen = [(name, asked.shots[name].latents.item()) for name in asked.past]
    assert seen == [("dawn, 2 ago", 2.0), ("storm, 1 ago", 1.0)] and asked.ages == (2, 1)
    assert asked.files[asked.method.cross_shot.adapter_file].name == "mine.safetensors"
    history.model = "g"
    with pytest.raises(Exception, match="history: was made by another model"):
        given(nodes, "EarlierShotsInView", model=model_with(), **inputs)


def test_a_tuning_is_known_by_what_is_in_its_file_and_none_leaves_the_methods_alone(
    nodes: dict[str, Any], files: Path
) -> None:
    def tuned(tuning: str, **more: Any) -> Any:
        return given(nodes, "OneShotMotion", tuning=tuning, strength=0.5, **more)

    windows = given(nodes, "Windows", overlap=0, weights="flat", freenoise=False)
    assert tuned("none", methods=windows) is windows
    asked = asked_of(tuned("my  own.safetensors", methods=windows))
    assert asked.files[asked.method.one_shot.tuning].name == "my  own.safetensors"
    assert list(asked.method.chosen) == ["windows", "one_shot"]
    before = tuned("mine.safetensors").fingerprint()
    (files / "mine.safetensors").write_bytes(b"trained once more")
    assert tuned("mine.safetensors").fingerprint() != before
    with pytest.raises(Exception, match=r"adapter: 'gone.safetensors' is not there"):
        tuned("gone.safetensors")


def test_the_tuning_that_comes_with_the_pocket_can_be_chosen_as_it_is(
    nodes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = sys.modules[f"{standin.PACK}.nodes.folders"]
    monkeypatch.setattr(folders, "POCKET_FOLDER", tmp_path)
    tuning, *_ = folders.tuning_names()
    with pytest.raises(Exception, match=f"adapter: '{tuning}' is not there"):
        given(nodes, "OneShotMotion", tuning=tuning, strength=1.0)
    (tmp_path / swaying.FILE).write_bytes(b"a tuning")
    methods = given(nodes, "OneShotMotion", tuning=tuning, strength=1.0)
    assert [*methods.files.values()] == [tmp_path / swaying.FILE]


class RemembersShots:
    """An adapter whose history tokens are the numbers of the shots they are of, and how many shots ago each was."""

    injection = SimpleNamespace(history_dim=2)

    def history_tokens(self, history: Any, current: Any, selection: Any, ages: list[int]) -> Any:
        rows = [[float(shot.take_id), float(age)] for shot, age in zip(history, ages, strict=True)]
        return SimpleNamespace(tokens=torch.tensor(rows))


def test_what_is_remembered_is_split_by_shots_and_pulled_to_part_by_part(
    monkeypatch: pytest.MonkeyPatch, nodes: dict[str, Any]
) -> None:
    monkeypatch.setattr(sys.modules[f"{standin.PACK}.nodes.host"], "at_work", lambda *_: nullcontext())
    core = f"{standin.PACK}.mpvg_core.history"
    history, select = importlib.import_module(f"{core}.history"), importlib.import_module(f"{core}.select")
    shots = tuple(history.PastShot(f"shot {n}", None, None, str(n)) for n in (1, 2, 4))
    each = (torch.ones(1),) * 3
    selection = SimpleNamespace(
        prompt=SimpleNamespace(model="f", text=None),
        past=history.PromptHistory(shots),
        ages=(4, 3, 1),
        selection=select.TokenSelection(each, each, each, each),
    )
    windows = given(nodes, "Windows", overlap=0, weights="flat", freenoise=False)

    def parted(adapter: Any, chosen: Any) -> Any:
        figures = {"scale": 0.75, "shots_each": 2, "coarse": 0.0, "noise": 0.3, "pool": 2, "end": 0.5}
        model = model_with(adapter=adapter)
        return given(nodes, "HistoryParts", model=model, selection=chosen, methods=windows, **figures)

    made = parted(RemembersShots(), selection)
    assert {name: part.tokens[0].tolist() for name, part in made.parts.items()} == {
        "shot 2 + shot 4": [[2.0, 3.0], [4.0, 1.0]],
        "shot 1": [[1.0, 4.0]],
    }
    assert [(pull.toward, pull.scale, pull.interval) for pull in made.segments] == [
        ("shot 2 + shot 4", 0.75, (0.0, 0.5)),
        ("shot 1", 0.75, (0.0, 0.5)),
    ]
    assert list(asked_of(made).method.chosen) == ["windows", "history_parts"]
    selection.prompt.model = "g"
    with pytest.raises(Exception, match="selection: was made by another model"):
        parted(RemembersShots(), selection)


def test_where_nothing_is_remembered_history_parts_leave_the_methods_alone(nodes: dict[str, Any]) -> None:
    figures = {"scale": 0.5, "shots_each": 1, "coarse": 0.0, "noise": 0.3, "pool": 2, "end": 1.0}
    windows = given(nodes, "Windows", overlap=0, weights="flat", freenoise=False)
    prompt = SimpleNamespace(model="f", text=None)
    nothing = SimpleNamespace(prompt=prompt, past=(), ages=(), selection=None)
    something = SimpleNamespace(prompt=prompt, past=(), ages=(), selection=object())
    for model, selection in ((model_with(adapter=RemembersShots()), nothing), (model_with(), something)):
        assert given(nodes, "HistoryParts", model=model, selection=selection, methods=windows, **figures) is windows


@pytest.mark.parametrize(("latents", "windows"), [(5, 0), (11, 1)])
def test_clips_of_a_coarse_one_longer_than_the_models_are_made_in_windows_too(
    monkeypatch: pytest.MonkeyPatch, nodes: dict[str, Any], latents: int, windows: int
) -> None:
    host = sys.modules[f"{standin.PACK}.nodes.host"]
    for name in ("at_work", "reading", "Progress"):
        monkeypatch.setattr(host, name, lambda *_: nullcontext())
    monkeypatch.setattr(host, "video_of", lambda *_: None)
    seen = []

    def shoot(backbone: Any, request: Any, *_: Any, techniques: Any, **__: Any) -> torch.Tensor:
        seen.append([technique.name for technique in techniques])
        return torch.zeros(latents, 4, 2, 2)

    monkeypatch.setattr(importlib.import_module(f"{standin.PACK}.mpvg_core.film.shoot"), "shoot_clip", shoot)
    backbone = SimpleNamespace(
        **vars(model_with().backbone),
        spatial_compression=8,
        temporal_compression=4,
        latent_channels=4,
        from_stock=lambda samples: samples,
        limits=lambda: SimpleNamespace(fps=8, max_frames=17),
        encode_text=lambda texts: [SimpleNamespace()],
        encode_clip=lambda frames: torch.zeros(1 + (len(frames) - 1) // 4, 4, 2, 2),
        decode=lambda made: iter([np.zeros((1 + 4 * (len(made) - 1), 16, 16, 3), np.uint8)]),
    )
    defaults = SimpleNamespace(steps=2)
    model = SimpleNamespace(
        backbone=backbone, adapter=None, resident=None, defaults=defaults, noise_scheduler=lambda _: "ddim"
    )
    prompt = SimpleNamespace(model="f", text=None)
    how = {"seed": 1, "keys": 3, "depth": 1, "strength": 1.0, "steps": 2, "scheduler": "ddim"}
    latent = {"samples": torch.zeros(latents, 4, 2, 2)}
    guidance = SimpleNamespace()
    images = given(nodes, "CoarseToFine", model=model, prompt=prompt, latent=latent, guidance=guidance, **how)
    assert len(images) == 8 * (latents - 1) + 1
    assert len(seen) == 2 and all(names.count("co-denoised windows") == windows for names in seen)
