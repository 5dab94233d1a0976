"""One-shot tuning, applied: exact where promised, and gone afterwards."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.inject import ConcatInjection, HistoryConditioning
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError
from mpvg_core.methods.codenoise import codenoise
from mpvg_core.methods.one_shot import LowRank, Tuning, one_shot, read_tuning, tuned, with_token, write_tuning
from mpvg_core.methods.technique import sample_with

LAYERS = [f"transformer_blocks.{block}.attn1.{name}" for block in range(3) for name in ("to_q", "to_out.0")]


@pytest.fixture
def make_tuning(normal):
    def make(*, up: float = 0.3, tokens: int = 1, width: int = 64, layers=LAYERS) -> Tuning:
        pairs = {
            name: LowRank(0.2 * normal(40 + i, 4, width), up * normal(80 + i, width, 4))
            for i, name in enumerate(layers)
        }
        return Tuning(pairs, 2 * normal(99, tokens, 32), {"prompt": "a fox runs"})

    return make


@pytest.fixture
def tuning(make_tuning) -> Tuning:
    return make_tuning()


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(*techniques, history=None, batched=False, scheduler="ddim"):
        guided = Guided(backbone, positive, negative, history, HistoryGuidance(4.0, 0.0), batched=batched)
        stepper = Stepper(backbone.new_scheduler(scheduler), 3, torch.Generator().manual_seed(5))
        return sample_with(techniques, guided, stepper, noise)

    return run_with


@pytest.fixture
def call(backbone, noise, positive):
    def one_call(latents=noise, embeds=positive):
        with torch.no_grad():
            return backbone.denoise(latents, torch.tensor([500]).expand(len(latents)), embeds, branch="test")

    return one_call


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_at_strength_0_the_clip_is_the_stock_one_bit_for_bit(run, tuning, scheduler):
    assert torch.equal(run(one_shot(tuning, 0.0), scheduler=scheduler), run(scheduler=scheduler))


def test_additions_that_have_learned_nothing_are_the_stock_model_bit_for_bit(run, make_tuning):
    assert torch.equal(run(one_shot(make_tuning(up=0.0, tokens=0))), run())


def test_a_tuned_clip_is_another_and_leaves_no_trace(run, backbone, tuning, hooks_of):
    plain, keys = run(), list(backbone.transformer.state_dict())
    assert (run(one_shot(tuning)) - plain).abs().max() > 1e-2
    assert hooks_of(backbone.transformer) == 0
    assert list(backbone.transformer.state_dict()) == keys
    assert torch.equal(run(), plain)


def test_no_trace_is_left_by_an_error_either(backbone, tuning, hooks_of):
    with pytest.raises(KeyboardInterrupt), tuned(backbone.transformer, tuning):
        assert hooks_of(backbone.transformer) == len(LAYERS) + 1
        raise KeyboardInterrupt
    assert hooks_of(backbone.transformer) == 0


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_each_layer_gains_the_product_of_its_matrices(call, backbone, make_tuning, strength):
    tuning = make_tuning(tokens=0)
    with tuned(backbone.transformer, tuning, strength):
        found = call()
    with torch.no_grad():
        for name, layer in tuning.layers.items():
            backbone.transformer.get_submodule(name).weight += strength * layer.up @ layer.down
    assert (found - call()).abs().max() < 2e-6


def test_strength_leads_from_the_stock_clip_without_a_jump(run, tuning):
    plain = run()
    away = [float((run(one_shot(tuning, strength)) - plain).abs().mean()) for strength in (1e-4, 0.1, 0.5, 1.0)]
    assert away[0] < 1e-4
    assert away == sorted(away)


def test_the_clip_token_is_the_last_token_of_the_prompt(call, backbone, make_tuning, positive, normal):
    tuning = make_tuning(up=0.0, tokens=2)
    other = positive.clone()
    other[:, -2:] += normal(3, 1, 2, 32)
    with tuned(backbone.transformer, tuning):
        found, instead = call(), call(embeds=other)
    assert torch.equal(found, instead)  # what stood there does not count
    assert torch.equal(found, call(embeds=torch.cat([positive[:, :-2], tuning.token[None]], dim=1)))


def test_the_place_of_the_token_in_the_text_does_not_matter(call, positive, normal):
    token = normal(99, 1, 1, 32)
    last, first = torch.cat([positive[:, :-1], token], dim=1), torch.cat([token, positive[:, :-1]], dim=1)
    assert (call(embeds=last) - call(embeds=first)).abs().max() < 2e-6


def test_only_positive_prompts_speak_of_the_clip(run, backbone, make_tuning, positive, negative, noise):
    tuning = make_tuning(up=0.0)
    spoken = Guided(backbone, with_token(positive, tuning.token), negative, None, HistoryGuidance(4.0, 0.0))
    expected = sample_with([], spoken, Stepper(backbone.new_scheduler(), 3), noise)
    assert torch.equal(run(one_shot(tuning)), expected)
    assert (run(one_shot(tuning), batched=True) - expected).abs().max() < 1e-4


def test_rows_of_several_clips_are_told_branch_by_branch(call, backbone, make_tuning, noise, positive, negative):
    tuning = make_tuning(up=0.0)
    embeds = torch.cat([negative, negative, positive, positive])
    with tuned(backbone.transformer, tuning, told=[False, True]):
        found = call(noise.expand(4, -1, -1, -1, -1), embeds)
    spoken = torch.cat([embeds[:2], with_token(embeds[2:], tuning.token)])
    assert torch.equal(found, call(noise.expand(4, -1, -1, -1, -1), spoken))


def test_it_goes_with_history(run, tuning, normal):
    torch.manual_seed(11)
    history = HistoryConditioning(ConcatInjection(history_dim=24, inner_width=64), 3 * normal(3, 1, 6, 24))
    both = run(one_shot(tuning), history=history)
    assert not torch.equal(both, run(history=history))
    assert not torch.equal(both, run(one_shot(tuning)))


def test_a_window_of_its_own_may_have_a_tuning_of_its_own(backbone, positive, negative, tuning, normal):
    def one_step(*techniques):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        windows = codenoise([range(3), range(2, 5)])
        stepper = Stepper(backbone.new_scheduler(), 1)
        return sample_with([windows, *techniques], guided, stepper, normal(6, 1, 5, 4, 8, 8))

    plain, first = one_step(), one_step(one_shot(tuning, scope="w0"))
    assert torch.equal(first[:, 3:], plain[:, 3:])
    assert all(not torch.equal(first[:, frame], plain[:, frame]) for frame in range(3))
    both = one_step(one_shot(tuning, scope="w0"), one_shot(tuning, scope="w1"))
    assert torch.equal(both, one_step(one_shot(tuning)))


def test_a_file_gives_back_what_was_written(run, tuning, tmp_path):
    write_tuning(tuning, tmp_path / "fox.safetensors")
    found = read_tuning(tmp_path / "fox.safetensors")
    assert found.trained == {"prompt": "a fox runs"}
    assert found.fingerprint == tuning.fingerprint
    assert torch.equal(run(one_shot(found)), run(one_shot(tuning)))
    assert found.fingerprint != Tuning(tuning.layers, tuning.token + 1).fingerprint


def test_diffusers_takes_the_file_for_a_lora_and_films_the_same(call, backbone, make_tuning, tmp_path):
    from diffusers import CogVideoXPipeline

    pytest.importorskip("peft", reason="pip install 'mpvg[tuning]'")
    tuning = make_tuning(tokens=0)
    write_tuning(tuning, tmp_path / "fox.safetensors")
    with tuned(backbone.transformer, tuning):
        found = call()
    pipeline = CogVideoXPipeline(None, None, None, backbone.transformer, backbone.new_scheduler())
    pipeline.load_lora_weights(str(tmp_path), weight_name="fox.safetensors")
    assert torch.equal(call(), found)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda tensors: {name: value for name, value in tensors.items() if "lora_B" not in name}, "KeyError"),
        (lambda tensors: {"lora.clip_token": tensors["lora.clip_token"]}, "no common rank"),
        (lambda tensors: {name: value * float("nan") for name, value in tensors.items()}, "NaN"),
    ],
)
def test_a_spoilt_file_is_named(tuning, tmp_path, spoil, said):
    path = tmp_path / "fox.safetensors"
    write_tuning(tuning, path)
    save_file(spoil(load_file(path)), path, metadata={"config": json.dumps({"format": "mpvg-one-shot/1"})})
    with pytest.raises(InputError, match=said) as caught:
        read_tuning(path)
    assert caught.value.problems[0].where == str(path)


@pytest.mark.parametrize("content", [b"", b"no safetensors"])
def test_what_is_no_safetensors_file_is_named(tmp_path, content):
    (tmp_path / "fox.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="does not open"):
        read_tuning(tmp_path / "fox.safetensors")


def test_another_kind_of_file_is_refused_by_its_format(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"config": '{"format": "mpvg-history/2"}'})
    with pytest.raises(InputError, match="'mpvg-history/2'"):
        read_tuning(tmp_path / "a.safetensors")


def test_a_tuning_of_another_model_is_refused(run, make_tuning):
    for other, said in (
        (make_tuning(width=48), "48 to 48 numbers; expected 64 to 64"),
        (make_tuning(layers=["transformer_blocks.9.attn1.to_q"]), "no such layer"),
    ):
        with pytest.raises(InputError, match=said):
            run(one_shot(other))
    token = Tuning(make_tuning().layers, torch.zeros(1, 8))
    with pytest.raises(InputError, match="8 numbers; expected 32"):
        run(one_shot(token))


def test_fused_projections_are_refused_for_they_would_pass_the_additions_by(run, backbone, tuning):
    backbone.transformer.fuse_qkv_projections()
    with pytest.raises(InputError, match="fused"):
        run(one_shot(tuning))


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_a_strength_that_is_none_is_an_input_error(tuning, strength):
    with pytest.raises(InputError, match="strength"):
        one_shot(tuning, strength)
