"""The prompts of a transition."""

from __future__ import annotations

import pytest

from mpvg_core.datasets.prompts import tidy_caption, transition_prompts
from mpvg_core.errors import InputError
from mpvg_core.storyboard import parse_storyboard


def shots(prompt):
    return [shot.prompt for shot in parse_storyboard(prompt).shots]


@pytest.mark.parametrize(
    ("before", "after", "read"),
    [
        ("a girl by a tree", "a wood in the evening", ["a girl by a tree", "a wood in the evening"]),
        ("A dog runs.", "A cat sleeps.", ["A dog runs", "A cat sleeps"]),
        ("a dog; a ball", "a cat;  a bed;", ["a dog, a ball", "a cat, a bed"]),
        ("一个女孩站在树前。", "黄昏的树林", ["一个女孩站在树前", "黄昏的树林"]),
        ("一只狗；一个球", "一只猫", ["一只狗，一个球", "一只猫"]),
        ("1. a dog", "2. a cat - a grey one, then asleep", ["1. a dog", "2. a cat - a grey one, then asleep"]),
    ],
)
def test_both_prompts_are_read_as_the_two_captions(before, after, read):
    if before.startswith("1."):
        with pytest.raises(InputError):  # numbers before all scenes are layout and would be lost
            transition_prompts(before, after)
        return
    explicit, implicit = transition_prompts(before, after)
    assert shots(explicit) == read and shots(implicit) == read


def test_the_wording_is_the_published_one():
    explicit, implicit = transition_prompts("a dog", "a cat")
    assert explicit == "Previous scene: a dog; then next scene: a cat" and implicit == "a dog; a cat"
    assert transition_prompts("一只狗", "一只猫") == ("前一场景：一只狗；然后下一场景：一只猫", "一只狗；一只猫")


@pytest.mark.parametrize("caption", ["a dog, next scene: a horse", "Previous scene: a dog", "", " ; "])
def test_captions_that_could_not_be_told_apart_again_are_refused(caption):
    with pytest.raises(InputError, match="make no prompt of two scenes"):
        transition_prompts(caption, "a cat")


@pytest.mark.parametrize(
    ("text", "caption"),
    [(" a dog\n\truns ", "a dog runs"), ('"a dog"', "a dog"), ("...", ""), ("a\x00b\ud800", "a b"), ("", "")],
)
def test_a_caption_is_one_line_of_printable_text(text, caption):
    assert tidy_caption(text) == caption
