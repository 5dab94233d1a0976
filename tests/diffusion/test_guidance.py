"""Conditions with weights: the written formulas, what falls away, and the stock formula bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from mpvg_core.diffusion.guidance import WHOLE, Branch, HistoryGuidance, Segment, compose
from mpvg_core.errors import InputError

NEG, NEG_H = Branch("negative", False), Branch("negative", True)
POS, POS_H = Branch("positive", False), Branch("positive", True)
scales = st.floats(-20, 20).filter(lambda scale: scale == 0 or abs(scale) > 1e-6)
forms = st.sampled_from(["mpvg", "nested"])


def predictions(dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(4, 1, 3, 4, 8, 8, generator=generator).to(dtype)
    return dict(zip((NEG, NEG_H, POS, POS_H), drawn, strict=True))


@given(scales, scales, forms, st.booleans())
@example(1.0, -1.0, "mpvg", True)
@example(2.0, 2.0, "nested", True)
def test_weights_sum_to_one_and_none_is_zero(text, pull, form, history):
    weights = HistoryGuidance(text, pull, form).weights(history=history)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert all(weight != 0.0 for weight in weights.values())
    assert history or not any(branch.history for branch in weights)


@given(scales, scales)
def test_the_mpvg_form_is_the_written_formula(text, pull):
    v = predictions(torch.float64)
    expected = (1 - text) * v[NEG_H] + (text + pull) * v[POS_H] - pull * v[POS]
    found = compose(HistoryGuidance(text, pull).weights(), v)
    assert torch.allclose(found.double(), expected, rtol=1e-4, atol=2e-4)


@given(scales, scales)
def test_the_nested_form_is_the_written_formula(text, pull):
    v = predictions(torch.float64)
    expected = v[NEG] + text * (v[POS] - v[NEG]) + pull * (v[POS_H] - v[POS])
    found = compose(HistoryGuidance(text, pull, "nested").weights(), v)
    assert torch.allclose(found.double(), expected, rtol=1e-4, atol=2e-4)


@given(scales.filter(lambda scale: scale not in (0.0, 1.0)))
def test_two_branches_are_the_stock_formula_bit_for_bit(text):
    v = predictions()
    with_history = compose(HistoryGuidance(text, 0.0).weights(), v)
    assert torch.equal(with_history, v[NEG_H] + text * (v[POS_H] - v[NEG_H]))
    nested = compose(HistoryGuidance(text, 0.0, "nested").weights(), v)
    assert torch.equal(nested, v[NEG] + text * (v[POS] - v[NEG]))


@given(scales.filter(lambda scale: scale not in (0.0, 1.0)), scales, forms)
def test_without_history_every_form_is_the_stock_formula_bit_for_bit(text, pull, form):
    v = predictions()
    found = compose(HistoryGuidance(text, pull, form).weights(history=False), v)
    assert torch.equal(found, v[NEG] + text * (v[POS] - v[NEG]))


def test_one_branch_is_the_prediction_itself():
    v = predictions()
    assert torch.equal(compose(HistoryGuidance(1.0, 0.0).weights(), v), v[POS_H])
    assert torch.equal(compose(HistoryGuidance(0.0, 0.0).weights(), v), v[NEG_H])


@pytest.mark.parametrize("pull", [0.25, 1.0, -0.5])
def test_history_scales_up_to_one_and_negative_ones_count(pull):
    assert HistoryGuidance(6.0, pull).weights() == {NEG_H: -5.0, POS: -pull, POS_H: 6.0 + pull}


def test_predictions_of_low_precision_are_composed_in_float32():
    v = predictions(torch.bfloat16)
    found = compose(HistoryGuidance(6.0, 1.0).weights(), v)
    exact = compose(HistoryGuidance(6.0, 1.0).weights(), {branch: value.float() for branch, value in v.items()})
    assert found.dtype == torch.float32
    assert torch.equal(found, exact)
    assert compose({POS_H: 1.0}, v).dtype == torch.float32


@pytest.mark.parametrize("form", ["mpvg", "nested"])
def test_outside_the_interval_the_weights_are_those_of_no_pull(form):
    guidance = HistoryGuidance(6.0, 2.0, form, interval=(0.5, 1.0))
    assert guidance.weights(0, 4) == guidance.weights(1, 4) == HistoryGuidance(6.0, 0.0, form).weights()
    assert guidance.weights(2, 4) == guidance.weights(3, 4) == HistoryGuidance(6.0, 2.0, form).weights()


def test_the_schedule_shapes_the_text_scale_and_leaves_the_history_scale():
    guidance = HistoryGuidance(6.0, 2.0, schedule="cosine")
    assert guidance.weights(0, 10) == {POS: -2.0, POS_H: 3.0}  # text scale 1: the negative prompt costs nothing yet
    late = guidance.weights(9, 10)
    assert late[POS] == -2.0
    assert late[NEG_H] < -3.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["text_scale", "history_scale"])
def test_scales_that_are_no_numbers_are_errors(field, bad):
    with pytest.raises(InputError, match=field):
        HistoryGuidance(**{field: bad})


def test_all_wrong_fields_are_named_together():
    with pytest.raises(InputError) as caught:
        HistoryGuidance(float("nan"), 1.0, "other", "linear", (0.7, 0.2))
    assert [problem.where for problem in caught.value.problems] == [
        "text_scale",
        "guidance form",
        "guidance schedule",
        "guidance interval",
    ]


def test_a_segment_is_the_written_pull_towards_a_sub_history():
    guidance = HistoryGuidance(6.0, 1.0, segments=(Segment(2.0, "shot 1"), Segment(0.5, "shot 2", "shot 1")))
    one, two = Branch("positive", True, "shot 1"), Branch("positive", True, "shot 2")
    assert guidance.weights() == {NEG_H: -5.0, POS: -3.0, POS_H: 7.0, one: 1.5, two: 0.5}


def test_the_same_sub_history_twice_is_the_sum_of_the_weights():
    once = HistoryGuidance(6.0, 0.0, segments=(Segment(0.75, "shot 1"),))
    twice = HistoryGuidance(6.0, 0.0, segments=(Segment(0.5, "shot 1"), Segment(0.25, "shot 1")))
    assert once.weights() == twice.weights()


@given(scales, scales, forms)
def test_a_segment_towards_the_whole_history_is_the_history_scale(text, pull, form):
    named = HistoryGuidance(text, pull, form).weights()
    segment = HistoryGuidance(text, 0.0, form, segments=(Segment(pull, WHOLE),)).weights()
    assert segment == pytest.approx(named) or compose(segment, predictions()).allclose(
        compose(named, predictions()), rtol=1e-4, atol=1e-4
    )


@given(scales, scales, scales, forms, st.booleans(), st.booleans())
def test_weights_with_segments_sum_to_one(text, first, second, form, history, nothing):
    segments = (Segment(first, "far", interval=(0.0, 0.5)), Segment(second, "near", WHOLE))
    guidance = HistoryGuidance(text, 1.5, form, segments=segments)
    for index in range(4):
        weights = guidance.weights(index, 4, history=history, empty={"far"} if nothing else ())
        assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)
        assert all(weights.values())


def test_segments_count_in_their_own_interval_only():
    guidance = HistoryGuidance(6.0, 0.0, segments=(Segment(2.0, "far", interval=(0.5, 1.0)),))
    plain = HistoryGuidance(6.0, 0.0).weights()
    assert guidance.weights(1, 4) == plain
    assert guidance.weights(2, 4) == {**plain, Branch("positive", True, "far"): 2.0, POS: -2.0}


def test_segments_between_nothing_and_nothing_fall_away_bit_for_bit():
    guidance = HistoryGuidance(
        6.1, 0.0, segments=(Segment(0.3, "far"), Segment(0.7, WHOLE, "far"), Segment(0.1, "far", "far"))
    )
    assert guidance.weights(history=False, empty={"far"}) == HistoryGuidance(6.1, 0.0).weights(history=False)


def test_without_the_whole_history_a_sub_history_still_counts():
    weights = HistoryGuidance(1.0, 0.0, segments=(Segment(2.0, "far"),)).weights(history=False)
    assert weights == {POS: -1.0, Branch("positive", True, "far"): 2.0}


def test_the_base_is_what_knows_least():
    guidance = HistoryGuidance(6.0, 1.0, segments=(Segment(2.0, "b"), Segment(3.0, "a")))
    assert [branch.name for branch in guidance.weights()] == [
        "negative+history",
        "positive",
        "positive+a",
        "positive+b",
        "positive+history",
    ]


def test_segments_out_of_range_are_errors():
    with pytest.raises(InputError, match="finite"):
        HistoryGuidance(segments=(Segment(float("nan"), "a"),))
    with pytest.raises(InputError, match="interval"):
        HistoryGuidance(segments=(Segment(1.0, "a", interval=(0.5, 0.1)),))
