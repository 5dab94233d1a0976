"""Anchors: off is the stock model, own keys change nothing, strength is monotone, no trace stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.inject import ConcatInjection, HistoryConditioning
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.causal import causal_attention
from mpvg_core.methods.shared_attention import Anchor, Sharing, anchor_banks, shared_attention, shown
from mpvg_core.methods.technique import sample_with

STEPS = 4
NEAR = 2e-6  # of numbers of size 1


@pytest.fixture
def anchor(normal, noise):
    return Anchor(normal(21, *noise.shape[1:]), normal(22, 1, 10, 32), normal(23, *noise.shape[1:]))


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(*techniques, text=4.0, history=None, batched=False, clips=1):
        rows = [part.expand(clips, *part.shape[1:]) for part in (positive, negative, noise)]
        guided = Guided(backbone, rows[0], rows[1], history, HistoryGuidance(text, 0.0), batched=batched)
        return sample_with(techniques, guided, Stepper(backbone.new_scheduler(), STEPS), rows[2])

    return run_with


@pytest.fixture
def call(backbone, noise, positive):
    def one_call(timestep=500):
        with torch.no_grad():
            return backbone.denoise(noise, torch.tensor([timestep]), positive, branch="positive")

    return one_call


def banks_of(backbone, anchor, timestep=500, layers=(0, 1, 2)):
    levels = Stepper(backbone.new_scheduler(), 1)
    return anchor_banks(backbone, anchor, levels, torch.tensor(timestep), layers, branch="anchor")


@pytest.fixture
def own(backbone, noise, positive):
    """The banks of the very call that `call` makes: its latents as they come, under its own prompt."""
    pure = Anchor(torch.zeros_like(noise[0]), positive, noise[0])

    def banks(layers=(0, 1, 2), tokens=None):
        levels = Stepper(backbone.new_scheduler(), 1)
        _, s = levels.level(500)
        exact = replace(pure, noise=noise[0] / s, tokens=tokens)
        return anchor_banks(backbone, exact, levels, torch.tensor(500), layers, branch="anchor")

    return banks


def test_strength_0_no_anchor_and_steps_outside_the_interval_are_stock_bit_for_bit(run, anchor, backbone):
    plain = run()
    backbone.calls.clear()
    for off in (
        shared_attention(backbone, [anchor], Sharing(0.0)),
        shared_attention(backbone, [], Sharing(1.0)),
        shared_attention(backbone, [anchor], Sharing(1.0, interval=(0.5, 0.5))),
    ):
        assert torch.equal(run(off), plain)
    assert len(backbone.calls) == 3 * 2 * STEPS  # no reference pass either


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_an_anchor_changes_the_clip_and_leaves_no_trace(run, anchor, backbone, hooks_of, mode):
    plain = run()
    processors = dict(backbone.transformer.attn_processors)
    assert (run(shared_attention(backbone, [anchor], Sharing(1.0, mode))) - plain).abs().max() > 1e-3
    assert dict(backbone.transformer.attn_processors) == processors
    assert hooks_of(backbone.transformer) == 0
    assert torch.equal(run(), plain)


def test_a_call_that_fails_leaves_every_processor_as_it_was(backbone, anchor, call):
    processors = dict(backbone.transformer.attn_processors)
    with pytest.raises(RuntimeError, match="stop"), shown(backbone.transformer, banks_of(backbone, anchor), Sharing()):
        raise RuntimeError("stop")
    assert dict(backbone.transformer.attn_processors) == processors


def test_replaced_by_its_own_keys_and_values_the_call_is_the_stock_one(backbone, own, call):
    stock = call()
    for text_looks in (False, True):
        with shown(backbone.transformer, own(), Sharing(1.0, "replace", text_looks=text_looks)):
            assert (call() - stock).abs().max() < NEAR


def test_own_tokens_seen_twice_in_one_layer_weigh_as_two(backbone, own, call):
    """Appended with strength 1 its own video tokens count twice: another picture, and not the stock one."""
    stock = call()
    with shown(backbone.transformer, own(layers=(1,)), Sharing(1.0)):
        assert (call() - stock).abs().max() > 1e-4


def test_recording_is_a_stock_call(backbone, anchor):
    from mpvg_core.methods.shared_attention import recorded

    arguments = (anchor.latents[None], torch.tensor([500]), anchor.embeds)
    with torch.no_grad():
        stock = backbone.denoise(*arguments, branch="a")
        banks = {}
        with recorded(backbone.transformer, (0, 2), None, 16, banks):
            assert torch.equal(backbone.denoise(*arguments, branch="a"), stock)
    assert sorted(banks) == [0, 2]
    assert banks[0].key.shape == banks[0].value.shape == (1, 4, 48, 16)


def test_the_anchor_is_as_noisy_as_the_step(backbone, anchor, monkeypatch):
    seen = []
    intact = type(backbone).denoise

    def watch(self, latents, timestep, embeds, *, branch):
        seen.append((latents, timestep))
        return intact(self, latents, timestep, embeds, branch=branch)

    monkeypatch.setattr(type(backbone), "denoise", watch)
    scheduler = backbone.new_scheduler()
    for timestep in (999, 500, 20):
        banks_of(backbone, anchor, timestep)
        expected = scheduler.add_noise(anchor.latents[None], anchor.noise[None], torch.tensor([timestep]))
        assert torch.allclose(seen[-1][0], expected, atol=1e-6)
        assert seen[-1][1].tolist() == [timestep]


def test_the_effect_grows_with_the_strength_from_nothing(backbone, anchor, call):
    stock, banks = call(), banks_of(backbone, anchor)
    changes = []
    for strength in (1e-6, 0.01, 0.1, 0.25, 0.5, 0.75, 1.0):
        with shown(backbone.transformer, banks, Sharing(strength)):
            changes.append((call() - stock).norm().item())
    assert changes[0] < 1e-4
    assert changes == sorted(changes)
    assert changes[-1] > 100 * changes[0]


def test_strength_is_the_odds_of_the_anchor_against_the_own_tokens(make_backbone, noise, positive, anchor):
    """One layer, one query: with the bias log(s) the attention for the anchor is s A / (B + s A)."""
    from torch.nn.functional import scaled_dot_product_attention

    from mpvg_core.methods.shared_attention import _mask

    torch.manual_seed(3)
    query, own_key, anchor_key = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 5, 16), torch.randn(1, 1, 3, 16)
    mass = torch.cat([torch.zeros(1, 1, 5, 1), torch.ones(1, 1, 3, 1)], dim=2)
    keys = torch.cat([own_key, anchor_key], dim=2)
    scores = (query @ keys.transpose(2, 3) / 4).exp()[0, 0, 0]
    b, a = scores[:5].sum(), scores[5:].sum()
    for strength in (0.25, 0.5, 4.0):
        bias = _mask(None, slice(0, 5), anchor_key, torch.tensor(strength).log().item())
        found = scaled_dot_product_attention(query, keys, mass, attn_mask=bias).item()
        assert found == pytest.approx((strength * a / (b + strength * a)).item(), rel=1e-5)


def test_chosen_tokens_are_those_keys_and_no_others(backbone, own, call):
    whole, some = own(), own(tokens=torch.tensor([3, 17, 40]))
    for layer, bank in some.items():
        assert bank.places.tolist() == [[3, 17, 40]]
        assert torch.allclose(bank.key, whole[layer].key[:, :, [3, 17, 40]], atol=1e-6)
        assert torch.allclose(bank.value, whole[layer].value[:, :, [3, 17, 40]], atol=1e-6)


def test_the_order_of_the_anchors_tokens_does_not_matter(backbone, anchor, call):
    places = torch.arange(48)
    with shown(backbone.transformer, banks_of(backbone, replace(anchor, tokens=places)), Sharing()):
        forwards = call()
    with shown(backbone.transformer, banks_of(backbone, replace(anchor, tokens=places.flip(0))), Sharing()):
        assert (call() - forwards).abs().max() < NEAR


def test_rotary_positions_are_those_of_the_frame_where_the_anchor_is_put(make_backbone, noise, positive, anchor):
    backbone = make_backbone("5b")
    banks = banks_of(backbone, anchor)

    def at(frame):
        with torch.no_grad(), shown(backbone.transformer, banks, Sharing(frame=frame)):
            return backbone.denoise(noise, torch.tensor([500]), positive, branch="positive")

    assert (at(None) - at(0)).abs().max() > 1e-5
    assert torch.equal(at(2), at(7))  # past the last frame: at the last
    first = banks_of(backbone, replace(anchor, tokens=torch.arange(16)))  # the first frame's tokens stand in frame 0
    with torch.no_grad():
        with shown(backbone.transformer, first, Sharing(frame=0)):
            named = backbone.denoise(noise, torch.tensor([500]), positive, branch="positive")
        with shown(backbone.transformer, first, Sharing()):
            assert torch.equal(backbone.denoise(noise, torch.tensor([500]), positive, branch="positive"), named)


def test_two_anchors_are_seen_together_and_their_order_does_not_matter(run, anchor, backbone, normal, noise):
    other = replace(anchor, latents=normal(31, *noise.shape[1:]))
    one, two, turned = (
        run(shared_attention(backbone, anchors, Sharing())) for anchors in ([anchor], [anchor, other], [other, anchor])
    )
    assert (two - one).abs().max() > 1e-3
    assert (two - turned).abs().max() < 1e-4


def test_a_reference_pass_is_one_call_a_step_whatever_the_branches(run, anchor, backbone):
    run(shared_attention(backbone, [anchor], Sharing(interval=(0.0, 0.5))))
    assert [name for name, _ in backbone.calls] == ["anchor 0", "negative", "positive"] * 2 + [
        "negative",
        "positive",
    ] * 2


def test_batched_branches_and_several_clips_see_the_same_as_one_by_one(run, anchor, backbone, normal, noise):
    single = run(shared_attention(backbone, [anchor], Sharing()))
    assert (run(shared_attention(backbone, [anchor], Sharing()), batched=True) - single).abs().max() < 1e-4
    other = normal(31, *noise.shape[1:])
    pair = Anchor(
        torch.stack([other, anchor.latents]), anchor.embeds.expand(2, -1, -1), anchor.noise.expand(2, -1, -1, -1, -1)
    )
    both = run(shared_attention(backbone, [pair], Sharing()), batched=True, clips=2)
    assert (both[1:] - single).abs().max() < 1e-4
    assert (both[0] - both[1]).abs().max() > 1e-3


def test_history_and_anchors_go_together(run, anchor, backbone, normal):
    torch.manual_seed(11)
    tokens = 3 * normal(3, 1, 6, 24)
    history = HistoryConditioning(ConcatInjection(history_dim=24, inner_width=64), tokens)
    plain = run(history=history)
    assert torch.equal(run(shared_attention(backbone, [anchor], Sharing(0.0)), history=history), plain)
    shared = run(shared_attention(backbone, [anchor], Sharing()), history=history)
    assert (shared - plain).abs().max() > 1e-3
    longer = torch.cat([tokens, 50 + tokens[:, :2]], dim=1)
    hidden = replace(history, tokens=longer, mask=torch.tensor([[True] * 6 + [False] * 2]))
    masked = run(shared_attention(backbone, [anchor], Sharing()), history=hidden)
    assert (masked - shared).abs().max() < 1e-4


def test_two_methods_that_replace_the_same_layers_are_refused_by_name(run, anchor, backbone):
    processors = dict(backbone.transformer.attn_processors)
    with pytest.raises(MPVGError, match="causal attention and shared attention both"):
        run(causal_attention(), shared_attention(backbone, [anchor], Sharing()))
    assert dict(backbone.transformer.attn_processors) == processors


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"strength": -0.1}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"strength": 1.5, "mode": "replace"}, "from 0 to 1"),
        ({"mode": "swap"}, "append, replace"),
        ({"interval": (0.5, 0.2)}, "interval"),
    ],
)
def test_wrong_settings_are_input_errors(options, match):
    with pytest.raises(InputError, match=match):
        Sharing(**options)


def test_layers_that_are_not_there_are_an_input_error(run, anchor, backbone):
    with pytest.raises(InputError, match="from 0 to 2"):
        run(shared_attention(backbone, [anchor], Sharing(layers=(1, 3))))


def test_an_anchor_whose_noise_does_not_fit_is_refused(anchor):
    with pytest.raises(MPVGError, match="noise"):
        replace(anchor, noise=anchor.noise[:1])
