"""Training a temporal adapter on stories: nothing else learns, and a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_models import build_model

from mpvg_core.backbone.load import load_backbone
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.temporal_adapter import PastFrames, TemporalAdapter, attached, new_temporal_adapter
from mpvg_core.training.temporal_adapter import (
    AdapterRecipe,
    StoryLesson,
    lesson_loss,
    story_past,
    train_temporal_adapter,
)
from mpvg_core.training.transitions import noise_up


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: build_model(root / kind, kind, channels=4) for kind in ("2b", "5b")}


@pytest.fixture(scope="module")
def backbones(models):
    return {kind: load_backbone(str(folder), device="cpu", dtype="float32") for kind, folder in models.items()}


@pytest.fixture
def backbone(backbones):
    return backbones["2b"]


def new_adapter(backbone) -> TemporalAdapter:
    torch.manual_seed(2)
    return new_temporal_adapter(backbone.transformer, inner=16, heads=2)


def lessons_of(backbone):
    """Stories of three shots; each place has a level of its own that only the past can tell."""
    embeds = backbone.encode_text(["Actor 1 is running on the snow."])[0].embeds.expand(4, -1, -1)

    def lessons(start: int):
        while True:
            generator = torch.Generator().manual_seed(100 + start)
            levels = torch.randn(2, 1, 1, 1, 4, 4, generator=generator).repeat_interleave(2, 4).repeat_interleave(2, 5)
            clips = levels.expand(2, 3, 5, 4, 8, 8)
            yield StoryLesson(clips[:, 1:].flatten(0, 1), embeds, story_past(clips, 2))
            start += 1

    return lessons


def train(folder: Path, backbone, lessons=None, report=lambda _: None, **changes) -> TemporalAdapter:
    recipe = AdapterRecipe(**{"steps": 4, "save_every": 2} | changes)
    empty = backbone.encode_text([""])[0].embeds
    lessons = lessons or lessons_of(backbone)
    return train_temporal_adapter(folder, backbone, new_adapter(backbone), lessons, empty, recipe, report=report)


def weights(module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(some, others) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_the_adapter_learns_what_only_the_past_can_tell(backbone, tmp_path) -> None:
    adapter = train(tmp_path, backbone, steps=40, lr=5e-3)
    lesson = next(lessons_of(backbone)(500))
    noised = noise_up(lesson.latents, backbone.new_scheduler().alphas_cumprod.float(), torch.Generator().manual_seed(1))
    seen = lesson.past
    other = PastFrames(seen.latents.roll(2, dims=0), seen.frames, seen.ages, seen.mask)  # the other story's
    losses = []
    for past in (seen, other, None):
        with torch.no_grad(), attached(backbone.transformer, adapter, past):
            losses.append(float(lesson_loss(backbone, noised, lesson.embeds).mean()))
    own, anothers, none = losses
    assert own < 0.95 * none
    assert own < 0.95 * anothers


@pytest.mark.parametrize("kind", ["2b", "5b"])
def test_nothing_but_the_adapter_learns(backbones, tmp_path, kind) -> None:
    backbone = backbones[kind]
    before, start = weights(backbone.transformer), weights(new_adapter(backbone))
    adapter = train(tmp_path, backbone)
    assert same(weights(backbone.transformer), before)
    assert all(p.grad is None and p.requires_grad for p in backbone.transformer.parameters())
    assert sum(not torch.equal(a, b) for a, b in zip(weights(adapter), start, strict=True)) > len(start) / 2
    assert adapter.trained["steps"] == 4


def test_a_stopped_run_ends_bit_for_bit_where_an_undisturbed_one_does(backbone, tmp_path) -> None:
    def stopping(start: int):
        for number, lesson in enumerate(lessons_of(backbone)(start)):
            if start + number == 3:
                raise KeyboardInterrupt
            yield lesson

    whole = train(tmp_path / "whole", backbone)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", backbone, stopping)
    assert all(parameter.requires_grad for parameter in backbone.transformer.parameters())
    assert same(weights(train(tmp_path / "stopped", backbone)), weights(whole))
    log = [json.loads(line)["step"] for line in (tmp_path / "stopped" / "log.jsonl").read_text("utf-8").splitlines()]
    assert log == [0, 3]
    with pytest.raises(InputError, match="4 steps already"):
        train(tmp_path / "stopped", backbone, steps=3)


def test_a_part_of_the_frames_is_enough_for_a_step_where_places_are_added_once(backbones, tmp_path) -> None:
    adapter = train(tmp_path / "2b", backbones["2b"], frames=3)
    assert not same(weights(adapter), weights(train(tmp_path / "all", backbones["2b"])))
    with pytest.raises(InputError, match="rotary"):
        train(tmp_path / "5b", backbones["5b"], frames=3)


def test_the_loss_of_some_frames_is_that_of_these_frames_alone(backbone) -> None:
    lesson = next(lessons_of(backbone)(0))
    noised = noise_up(lesson.latents, backbone.new_scheduler().alphas_cumprod.float(), torch.Generator().manual_seed(1))
    emphasis = torch.zeros(4, 5, 1, 8, 8)
    emphasis[:, 1] = 7.0
    with torch.no_grad():
        plain, weighed = (lesson_loss(backbone, noised, lesson.embeds, more, [0, 2, 4]) for more in (None, emphasis))
        assert torch.equal(plain, weighed)
        everything = lesson_loss(backbone, noised, lesson.embeds, None, range(5))
        assert torch.allclose(everything, lesson_loss(backbone, noised, lesson.embeds), rtol=1e-4)
        assert (lesson_loss(backbone, noised, lesson.embeds, emphasis) > everything).all()


def test_each_shot_sees_the_shots_before_it_and_knows_how_long_ago_they_were() -> None:
    clips = torch.arange(2 * 4 * 5).view(2, 4, 5, 1, 1, 1).float()
    past = story_past(clips, 2)
    assert past.latents.shape == (6, 6, 1, 1, 1)
    for row in range(6):
        story, shots = row // 3, row % 3 + 1
        seen = past.latents[row].flatten()[past.mask[row]]
        assert seen.tolist() == clips[story, :shots, [1, 3]].flatten().tolist()
        assert past.ages[row][past.mask[row]].tolist() == [age for age in range(shots, 0, -1) for _ in range(2)]
    assert past.frames.tolist() == [1, 3] * 3


def test_a_loss_that_is_no_number_stops_the_run_before_it_spoils_a_checkpoint(backbone, tmp_path) -> None:
    lesson = next(lessons_of(backbone)(0))
    broken = StoryLesson(lesson.latents * float("nan"), lesson.embeds, lesson.past)
    with pytest.raises(MPVGError, match="loss is nan in step 1"):
        train(tmp_path, backbone, lambda _: iter([broken]), save_every=1)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_every_wrong_number_of_a_recipe_is_named() -> None:
    with pytest.raises(InputError) as caught:
        AdapterRecipe(steps=0, lr=-1.0, decay=1.0, frames=-1)
    assert {problem.where for problem in caught.value.problems} == {"--steps", "--lr", "--decay", "--frames"}
