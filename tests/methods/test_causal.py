"""Time in one direction, and timesteps frame by frame: exact where promised, and gone afterwards."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.inject import ConcatInjection, HistoryConditioning
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.causal import causal, causal_attention, frame_timesteps, held_frames, timed
from mpvg_core.methods.technique import sample_with

TEXT, CELLS, FRAMES = 10, 16, 3
NEAR = 2e-6


@pytest.fixture
def call(backbone, noise, positive):
    def one_call(latents=None, embeds=None, **kwargs):
        with torch.no_grad():
            return backbone.transformer(
                hidden_states=noise if latents is None else latents,
                encoder_hidden_states=positive if embeds is None else embeds,
                timestep=torch.tensor([500]),
                image_rotary_emb=backbone.rotary,
                attention_kwargs=kwargs or None,
                return_dict=False,
            )[0]

    return one_call


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(*techniques, history=None, latents=None):
        guided = Guided(backbone, positive, negative, history, HistoryGuidance(4.0, 0.0))
        stepper = Stepper(backbone.new_scheduler(), 3)
        return sample_with(techniques, guided, stepper, noise if latents is None else latents)

    return run_with


def dense_mask(window=None):
    """What may be seen, [1, S, S]: the written rule, made the expensive way."""
    frame = torch.cat([torch.full((TEXT,), -1), torch.arange(FRAMES).repeat_interleave(CELLS)])
    seen = frame[None, :] <= frame[:, None]
    if window is not None:
        seen &= (frame[None, :] > frame[:, None] - window) | (frame[None, :] < 0)
    return seen[None]


@pytest.mark.parametrize("window", [None, 1, 2])
def test_frame_by_frame_is_the_dense_mask(backbone, call, window):
    expected = call(attention_mask=dense_mask(window))
    with causal(backbone.transformer, window):
        found = call()
    assert (found - expected).abs().max() < NEAR
    assert (found - call()).abs().max() > 1e-3


@pytest.mark.parametrize("changed", [1, 2])
def test_earlier_frames_do_not_notice_a_later_one_bit_for_bit(backbone, call, noise, changed):
    other = noise.clone()
    other[:, changed] += 3.0
    with causal(backbone.transformer):
        before, after = call(), call(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert all(not torch.equal(before[:, frame], after[:, frame]) for frame in range(changed, FRAMES))
    assert not torch.equal(call()[:, 0], call(other)[:, 0])  # as they do in the stock model


def test_a_whole_clip_is_made_without_a_look_ahead(run, noise):
    other = noise.clone()
    other[:, 2] = other[:, 2].flip(-1)
    one, two = (run(causal_attention(), latents=latents) for latents in (noise, other))
    assert torch.equal(one[:, :2], two[:, :2])
    assert not torch.equal(one[:, 2], two[:, 2])


def test_a_window_of_one_frame_makes_each_frame_alone(backbone, call, noise):
    other = noise.clone()
    other[:, 1] += 3.0
    with causal(backbone.transformer, 1):
        before, after = call(), call(other)
    assert torch.equal(before[:, ::2], after[:, ::2])


def test_the_causal_mask_leaves_no_trace(run, backbone, hooks_of):
    plain, processors = run(), dict(backbone.transformer.attn_processors)
    assert not torch.equal(run(causal_attention()), plain)
    assert dict(backbone.transformer.attn_processors) == processors
    assert hooks_of(backbone.transformer) == 0
    assert torch.equal(run(), plain)


def test_history_is_seen_by_all_frames_and_masked_tokens_of_it_by_none(run, normal, noise):
    torch.manual_seed(11)
    injection = ConcatInjection(history_dim=24, inner_width=64)
    tokens = 3 * normal(3, 1, 6, 24)
    some = HistoryConditioning(injection, tokens)
    with_history = run(causal_attention(), history=some)
    assert all(not torch.equal(with_history[:, f], run(causal_attention())[:, f]) for f in range(FRAMES))
    longer = torch.cat([tokens, 50 + tokens[:, :2]], dim=1)
    hidden = HistoryConditioning(injection, longer, torch.tensor([[True] * 6 + [False] * 2]))
    assert (run(causal_attention(), history=hidden) - with_history).abs().max() < 1e-4


def test_a_window_without_frames_is_an_input_error():
    with pytest.raises(InputError, match="window"):
        causal_attention(0)


def test_equal_timesteps_are_the_stock_model(backbone, call):
    stock = call()
    with timed(backbone.transformer, torch.full((1, FRAMES), 500)):
        assert (call() - stock).abs().max() < 2.4e-6


def test_a_timestep_of_its_own_changes_mainly_its_frame(backbone, call):
    stock = call()
    with timed(backbone.transformer, torch.tensor([[20, 500, 500]])):
        change = (call() - stock).abs().mean(dim=(0, 2, 3, 4))
    assert change[0] > 2 * change[1:].max() > 0


def test_every_frame_follows_its_own_timestep(backbone, call):
    whole = {}
    for timestep in (100, 800):
        with timed(backbone.transformer, torch.full((1, FRAMES), timestep)), causal(backbone.transformer, 1):
            whole[timestep] = call()
    with timed(backbone.transformer, torch.tensor([[100, 800, 100]])), causal(backbone.transformer, 1):
        mixed = call()
    for frame, timestep in enumerate((100, 800, 100)):
        assert (mixed[:, frame] - whole[timestep][:, frame]).abs().max() < NEAR


def test_frame_timesteps_leave_no_trace(run, backbone, hooks_of):
    plain = run()
    own = frame_timesteps(lambda step: torch.full((FRAMES,), 300))
    assert not torch.equal(run(own), plain)
    same = frame_timesteps(lambda step: step.timestep.expand(FRAMES))
    assert (run(same) - plain).abs().max() < 1e-4
    assert hooks_of(backbone.transformer) == 0
    assert torch.equal(run(), plain)


def test_a_wrong_number_of_timesteps_is_an_error(backbone, call, hooks_of):
    with pytest.raises(MPVGError, match="2 timesteps for 3"), timed(backbone.transformer, torch.zeros(1, 2)):
        call()
    assert hooks_of(backbone.transformer) == 0


def test_nothing_held_is_the_stock_clip_bit_for_bit(run, normal, noise):
    nothing = held_frames(normal(8, *noise.shape[1:]), torch.zeros(FRAMES, dtype=torch.bool))
    assert torch.equal(run(nothing), run())


@pytest.mark.parametrize("level", [0, 20])
def test_held_frames_come_out_as_they_are_and_are_shown_at_their_level(
    run, backbone, normal, noise, level, monkeypatch
):
    seen = []
    intact = type(backbone).denoise

    def watch(self, latents, timestep, embeds, *, branch):
        seen.append(latents)
        return intact(self, latents, timestep, embeds, branch=branch)

    monkeypatch.setattr(type(backbone), "denoise", watch)
    clip, held = normal(8, *noise.shape[1:]), torch.tensor([True, False, False])
    result = run(held_frames(clip, held, level=level))
    assert torch.equal(result[0, 0], clip[0])
    expected = Stepper(backbone.new_scheduler(), 1).noised(clip[None], noise, level if level else None)
    assert all(torch.equal(latents[:, 0], expected[:, 0]) for latents in seen)
    other = clip.clone()
    other[0] += 2.0
    assert not torch.equal(run(held_frames(other, held, level=level))[:, 1:], result[:, 1:])
    assert torch.equal(run(held_frames(torch.cat([clip[:1], clip[1:] + 9]), held, level=level)), result)


def test_wrong_held_frames_are_errors(run, normal, noise):
    clip = normal(8, *noise.shape[1:])
    with pytest.raises(InputError, match="level"):
        held_frames(clip, torch.ones(3, dtype=torch.bool), level=1000)
    with pytest.raises(MPVGError, match="marked"):
        held_frames(clip, torch.ones(2, dtype=torch.bool))
    with pytest.raises(MPVGError, match="latents"):
        run(held_frames(clip[:, :, :4], torch.ones(3, dtype=torch.bool)))
