"""What a shot made by hand gives its methods: clips and masks in place of files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import CogVideoXDDIMScheduler
from fake_film import FakeBackbone

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.noise import shot_noise
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError
from mpvg_core.film import techniques
from mpvg_core.film.asked import Asked, Model
from mpvg_core.film.techniques import ways_of
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
    assert ways(True, boxes) == ["moving noise"]
    with pytest.raises(InputError, match="the shot: moving_noise: there is neither a path nor a box"):
        ways(True)


LONG = 41  # frames: 11 latent ones, three windows of the model's 5


def test_noise_moves_through_a_long_shot_after_its_windows_are_given_theirs() -> None:
    """FreeNoise shuffles frames: after the movement it would shuffle the way."""
    method = Method.model_validate({"moving_noise": [[0, 0], [32, 0]], "shared_noise": {"shot": "a"}})
    long = replace(asked(9), clips={}, method=method, frames=LONG, seeds={"a": 3})
    names = [technique.name for technique in ways_of(long).techniques]
    assert names == ["shared noise", "co-denoised windows", "FreeNoise", "moving noise"]


def test_a_long_clip_is_walked_back_window_by_window_and_can_be_stopped() -> None:
    method = Method.model_validate({"edit": {"video": "the clip", "by": "inversion", "strength": 0.5}})
    long = replace(asked(LONG), method=method, frames=LONG)
    backbone, seen, asked_to_stop = long.backbone, [], []
    backbone.denoise = lambda latents, timestep, embeds, branch: seen.append(latents.shape[1]) or latents * 0.2
    guided = Guided(
        backbone,
        long.text.embeds[None],
        None,
        None,
        HistoryGuidance(1.0, 0.0),
        interrupt=lambda: asked_to_stop.append(len(seen)),
    )
    [begins] = [technique for technique in ways_of(long).techniques if technique.start is not None]
    stepper = Stepper(CogVideoXDDIMScheduler(prediction_type="v_prediction"), 4)
    start = begins.start(torch.randn(1, 11, 4, 8, 8), stepper, guided)
    assert start.index == 2 and start.latents.shape == (1, 11, 4, 8, 8)
    assert seen == [5] * 6 and asked_to_stop == [*range(6)]  # two steps of three windows


@pytest.mark.parametrize(("earlier", "later"), [(9, 17), (17, 9), (LONG, LONG)])
def test_a_look_is_kept_with_the_noise_of_a_shot_of_another_length(
    monkeypatch: pytest.MonkeyPatch, earlier: int, later: int
) -> None:
    """The shot's own noise, drawn frame by frame from its seed, whatever of it the earlier shot had."""
    monkeypatch.setattr(techniques, "look_tokens", lambda *_: torch.tensor([0]))
    method = Method.model_validate({"keep_look": {"shot": "a", "noise": 0.5, "words": "boat"}})
    long = replace(asked(9), clips={}, method=method, frames=later, seeds={"a": 3})
    latents = torch.zeros((earlier - 1) // 4 + 1, 4, 8, 8)
    long = replace(long, shots={"a": Model("a", long.text, latents)})
    own = torch.zeros(long.shape)
    [mixes] = [technique for technique in ways_of(long).techniques if technique.name == "shared noise"]
    shared = shot_noise(3, long.shape, torch.device("cpu"), torch.float32)
    assert torch.allclose(mixes.noise(own), 0.5**0.5 * shared)


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
