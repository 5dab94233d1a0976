"""The nodes for other ways to make a shot: what they chain, and what they refuse."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import standin
import torch


def given(nodes: dict[str, Any], name: str, **inputs: Any) -> Any:
    """What a node of this name puts on its output."""
    return nodes[f"MPVG_{name}"].execute(**inputs).args[0]


def asked_of(methods: Any, frames: int = 17) -> Any:
    """The shot that the sampler would be asked for with these methods, of a model at 8 frames a second."""
    nodes = sys.modules[f"{standin.PACK}.nodes.methods"]
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
