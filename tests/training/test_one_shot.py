"""One-shot tuning: what learns, what stays as it was, and that a stopped run goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import build_model

from mpvg_core.backbone.load import load_backbone
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.one_shot import Tuning, tuned
from mpvg_core.training.one_shot import TuningRecipe, lora_layers, tune_one_shot

pytest.importorskip("peft", reason="pip install 'mpvg[tuning]'")

PROMPT = "Actor 1 is running on the snow."


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


@pytest.fixture(scope="module")
def windows() -> torch.Tensor:
    """Two windows: flat clips that change their level."""
    level = torch.linspace(-1.5, 1.5, 5).view(1, 5, 1, 1, 1).expand(2, 5, 4, 8, 8).clone()
    level[1] *= -1
    return level


def train(folder: Path, backbone, windows, report=lambda _: None, **changes) -> Tuning:
    recipe = TuningRecipe(**{"steps": 4, "lr": 1e-2, "batch": 2, "rank": 4, "save_every": 2} | changes)
    return tune_one_shot(folder, backbone, PROMPT, windows, recipe, report=report)


def numbers(tuning: Tuning) -> list[torch.Tensor]:
    return [tuning.token, *(part for layer in tuning.layers.values() for part in (layer.down, layer.up))]


def call(backbone) -> torch.Tensor:
    noise = torch.randn(1, 5, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    embeds = backbone.encode_text([PROMPT])[0].embeds[None]
    with torch.no_grad():
        return backbone.denoise(noise, torch.tensor([700]), embeds, branch="test")


def test_the_loss_falls_on_a_toy_of_two_windows(backbone, windows, tmp_path) -> None:
    losses: list[float] = []
    tuning = train(tmp_path, backbone, windows, lambda now: losses.append(now.loss), steps=40, batch=4, lr=2e-2)
    assert len(losses) == 40
    assert losses[-1] < 0.9 * losses[0]
    assert tuning.trained["windows"] == 2
    assert tuning.trained["prompt"] == PROMPT


@pytest.mark.parametrize("kind", ["2b", "5b"])
def test_the_model_is_as_it_was_before_bit_for_bit(backbones, windows, tmp_path, kind) -> None:
    backbone, transformer = backbones[kind], backbones[kind].transformer
    state, plain = {name: value.clone() for name, value in transformer.state_dict().items()}, call(backbone)
    modules, attributes = {name: id(m) for name, m in transformer.named_modules()}, set(vars(transformer))
    tuning = train(tmp_path, backbone, windows, recompute=True)
    assert {name: id(m) for name, m in transformer.named_modules()} == modules
    assert set(vars(transformer)) == attributes
    assert all(parameter.requires_grad for parameter in transformer.parameters())
    assert not transformer.is_gradient_checkpointing
    assert all(torch.equal(value, state[name]) for name, value in transformer.state_dict().items())
    assert torch.equal(call(backbone), plain)
    with tuned(transformer, tuning):
        assert not torch.equal(call(backbone), plain)


def test_nothing_but_the_chosen_projections_and_the_token_learns(backbone, windows, tmp_path) -> None:
    recipe = TuningRecipe(rank=4, projections=("to_q", "to_v"))
    with lora_layers(backbone.transformer, recipe):
        learning = [name for name, parameter in backbone.transformer.named_parameters() if parameter.requires_grad]
        assert len(learning) == 2 * 2 * 2
        assert all(".attn1.to_q.lora_" in name or ".attn1.to_v.lora_" in name for name in learning)
    tuning = train(tmp_path, backbone, windows, projections=("to_q", "to_v"))
    assert sorted(tuning.layers) == [
        f"transformer_blocks.{b}.attn1.{name}" for b in (0, 1) for name in ("to_q", "to_v")
    ]
    assert all(layer.up.abs().max() > 0 and len(layer.down) == 4 for layer in tuning.layers.values())
    stood = backbone.encode_text([PROMPT])[0].embeds[-1:]
    assert tuning.token.shape == stood.shape
    assert not torch.equal(tuning.token, stood)


def test_training_begins_at_the_stock_model(backbone, windows) -> None:
    plain = call(backbone)
    with lora_layers(backbone.transformer, TuningRecipe(rank=4)):
        assert torch.equal(call(backbone), plain)


def test_what_is_applied_is_what_was_trained_bit_for_bit(backbone, windows) -> None:
    from mpvg_core.methods.one_shot import LowRank

    recipe, pairs = TuningRecipe(rank=4), {}
    with lora_layers(backbone.transformer, recipe):
        for name, module in backbone.transformer.named_modules():
            if hasattr(module, "lora_A"):
                down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
                torch.nn.init.normal_(up, std=0.1)
                pairs[name] = LowRank(down.detach().clone(), up.detach().clone())
        trained = call(backbone)
    with tuned(backbone.transformer, Tuning(pairs, torch.zeros(0, backbone.text_width))):
        assert torch.equal(call(backbone), trained)


@pytest.mark.parametrize("kind", ["2b", "5b"])
def test_a_stopped_run_ends_bit_for_bit_where_an_undisturbed_one_does(backbones, windows, tmp_path, kind) -> None:
    whole = train(tmp_path / "whole", backbones[kind], windows)
    train(tmp_path / "stopped", backbones[kind], windows, steps=2)
    resumed = train(tmp_path / "stopped", backbones[kind], windows)
    assert all(torch.equal(a, b) for a, b in zip(numbers(whole), numbers(resumed), strict=True))
    log = [json.loads(line) for line in (tmp_path / "stopped" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in log] == [0, 1, 3]
    with pytest.raises(InputError, match="4 steps already"):
        train(tmp_path / "stopped", backbones[kind], windows, steps=3)


def test_another_seed_learns_something_else_and_leaves_torchs_own_numbers_alone(backbone, windows, tmp_path) -> None:
    torch.manual_seed(9)
    expected = torch.randn(3)
    torch.manual_seed(9)
    one = train(tmp_path / "one", backbone, windows, steps=1)
    assert torch.equal(torch.randn(3), expected)
    two = train(tmp_path / "two", backbone, windows, steps=1, seed=1)
    assert not torch.equal(numbers(one)[1], numbers(two)[1])


def test_recomputed_activations_teach_the_same(backbone, windows, tmp_path) -> None:
    kept, twice = (train(tmp_path / str(flag), backbone, windows, steps=1, recompute=flag) for flag in (False, True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(numbers(kept), numbers(twice), strict=True))


def test_without_a_token_the_prompt_stays_as_it_is(backbone, windows, tmp_path) -> None:
    assert train(tmp_path, backbone, windows, steps=1, tokens=0).token.shape == (0, backbone.text_width)


def test_a_half_precision_model_is_tuned_in_full_precision(models, windows, tmp_path) -> None:
    backbone = load_backbone(str(models["2b"]), device="cpu", dtype="bfloat16")
    with lora_layers(backbone.transformer, TuningRecipe()):
        kinds = {p.requires_grad: p.dtype for p in backbone.transformer.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    tuning = train(tmp_path, backbone, windows, steps=2)
    assert all(value.dtype == torch.float32 for value in numbers(tuning))
    with tuned(backbone.transformer, tuning):
        pass


def test_without_peft_the_extra_is_named_and_the_model_untouched(backbone, windows, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MPVGError, match=r"pip install 'mpvg\[tuning\]'"):
        train(tmp_path, backbone, windows)
    assert all(parameter.requires_grad for parameter in backbone.transformer.parameters())


def test_a_loss_that_is_no_number_stops_the_run_and_the_model_is_as_before(backbone, windows, tmp_path) -> None:
    plain = call(backbone)
    with pytest.raises(MPVGError, match="loss is nan in step 1"):
        train(tmp_path, backbone, windows * float("nan"), save_every=1)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert torch.equal(call(backbone), plain)


def test_every_wrong_number_of_a_recipe_is_named() -> None:
    with pytest.raises(InputError) as caught:
        TuningRecipe(steps=0, lr=0.0, batch=0, rank=0, projections=("to_q", "to_x"), tokens=-1, decay=1.0)
    assert {problem.where for problem in caught.value.problems} == {
        "--steps", "--lr", "--batch", "--rank", "--projections", "--tokens", "--decay",
    }  # fmt: skip
