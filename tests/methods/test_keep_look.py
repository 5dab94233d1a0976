"""The preset: 0 is stock bit for bit, the strength grows, and the tokens are those of what is named and moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.keep_look import ASKED_AT, attended, keep_look, look_tokens, most, moving
from mpvg_core.methods.shared_attention import Anchor
from mpvg_core.methods.technique import sample_with


@pytest.fixture
def anchor(normal, noise):
    shape = noise.shape[1:]
    return Anchor(normal(21, *shape), normal(22, 1, 10, 32), normal(23, *shape), torch.tensor([3, 17, 20, 40]))


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(techniques):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        return sample_with(techniques, guided, Stepper(backbone.new_scheduler(), 3), noise)

    return run_with


def test_strength_0_is_the_stock_clip_bit_for_bit(run, backbone, anchor):
    assert torch.equal(run(keep_look(backbone, anchor, 0.0, noise=1.0)), run([]))


def test_the_change_grows_with_the_strength(run, backbone, anchor):
    plain = run([])
    changes = [(run(keep_look(backbone, anchor, strength)) - plain).norm().item() for strength in (1e-5, 0.1, 0.5, 1.0)]
    assert changes == sorted(changes) and changes[0] < 0.01 * changes[-1]


def test_shared_noise_comes_in_by_the_strength(run, backbone, anchor, noise):
    shares = []
    for strength in (0.5, 1.0):
        techniques = keep_look(backbone, anchor, strength, noise=0.6)
        start = noise
        for technique in techniques:
            start = technique.noise(start) if technique.noise else start
        own = (1 - 0.6 * strength) ** 0.5 * noise
        shares.append((start - own) / anchor.noise)
    assert torch.allclose(shares[0], torch.full_like(noise, 0.3**0.5), atol=1e-3)
    assert torch.allclose(shares[1], torch.full_like(noise, 0.6**0.5), atol=1e-3)
    assert all(technique.noise is None for technique in keep_look(backbone, anchor, 1.0))


@pytest.mark.parametrize("options", [{"strength": 1.1}, {"strength": -0.1}, {"strength": 0.5, "noise": 2.0}])
def test_strengths_out_of_range_are_input_errors(make_backbone, anchor, options):
    with pytest.raises(InputError, match="from 0 to 1"):
        keep_look(make_backbone("2b"), anchor, **options)


def test_what_moves_is_found_against_a_place_that_stands(normal):
    latents = normal(1, 1, 4, 8, 8).repeat(5, 1, 1, 1)
    for frame in range(5):
        latents[frame, :, 2:4, 0 + frame] += 5.0  # an actor of two cells that walks to the right
    found = moving(latents, 2)
    assert found.shape == (5, 4, 4)
    assert found[:, 1].sum() == pytest.approx(found.sum().item())
    assert [int(found[frame, 1].argmax()) for frame in range(5)] == [0, 0, 1, 1, 2]
    assert not moving(latents[:1].repeat(5, 1, 1, 1), 2).any()


def test_the_most_of_the_scores_are_named_in_order():
    assert most(torch.tensor([[0.1, 0.9], [0.5, 0.7]]), 0.5).tolist() == [1, 3]
    assert most(torch.tensor([0.1, 0.9, 0.5]), 0.01).tolist() == [1]


def test_attention_to_the_words_is_the_share_of_the_joint_softmax(backbone, anchor, hooks_of):
    words = torch.tensor([False, True, True] + [False] * 7)
    everything = attended(backbone, anchor, ~torch.zeros(10, dtype=torch.bool))
    found = attended(backbone, anchor, words)
    assert found.shape == (3, 4, 4)
    assert found.mean().item() == pytest.approx(len(ASKED_AT) * 3, rel=1e-4)  # each of three layers counts alike
    assert not torch.allclose(found, everything, atol=1e-3)
    assert hooks_of(backbone.transformer) == 0

    attn = backbone.transformer.transformer_blocks[0].attn1
    kept = {}
    handle = attn.register_forward_pre_hook(lambda _, args, kwargs: kept.update(kwargs), with_kwargs=True)
    levels = Stepper(backbone.new_scheduler(), 1)
    shares = []
    with torch.no_grad():
        for at in ASKED_AT:
            noised = levels.noised(anchor.latents[None], anchor.noise[None], at)
            backbone.denoise(noised, torch.tensor([at]), anchor.embeds, branch="x")
            states = torch.cat([kept["encoder_hidden_states"], kept["hidden_states"]], dim=1)
            heads = [p(states).unflatten(-1, (4, 16)).transpose(1, 2) for p in (attn.to_q, attn.to_k)]
            query, key = attn.norm_q(heads[0]), attn.norm_k(heads[1])
            if backbone.rotary is not None:
                from diffusers.models.embeddings import apply_rotary_emb

                for part in (query, key):
                    part[:, :, 10:] = apply_rotary_emb(part[:, :, 10:], backbone.rotary)
            looks = (query @ key.transpose(2, 3) / 4).softmax(dim=-1)[0, :, 10:, 1:3].sum(-1).mean(0)
            shares.append(looks / looks.mean())
    handle.remove()
    only_first = of_the_first_layer(backbone, anchor, words)
    assert torch.allclose(only_first.flatten(), sum(shares), atol=1e-4)


def of_the_first_layer(backbone, anchor, words):
    """`attended` of the first layer alone."""
    blocks = backbone.transformer.transformer_blocks
    backbone.transformer.transformer_blocks = blocks[:1]
    try:
        return attended(backbone, anchor, words)
    finally:
        backbone.transformer.transformer_blocks = blocks


def test_look_tokens_are_a_share_of_all_in_order(backbone, anchor):
    words = torch.tensor([True] + [False] * 9)
    tokens = look_tokens(backbone, anchor, words, share=0.25)
    assert tokens.dtype == torch.int64 and len(tokens) == 12
    assert tokens.tolist() == sorted(set(tokens.tolist())) and tokens.max() < 48
    moved = replace(anchor, latents=anchor.latents.clone())
    moved.latents[:, :, :2, :2] += torch.tensor([0.0, 30.0, -30.0])[:, None, None, None]
    assert {16, 32} <= set(look_tokens(backbone, moved, words, share=0.25).tolist())


def test_questions_that_cannot_be_answered_are_errors(backbone, anchor):
    nothing = torch.zeros(10, dtype=torch.bool)
    with pytest.raises(InputError, match="none is marked"):
        look_tokens(backbone, anchor, nothing)
    with pytest.raises(InputError, match="share"):
        look_tokens(backbone, anchor, ~nothing, share=0.0)
    pair = replace(anchor, latents=anchor.latents[None], noise=anchor.noise[None])
    with pytest.raises(MPVGError, match="one clip"):
        attended(backbone, pair, ~nothing)
