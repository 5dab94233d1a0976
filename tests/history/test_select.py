"""Which words of earlier prompts are kept for a new one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from word_shots import embed

from mpvg_core.backbone.interface import TextEmbedding
from mpvg_core.errors import InputError
from mpvg_core.history.select import STOP_WORDS, SelectionSettings, select_tokens

WORDS = ["cat", "dog", "bicycle", "rides", "snow", "playground", "red", "the", "a", "."]
prompts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


def select(past, current, **options):
    texts = [embed(prompt) if isinstance(prompt, str) else prompt for prompt in past]
    now = embed(current) if isinstance(current, str) else current
    return texts, now, select_tokens(texts, now, SelectionSettings(**options))


def kept(past, current, **options):
    """The kept words of each past prompt."""
    texts, _, selection = select(past, current, **options)
    return [
        [piece for piece, chosen in zip(text.pieces, mask.tolist(), strict=True) if chosen]
        for text, mask in zip(texts, selection.masks, strict=True)
    ]


def test_a_cat_on_a_bicycle_needs_the_cat_of_one_shot_and_the_ride_of_another():
    assert kept(["a cat is driving", "a dog rides a bicycle"], "a cat rides a bicycle") == [
        ["cat"],
        ["rides", "bicycle"],
    ]


def test_each_kept_token_says_which_current_token_it_serves():
    _, now, selection = select(["a cat is driving", "a dog rides a bicycle"], "a cat rides a bicycle")
    pairs = [
        [(index, now.pieces[serves]) for index, serves in enumerate(part.tolist()) if serves >= 0]
        for part in selection.serves
    ]
    assert pairs == [[(1, "cat")], [(2, "rides"), (4, "bicycle")]]
    assert selection.served == (1, 2, 4)
    assert selection.count == 3
    assert [round(float(selection.scores[0][1]), 3), float(selection.scores[0][0])] == [1.0, -torch.inf]


def test_what_a_newer_shot_shows_hides_the_same_in_older_ones():
    assert kept(["a red cat", "a cat sleeps", "snow falls"], "the cat eats fish") == [[], ["cat"], []]


def test_a_word_told_twice_in_a_shot_is_kept_twice():
    assert kept(["cat and cat"], "big cat runs") == [["cat", "cat"]]


def test_stop_words_signs_specials_and_padding_are_never_chosen():
    everything = kept(["the cat , 1 ( red ) .", "a dog !"], "the cat , 1 ( red ) . a dog !", threshold=-1)
    assert everything[1] == ["dog"]
    assert kept(["the cat , 1 ( red ) ."], "the cat , 1 ( red ) .", threshold=-1) == [["cat", "1", "red"]]


@pytest.mark.parametrize(
    ("pieces", "chosen"),
    [
        (["▁The", "▁cat", "."], ["▁cat"]),
        (["▁The", "sis", "▁on", "▁cat", "s"], ["▁The", "sis", "▁cat", "s"]),  # Thesis on cats
        (["▁ball", "o", "on", "s"], ["▁ball", "o", "on", "s"]),
        (["▁a", "▁t", "o", ",", "s", "▁i", "s"], ["s"]),  # a to,s is
        (["▁", "cat"], ["cat"]),
    ],
)
def test_a_stop_word_is_a_whole_word_not_a_piece_of_one(pieces, chosen):
    assert kept([embed(pieces)], embed(pieces), threshold=-1) == [chosen]


def test_a_threshold_above_one_keeps_nothing_and_minus_one_everything_the_newest_shot_says():
    past = ["a red cat", "a dog rides", "snow falls"]
    assert kept(past, "a cat rides", threshold=float("inf")) == [[], [], []]
    assert kept(past, "a cat rides", threshold=1.01) == [[], [], []]
    assert kept(past[:1], "dog", threshold=-1) == [["red", "cat"]]
    assert kept(past, "a cat rides", threshold=-1) == [[], [], ["snow", "falls"]]


def test_a_threshold_of_one_keeps_equal_words_whatever_the_rounding():
    texts = [f"{word} {' '.join(WORDS[:5])}" for word in ("one", "two", "three")]
    assert kept(texts, "bicycle snow dog four", threshold=1) == [[], [], ["dog", "bicycle", "snow"]]


def test_opposite_vectors_stay_within_minus_one():
    """Two words alone point away from their mean in opposite directions."""
    assert kept(["cat"], "dog") == [[]]
    assert kept(["cat"], "dog", threshold=-1) == [["cat"]]


@pytest.mark.parametrize("prompt", ["cat", "cat cat", "a cat ."])
def test_identical_prompts_of_one_word_know_each_other(prompt):
    """All vectors equal their mean, so nothing is left of them when it is taken away."""
    words = [word for word in prompt.split() if word == "cat"]
    assert kept([prompt], prompt) == [words]
    assert kept([prompt, prompt], prompt) == [[], words]


def test_prompts_without_words_remember_and_are_remembered_by_nothing():
    assert kept(["", "the . a"], "a cat") == [[], []]
    assert kept(["a cat"], "the .") == [[]]
    assert kept(["", "."], "") == [[], []]
    _, _, selection = select([], "a cat")
    assert (selection.masks, selection.count, selection.served) == ((), 0, ())


def test_what_all_vectors_share_does_not_count_as_likeness():
    """Without centring, the common part makes any two words alike: here their plain cosine is above 0.8."""
    cat, dog = embed("cat").embeds[0], embed("dog").embeds[0]
    assert torch.cosine_similarity(cat, dog, dim=0) > 0.8
    assert kept(["cat rides snow red"], "dog bicycle playground fish", threshold=0.5) == [[]]


def test_a_budget_drops_the_least_alike_of_a_shot_first():
    near = embed("cat rides bicycle snow")
    blurred = TextEmbedding(near.ids, near.embeds.clone(), near.mask, near.pieces)
    for index, blur in enumerate([0.6, 0.2, 0.0, 0.4]):
        blurred.embeds[index] += blur * torch.randn(48, generator=torch.Generator().manual_seed(index))
    assert kept([blurred], near, threshold=0.3) == [["cat", "rides", "bicycle", "snow"]]
    assert kept([blurred], near, threshold=0.3, budget=2) == [["rides", "bicycle"]]
    assert kept([blurred], near, threshold=0.3, budget=0) == [[]]


def test_dropped_tokens_serve_nothing():
    _, _, selection = select(["cat rides bicycle snow"], "cat rides bicycle snow", budget=1)
    assert [int(mask.sum()) for mask in selection.masks] == [1]
    assert [int((serves >= 0).sum()) for serves in selection.serves] == [1]
    assert len(selection.served) == 1


def test_the_selection_of_some_shots_is_theirs_alone():
    past = ["a cat is driving", "snow falls", "a dog rides a bicycle"]
    _, _, selection = select(past, "a cat rides a bicycle")
    some = selection.restricted([0, 2])
    assert [int(mask.sum()) for mask in some.masks] == [1, 2]
    assert selection.restricted([0]).served == (1,)


@settings(max_examples=40, deadline=None)
@given(st.lists(prompts, max_size=12), prompts, st.integers(0, 12), st.sampled_from([-1.0, 0.3, 0.6, 1.0]))
def test_any_history_keeps_within_the_budget_and_only_words_that_serve(past, current, budget, threshold):
    texts, now, selection = select(past, current, budget=budget, threshold=threshold)
    assert selection.count <= budget
    assert len(selection.served) <= sum(word not in STOP_WORDS and word != "." for word in current.split())
    for text, mask, scores, serves in zip(texts, selection.masks, selection.scores, selection.serves, strict=True):
        assert ((serves >= 0) == mask).all()
        for index in mask.nonzero().flatten().tolist():
            assert text.mask[index] and text.pieces[index] not in STOP_WORDS and text.pieces[index] != "."
            assert scores[index] >= threshold
            assert now.mask[serves[index]]
            if threshold >= 0.6:
                assert now.pieces[serves[index]] == text.pieces[index]


@settings(max_examples=25, deadline=None)
@given(st.lists(prompts, min_size=1, max_size=6), prompts)
def test_every_word_told_before_is_served_by_the_newest_shot_that_tells_it(past, current):
    texts, now, selection = select(past, current, budget=1000)
    for index, word in enumerate(current.split()):
        if word in STOP_WORDS or word == ".":
            continue
        witnesses = [shot for shot, prompt in enumerate(past) if word in prompt.split()]
        keepers = [
            shot
            for shot, text in enumerate(texts)
            if any(text.pieces[i] == word for i in selection.masks[shot].nonzero().flatten().tolist())
        ]
        assert keepers == witnesses[-1:]
        assert not witnesses or word in {now.pieces[i] for i in selection.served}, index


def test_selecting_twice_gives_the_same():
    past = ["a cat is driving", "a dog rides a bicycle in snow"]
    first, second = select(past, "a cat rides a bicycle")[2], select(past, "a cat rides a bicycle")[2]
    for a, b in zip(first.scores + first.serves, second.scores + second.serves, strict=True):
        assert torch.equal(a, b)


def test_half_precision_chooses_the_same_words():
    def halved(prompt):
        text = embed(prompt)
        return TextEmbedding(text.ids, text.embeds.bfloat16(), text.mask, text.pieces)

    past = [halved("a cat is driving"), halved("a dog rides a bicycle")]
    assert kept(past, halved("a cat rides a bicycle")) == [["cat"], ["rides", "bicycle"]]


@pytest.mark.parametrize("wrong", [{"threshold": float("nan")}, {"threshold": -2.0}, {"budget": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError, match=r"selection: a (threshold|budget) of"):
        SelectionSettings(**wrong)


def test_selecting_needs_no_model_library():
    code = (
        "import sys, mpvg_core.history.select, mpvg_core.history.adapter; "
        "print([m for m in ('diffusers', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
