"""Post-training on clips with a cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import build_model

from mpvg_core.backbone.load import load_backbone
from mpvg_core.backbone.text import load_text_encoder
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.training.transitions import (
    FrozenPrompts,
    LearningPrompts,
    Recipe,
    _scene_of_video,
    noise_up,
    train_transitions,
)

ONE, TWO = "Actor 1 is running on the snow.", "Previous scene: Actor 1 running; then next scene: Actor 1 dancing"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: build_model(root / kind, kind, channels=4) for kind in ("2b", "5b")}


@pytest.fixture
def backbone(models):
    return load_backbone(str(models["2b"]), device="cpu", dtype="float32")


def batches(start: int):
    """One scene: a flat clip; two: one that changes sign in the middle. The n-th batch is always the same."""
    while True:
        level = torch.randn(4, 1, 1, 1, 1, generator=torch.Generator().manual_seed(start)).expand(4, 5, 4, 8, 8).clone()
        level[2:, 3:] *= -1
        yield {"latents": level, "prompts": [ONE, ONE, TWO, TWO]}
        start += 1


def frozen(backbone) -> FrozenPrompts:
    return FrozenPrompts.read(backbone, [ONE, TWO])


def train(folder: Path, backbone, prompts=None, **changes):
    recipe = Recipe(**{"steps": 3, "lr": 1e-3, "batch": 4, "save_every": 2} | changes)
    return train_transitions(folder, backbone, prompts or frozen(backbone), batches, recipe)


def weights(module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(some, others) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_noise_up_gives_v_and_the_clip_back() -> None:
    signals = torch.linspace(0.999, 0.0, 1000)
    latents = torch.randn(6, 5, 4, 8, 8)
    noised = noise_up(latents, signals, torch.Generator().manual_seed(1))
    a, s = (part.sqrt().view(-1, 1, 1, 1, 1) for part in (noised.signal, 1 - noised.signal))
    assert torch.allclose(a * noised.noisy - s * noised.target, latents, atol=1e-5)
    assert sorted((noised.timesteps * 6 // 1000).tolist()) == [0, 1, 2, 3, 4, 5]  # one in each sixth of the schedule


def test_training_brings_the_loss_down(models, tmp_path) -> None:
    losses = []
    backbone = load_backbone(str(models["2b"]), device="cpu", dtype="float32")
    recipe = Recipe(steps=40, lr=5e-3, batch=4)
    train_transitions(tmp_path, backbone, frozen(backbone), batches, recipe, report=lambda now: losses.append(now.loss))
    assert len(losses) == 40
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", ["2b", "5b"])
def test_a_killed_run_ends_where_an_undisturbed_one_does(models, tmp_path, kind) -> None:
    def new():
        return load_backbone(str(models[kind]), device="cpu", dtype="float32")

    whole = train(tmp_path / "whole", new(), steps=4)
    train(tmp_path / "killed", new(), steps=2)
    resumed = train(tmp_path / "killed", new(), steps=4)
    assert same(weights(whole["transformer"]), weights(resumed["transformer"]))
    log = [json.loads(line) for line in (tmp_path / "killed" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in log] == [0, 1, 3]


def test_parts_of_a_batch_computed_one_by_one_teach_what_the_batch_does(models, tmp_path) -> None:
    def after(folder: str, **changes):
        backbone = load_backbone(str(models["2b"]), device="cpu", dtype="float32")
        return weights(train(tmp_path / folder, backbone, steps=1, **changes)["transformer"])

    start = weights(load_backbone(str(models["2b"]), device="cpu", dtype="float32").transformer)
    together, apart = after("together"), after("apart", at_once=1)
    moved = sum(float((a - b).abs().sum()) for a, b in zip(together, start, strict=True))
    differ = sum(float((a - b).abs().sum()) for a, b in zip(together, apart, strict=True))
    assert differ < 0.2 * moved  # bfloat16 rounds them differently, and Adam's first step is a sign


def test_frozen_prompts_leave_the_text_encoder_alone_and_learning_ones_train_it(backbone, tmp_path) -> None:
    assert set(train(tmp_path / "frozen", backbone)) == {"transformer"}
    encoder = load_text_encoder(backbone.folder)
    before = weights(encoder)
    words = backbone.folder.words()
    trained = train(
        tmp_path / "learning", backbone, LearningPrompts(encoder, lambda prompt: padded(words.ids(prompt)), 16)
    )
    assert set(trained) == {"transformer", "text_encoder"}
    assert not same(before, weights(trained["text_encoder"]))


def test_a_learning_text_encoder_comes_to_know_which_scene_a_word_speaks_of(backbone, tmp_path) -> None:
    encoder = load_text_encoder(backbone.folder)
    words = backbone.folder.words()
    prompts = LearningPrompts(encoder, lambda prompt: padded(words.ids(prompt)), 16)
    scenes = torch.full((4, 40), -1)
    scenes[:2, :9] = 2
    scenes[2:, 3:7], scenes[2:, 12:16] = 0, 1

    def told(start: int):
        for batch in batches(start):
            yield batch | {"scenes": scenes, "cuts": torch.tensor([0, 0, 3, 3])}

    start = prompts.binding(prompts([ONE, ONE, TWO, TWO]), scenes)
    train_transitions(tmp_path, backbone, prompts, told, Recipe(steps=30, lr=1e-2, batch=4))
    assert float(start.detach()) == pytest.approx(np.log(3), abs=1e-4)  # it begins by knowing nothing
    assert float(prompts.binding(prompts([ONE, ONE, TWO, TWO]), scenes).detach()) < 0.75
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert log[-1]["attending"] < log[0]["attending"]  # and the picture comes to look at the words of its own scene
    assert float(prompts.binding(prompts([""]), torch.full((1, 40), -1)).detach()) == 0


def test_frames_before_a_cut_show_the_first_scene_and_those_from_it_on_the_second() -> None:
    shown = _scene_of_video(torch.tensor([0, 3]), (2, 5, 4, 8, 8), 2)
    assert shown.shape == (2, 5 * 16)
    assert shown[0].tolist() == [2] * 80
    assert shown[1].tolist() == [0] * 48 + [1] * 32


def padded(ids: list[int]) -> torch.Tensor:
    return torch.tensor(ids + [0] * (40 - len(ids)))


def test_only_what_asks_for_a_gradient_is_trained_and_kept(backbone, tmp_path) -> None:
    for name, parameter in backbone.transformer.named_parameters():
        parameter.requires_grad_(".attn1." in name)
    before = {name: p.detach().clone() for name, p in backbone.transformer.named_parameters()}
    after = dict(train(tmp_path, backbone)["transformer"].named_parameters())
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert all(".attn1." in name for name in changed)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]["transformer"]
    assert all("/attn1/" in name for name in kept)


def test_a_step_may_compute_some_latent_frames_alone(backbone, models, tmp_path) -> None:
    before = weights(backbone.transformer)
    assert not same(before, weights(train(tmp_path / "some", backbone, frames=3)["transformer"]))
    rotary = load_backbone(str(models["5b"]), device="cpu", dtype="float32")
    with pytest.raises(InputError, match="rotary"):
        train(tmp_path / "rotary", rotary, frames=3)


def test_a_run_is_not_shortened_afterwards(backbone, tmp_path) -> None:
    train(tmp_path, backbone, steps=3)
    with pytest.raises(InputError, match="3 steps already"):
        train(tmp_path, backbone, steps=2)


def test_a_model_that_does_not_predict_v_is_refused(tmp_path) -> None:
    folder = build_model(tmp_path / "eps", channels=4, prediction="epsilon")
    with pytest.raises(InputError, match="v_prediction"):
        train(tmp_path / "run", load_backbone(str(folder), device="cpu", dtype="float32"))


def test_a_loss_that_is_no_number_stops_the_run_before_it_spoils_a_checkpoint(backbone, tmp_path) -> None:
    broken = FrozenPrompts({prompt: value * float("nan") for prompt, value in frozen(backbone).embeds.items()})
    with pytest.raises(MPVGError, match="loss is nan in step 1"):
        train(tmp_path, backbone, broken, save_every=1)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_every_wrong_number_of_a_recipe_is_named() -> None:
    with pytest.raises(InputError) as caught:
        Recipe(steps=0, lr=-1.0, batch=0, gamma=0.0, decay=1.0, weighting="none")
    assert {problem.where for problem in caught.value.problems} == {
        "--steps", "--lr", "--batch", "--gamma", "--decay", "--weighting",
    }  # fmt: skip
