"""What a shot made by hand gives its methods: clips and masks in place of files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_film import FakeBackbone

from mpvg_core.errors import InputError
from mpvg_core.film.techniques import Asked, ways_of
from mpvg_core.storyboard.method import Method
from mpvg_core.storyboard.plan import PlacedBox


def asked(frames_given: int, **given) -> Asked:
    backbone = FakeBackbone()
    backbone.encode_clip = lambda frames: torch.full(((len(frames) - 1) // 4 + 1, 4, 8, 8), float(frames.mean()))
    [text] = backbone.encode_text(["a red boat"])
    settings = {"video": "the clip", **({"mask": "the mask"} if given else {})}
    clip = np.full((frames_given, 32, 96, 3), 80, np.uint8)
    method = Method.model_validate({"edit": settings})
    return Asked(backbone, method, "the shot", text, 1, 9, 64, 64, 8, clips={"the clip": clip}, **given)


def test_noise_moves_by_a_path_or_by_every_box_of_the_layout() -> None:
    bare = replace(asked(9), clips={})

    def ways(settings: object, layout: tuple[PlacedBox, ...] = ()) -> list[str]:
        method = Method.model_validate({"moving_noise": settings})
        return [technique.name for technique in ways_of(replace(bare, method=method, layout=layout)).techniques]

    boxes = tuple(PlacedBox(who, who, (0.0, 0.0, 0.5, 0.5), at) for who in ("boat", "gull") for at in (0.0, 1.0))
    assert ways([[0, 0], [16, 0]], boxes) == ["moving noise"]
    assert ways(True, boxes) == ["moving noise"] * 2
    with pytest.raises(InputError, match="the shot: moving_noise: there is neither a path nor a box"):
        ways(True)


def test_of_a_clip_given_by_hand_as_much_is_taken_as_the_shot_has() -> None:
    assert [technique.name for technique in ways_of(asked(30)).techniques] == ["video to video"]


def test_a_clip_given_by_hand_that_is_too_short_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"the shot: edit: the clip gives 8 frames at 8 a second; expected 9"):
        ways_of(asked(8))


@pytest.mark.parametrize("count", [1, 9, 12])
def test_a_mask_given_by_hand_holds_for_the_whole_clip_or_frame_by_frame(count: int) -> None:
    mask = np.zeros((count, 64, 64), bool)
    mask[:, :, 32:] = True
    ways = ways_of(asked(9, masks={"the mask": mask}))
    assert len(ways.techniques) == 2
    assert ways.finish is not None
    made = next(ways.finish(iter([np.full((9, 64, 64, 3), 200, np.uint8)])))
    assert (made[:, :, :32] == 80).all() and (made[:, :, 32:] == 200).all()


def test_a_mask_of_another_length_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"the shot: mask: it has 5 frames; expected 9"):
        ways_of(asked(9, masks={"the mask": np.ones((5, 64, 64), bool)}))
