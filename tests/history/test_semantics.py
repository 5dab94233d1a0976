"""The extractor: attention within a sample, masks that hide wholly, ages and places that count."""

from __future__ import annotations

import pytest
import torch
from word_shots import LENGTH, TEXT_DIM, VISUAL_DIM, WIDTH, small_adapter

from mpvg_core.history.semantics import AGES, VideoSemanticExtractor, age_bucket, matched_mean

BATCH, PAST, PATCHES = 3, 5, 6
OF_THE_PAST = ("past", "seen", "past_mask", "places", "ages", "reaches")
MODES = pytest.mark.parametrize("learning", [False, True])  # torch takes another path where no gradient is wanted


@pytest.fixture
def extractor() -> VideoSemanticExtractor:
    return small_adapter().extractor


def arguments(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "current": torch.randn(BATCH, LENGTH, TEXT_DIM, generator=generator),
        "current_mask": torch.arange(LENGTH).expand(BATCH, -1) < 4,
        "past": torch.randn(BATCH, PAST, TEXT_DIM, generator=generator),
        "seen": torch.randn(BATCH, PAST, WIDTH, generator=generator),
        "past_mask": torch.tensor([[True] * PAST, [True, False, True, False, True], [False] * PAST]),
        "places": torch.arange(PAST).expand(BATCH, -1).clone(),
        "ages": torch.tensor([3, 3, 2, 1, 1]).expand(BATCH, -1).clone(),
        "reaches": torch.rand(BATCH, PAST, LENGTH, generator=generator) < 0.5,
    }


def predicted(extractor, learning=False, **given):
    with torch.set_grad_enabled(learning):
        return extractor.predict(**given).detach()


@MODES
def test_samples_of_a_batch_do_not_see_each_other(extractor, learning):
    given = arguments()
    before = predicted(extractor, learning, **given)
    other = arguments(1)
    for name in ("current", "past", "seen"):
        given[name][1] = other[name][1]
    after = predicted(extractor, learning, **given)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1], atol=1e-2)
    for row in range(BATCH):
        alone = predicted(extractor, learning, **{name: value[row : row + 1] for name, value in given.items()})
        torch.testing.assert_close(alone[0], after[row], atol=1e-5, rtol=1e-5)


@MODES
def test_masked_tokens_of_the_past_change_nothing(extractor, learning):
    given = arguments()
    before = predicted(extractor, learning, **given)
    hidden = ~given["past_mask"]
    for name in ("past", "seen"):
        given[name][hidden] = 50.0
    given["places"][hidden] = 9
    given["ages"][hidden] = 40
    assert torch.equal(predicted(extractor, learning, **given), before)


@MODES
def test_padding_of_the_current_prompt_changes_no_word(extractor, learning):
    given = arguments()
    before = predicted(extractor, learning, **given)
    given["current"][~given["current_mask"]] = 7.0
    after = predicted(extractor, learning, **given)
    assert torch.equal(after[given["current_mask"]], before[given["current_mask"]])


@MODES
def test_dropped_tokens_are_the_same_as_masked_ones(extractor, learning):
    given = arguments()
    masked = predicted(extractor, learning, **given)
    keep = given["past_mask"][1]
    parts = {name: value[1:2] for name, value in given.items()}
    for name in OF_THE_PAST:
        parts[name] = parts[name][:, keep]
    words = given["current_mask"][1]
    dropped = predicted(extractor, learning, **parts)
    torch.testing.assert_close(dropped[0][words], masked[1][words], atol=1e-5, rtol=1e-5)


@MODES
def test_an_empty_history_is_the_same_as_one_all_masked(extractor, learning):
    given = arguments()
    masked = predicted(extractor, learning, **given)[2]
    parts = {name: value[2:3] for name, value in given.items()}
    for name in OF_THE_PAST:
        parts[name] = parts[name][:, :0]
    words = given["current_mask"][2]
    torch.testing.assert_close(predicted(extractor, learning, **parts)[0][words], masked[words], atol=1e-5, rtol=1e-5)


@MODES
def test_a_prompt_without_any_word_and_past_gives_numbers(extractor, learning):
    given = arguments()
    given["current_mask"] = torch.zeros_like(given["current_mask"])
    assert torch.isfinite(predicted(extractor, learning, **given)).all()


@pytest.mark.parametrize(("name", "other"), [("ages", 1), ("places", 2), ("seen", None), ("past", None)])
def test_age_place_look_and_word_of_a_remembered_token_all_matter(extractor, name, other):
    given = arguments()
    before = predicted(extractor, **given)
    given[name][0, 0] = other if other is not None else given[name][0, 1]
    assert (predicted(extractor, **given)[0] - before[0]).abs().max() > 1e-4


def test_a_token_starts_from_what_those_matched_to_it_have_seen():
    seen = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [torch.nan, 50.0]]])
    reaches = torch.tensor([[[True, True, False, False], [True, False, True, False], [False] * 4]])
    assert matched_mean(seen, reaches).tolist() == [[[2, 1], [1, 0], [3, 2], [0, 0]]]


def test_whom_a_remembered_token_is_matched_to_matters(extractor):
    given = arguments()
    before = predicted(extractor, **given)[0]
    given["reaches"][0, 0] = ~given["reaches"][0, 0]
    assert (predicted(extractor, **given)[0] - before).abs().max() > 1e-4


def test_the_order_of_the_rows_does_not_matter_but_the_order_of_shots_does(extractor):
    given = arguments()
    before = predicted(extractor, **given)[0]
    turned = torch.arange(PAST - 1, -1, -1)
    for name in OF_THE_PAST:
        given[name] = given[name][:, turned]
    torch.testing.assert_close(predicted(extractor, **given)[0], before, atol=1e-5, rtol=1e-5)
    given["ages"] = given["ages"][:, turned]
    assert (predicted(extractor, **given)[0] - before).abs().max() > 1e-3


def test_the_look_of_a_token_is_read_where_it_lies_and_from_its_own_clip(extractor):
    generator = torch.Generator().manual_seed(3)
    text = torch.randn(2, 4, TEXT_DIM, generator=generator)
    places = torch.arange(4).expand(2, 4)
    clips = torch.randn(2, PATCHES, VISUAL_DIM, generator=generator)
    positions = torch.rand(2, PATCHES, 3, generator=generator)
    with torch.no_grad():
        before = extractor.look(text, places, clips, positions)
        assert before.shape == (2, 4, WIDTH)
        turned = torch.roll(torch.arange(PATCHES), 1)
        both = extractor.look(text, places, clips[:, turned], positions[:, turned])
        torch.testing.assert_close(both, before, atol=1e-5, rtol=1e-5)
        moved = extractor.look(text, places, clips, positions[:, turned])
        assert (moved - before).abs().max() > 1e-4
        clips[1] = 0.0
        assert torch.equal(extractor.look(text, places, clips, positions)[0], before[0])
        one = extractor.look(text[:, :1], places[:, :1], clips, positions)
        torch.testing.assert_close(one[0, 0], before[0, 0], atol=1e-5, rtol=1e-5)


def test_ages_fall_into_buckets_that_double():
    ages = torch.tensor([0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 1000])
    assert age_bucket(ages).tolist() == [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    assert age_bucket(torch.arange(5000)).max() < AGES
    assert age_bucket(torch.empty(1, 0, dtype=torch.long)).shape == (1, 0)
