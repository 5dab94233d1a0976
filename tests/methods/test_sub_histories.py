"""The history guidance family in the one loop: sub-histories by shots or in less detail, each asked about once."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mpvg_core.backbone.interface import ClipFeatures
from mpvg_core.diffusion.guidance import HistoryGuidance, Segment
from mpvg_core.diffusion.inject import ConcatInjection, HistoryConditioning
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.history.history import PromptHistory
from mpvg_core.history.select import SelectionSettings, select_tokens
from mpvg_core.methods.sub_histories import _coarse, in_less_detail, in_spans
from mpvg_core.methods.technique import sample_with

sys.path.insert(0, str(Path(__file__).parents[1] / "history"))

from word_shots import embed, past_of, small_adapter

PAST = ["a cat is driving", "snow falls", "a dog rides a bicycle"]
NOW = "a cat rides a bicycle"
STEPS = 3


@pytest.fixture
def remembered():
    history, now = past_of(PAST), embed(NOW)
    return small_adapter(), history, now, select_tokens([shot.text for shot in history], now, SelectionSettings())


@pytest.fixture
def tokens(normal):
    torch.manual_seed(11)
    injection = ConcatInjection(history_dim=24, inner_width=64)
    return lambda seed, count=6: HistoryConditioning(injection, 3 * normal(seed, 1, count, 24))


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(guidance, history, batched=False, **parts):
        guided = Guided(backbone, positive, negative, history, guidance, batched=batched, parts=parts)
        return sample_with((), guided, Stepper(backbone.new_scheduler(), STEPS), noise)

    return run_with


def test_each_distinct_condition_is_one_call_a_step(run, backbone, tokens):
    segments = (Segment(0.5, "far"), Segment(0.25, "near", "far"), Segment(0.25, "far"))
    run(HistoryGuidance(4.0, 1.0, segments=segments), tokens(3), far=tokens(4), near=tokens(5, 2))
    per_step = ["negative+history", "positive", "positive+far", "positive+near", "positive+history"]
    assert backbone.calls == [(name, 1) for name in per_step] * STEPS


def test_the_same_sub_history_twice_is_bit_for_bit_once_with_the_sum(run, tokens):
    once, twice = (
        run(HistoryGuidance(4.0, 1.0, segments=segments), tokens(3), far=tokens(4))
        for segments in ((Segment(0.75, "far"),), (Segment(0.5, "far"), Segment(0.25, "far")))
    )
    assert torch.equal(once, twice)


def test_a_sub_history_that_is_the_whole_one_adds_to_the_history_scale(run, tokens):
    named = run(HistoryGuidance(4.0, 1.0, segments=(Segment(0.5, "all"),)), tokens(3), all=tokens(3))
    scaled = run(HistoryGuidance(4.0, 1.5), tokens(3))
    assert (named - scaled).abs().max() < 1e-4


def test_empty_sub_histories_and_scales_of_zero_are_bit_for_bit_no_segments(run, tokens):
    plain = run(HistoryGuidance(4.0, 1.0), tokens(3))
    segments = (Segment(0.7, "none"), Segment(0.3, "nothing"), Segment(0.0, "far"))
    guidance = HistoryGuidance(4.0, 1.0, segments=segments)
    assert torch.equal(run(guidance, tokens(3), none=None, nothing=tokens(4, 0), far=tokens(5)), plain)


def test_without_any_history_segments_leave_the_stock_clip_bit_for_bit(run, tokens):
    guidance = HistoryGuidance(4.0, 1.0, segments=(Segment(0.7, "far"), Segment(0.3, "")))
    assert torch.equal(run(guidance, None, far=None), run(HistoryGuidance(4.0, 0.0), None))


def test_batched_and_one_by_one_agree_with_sub_histories(run, backbone, tokens):
    guidance = HistoryGuidance(4.0, 1.0, segments=(Segment(0.5, "far"),))
    one_by_one = run(guidance, tokens(3), far=tokens(4))
    backbone.calls.clear()
    together = run(guidance, tokens(3), batched=True, far=tokens(4))
    assert (together - one_by_one).abs().max() < 1e-4
    kinds = [("positive", 1), ("negative+history positive+history", 2), ("positive+far", 1)]
    assert backbone.calls == kinds * STEPS


def test_a_sub_history_that_is_not_there_is_an_error_by_name(run, tokens):
    with pytest.raises(MPVGError, match=r"'later'.*'far'"):
        run(HistoryGuidance(4.0, 1.0, segments=(Segment(0.5, "later"),)), tokens(3), far=tokens(4))


def test_spans_are_the_tokens_of_their_shots_with_their_true_age(remembered):
    adapter, history, now, selection = remembered
    parts = in_spans(adapter, history, now, selection, [[0], [2, 0], [0, 2, 2], [1]])
    assert list(parts) == ["shot 0", "shot 0 + shot 2", "shot 1"]
    assert parts["shot 1"] is None  # no word of it matters here
    with torch.no_grad():
        whole = adapter.history_tokens(history, now, selection).tokens
    assert torch.equal(parts["shot 0 + shot 2"].tokens[0], whole)
    assert not torch.equal(parts["shot 0"].tokens, parts["shot 0 + shot 2"].tokens[:, :1])
    with pytest.raises(InputError, match="from 0 to 2"):
        in_spans(adapter, history, now, selection, [[3]])


def test_no_noise_and_no_pooling_is_the_history_itself_and_either_changes_it(remembered):
    adapter, history, now, selection = remembered
    with torch.no_grad():
        whole = adapter.history_tokens(history, now, selection).tokens
    assert torch.equal(in_less_detail(adapter, history, now, selection).tokens[0], whole)
    noisy = in_less_detail(adapter, history, now, selection, noise=0.5)
    assert not torch.allclose(noisy.tokens[0], whole, atol=1e-3)
    assert torch.equal(in_less_detail(adapter, history, now, selection, noise=0.5).tokens, noisy.tokens)
    grid = torch.tensor([[time, row, 0.5] for time in (0.0, 1.0) for row in (0.2, 0.5, 0.8)])
    placed = PromptHistory(tuple(replace(shot, clip=ClipFeatures(shot.clip.tokens, grid)) for shot in history))
    sharp, pooled = (in_less_detail(adapter, placed, now, selection, pool=pool).tokens for pool in (1, 3))
    assert not torch.allclose(pooled, sharp, atol=1e-3)
    with pytest.raises(InputError) as caught:
        in_less_detail(adapter, history, now, selection, noise=1.5, pool=0)
    assert len(caught.value.problems) == 2


def test_pooled_features_are_the_means_of_their_neighbourhood_in_their_frame(normal):
    from mpvg_core.backbone.features import describe_latents

    clip = describe_latents(normal(1, 3, 4, 8, 8))  # 3 frames of 4 x 4 patches
    pooled = _coarse(clip, 0.0, 2, torch.Generator())
    grid, means = (part.tokens.unflatten(0, (3, 4, 4)) for part in (clip, pooled))
    expected = grid.unflatten(2, (2, 2)).unflatten(1, (2, 2)).mean(dim=(2, 4))
    assert torch.allclose(means[:, ::2, ::2], expected, atol=1e-6)
    assert torch.equal(means[:, 0, 0], means[:, 1, 1])


def test_noised_features_keep_their_spread(normal):
    from mpvg_core.backbone.features import describe_latents

    clip = describe_latents(3 * normal(1, 3, 16, 16, 16))
    for level in (0.3, 1.0):
        noised = _coarse(clip, level, 1, torch.Generator().manual_seed(0)).tokens
        assert noised.std().item() == pytest.approx(clip.tokens.std().item(), rel=0.02)
        both = torch.stack([noised.flatten(), clip.tokens.flatten()])
        assert torch.corrcoef(both)[0, 1].item() == pytest.approx((1 - level) ** 0.5, abs=0.02)


def test_segments_are_part_of_what_a_take_is_made_from():
    from mpvg_core.film.settings import FilmSettings

    plain, pulled = (
        FilmSettings(guidance=HistoryGuidance(4.0, 1.0, segments=segments)).history_inputs()
        for segments in ((), (Segment(0.5, "far", interval=(0.0, 0.5)),))
    )
    assert "segments" not in plain  # takes of before are found again
    expected = {"scale": 0.5, "toward": "far", "against": None, "interval": [0.0, 0.5]}
    assert pulled == {**plain, "segments": [expected]}
