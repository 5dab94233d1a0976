"""Full prompts: the same words for the same person, place and style in every shot."""

from __future__ import annotations

import pytest

from mpvg_core.storyboard import Actor, Place, Shot, Storyboard
from mpvg_core.storyboard.wording import expand_looks, full_prompt, with_style

MIA = Actor(name="Mia", look="a girl in a red coat")
TALL_MIA = Actor(name="Mia Lund", look="a tall woman")


def test_a_look_follows_the_first_mention_only() -> None:
    text, mentioned = expand_looks("Mia runs, then Mia rests.", [MIA])
    assert text == "Mia (a girl in a red coat) runs, then Mia rests."
    assert mentioned == ("Mia",)


def test_the_longer_of_two_names_wins() -> None:
    text, mentioned = expand_looks("Mia Lund waves at Mia.", [MIA, TALL_MIA])
    assert text == "Mia Lund (a tall woman) waves at Mia (a girl in a red coat)."
    assert set(mentioned) == {"Mia", "Mia Lund"}


@pytest.mark.parametrize("prompt", ["Miami burns.", "mia runs.", "ExMia runs.", "Mia2 runs."])
def test_a_name_inside_another_word_or_case_is_not_that_name(prompt: str) -> None:
    assert expand_looks(prompt, [MIA]) == (prompt, ())


def test_actor_1_is_not_actor_10() -> None:
    cast = [Actor(name="Actor 1", look="red"), Actor(name="Actor 10", look="blue")]
    assert expand_looks("Actor 10 meets Actor 1.", cast)[0] == "Actor 10 (blue) meets Actor 1 (red)."


def test_a_possessive_is_a_mention() -> None:
    assert expand_looks("Mia's dog.", [MIA])[0] == "Mia (a girl in a red coat)'s dog."


def test_a_place_may_begin_a_sentence() -> None:
    beach = Place(name="the beach", look="wet sand")
    assert expand_looks("The beach is empty.", [beach])[0] == "The beach (wet sand) is empty."


def test_looks_are_not_searched_for_names() -> None:
    cast = [Actor(name="Ann", look="the sister of Bob"), Actor(name="Bob", look="a man")]
    assert expand_looks("Ann meets Bob.", cast)[0] == "Ann (the sister of Bob) meets Bob (a man)."


def test_chinese_names_need_no_spaces_around_them() -> None:
    text, _ = expand_looks("小明在雪地里跑，小明停下。", [Actor(name="小明", look="穿红衣的男孩")])
    assert text == "小明（穿红衣的男孩）在雪地里跑，小明停下。"
    assert expand_looks("看Mia跑", [MIA])[0] == "看Mia (a girl in a red coat)跑"


def test_a_name_without_a_look_is_mentioned_and_left_alone() -> None:
    assert expand_looks("Actor 1 runs.", [Actor(name="Actor 1")]) == ("Actor 1 runs.", ("Actor 1",))


def test_a_name_with_signs_of_patterns_is_only_a_name() -> None:
    assert expand_looks("R.2 (x) and RX2.", [Actor(name="R.2", look="a robot")])[0] == "R.2 (a robot) (x) and RX2."


@pytest.mark.parametrize(
    ("text", "style", "expected"),
    [
        ("A dog.", "", "A dog."),
        ("A dog", "", "A dog"),
        ("A dog.", "Ink.", "A dog. Ink."),
        ("A dog", "Ink.", "A dog. Ink."),
        ("A dog!", "Ink.", "A dog! Ink."),
        ("一只狗", "水墨画。", "一只狗。水墨画。"),
        ("一只狗。", "水墨画。", "一只狗。水墨画。"),
    ],
)
def test_the_style_is_a_sentence_of_its_own(text: str, style: str, expected: str) -> None:
    assert with_style(text, style) == expected


def test_style_and_looks_come_in_the_same_words_in_every_shot() -> None:
    shots = (Shot(prompt="Mia runs."), Shot(prompt="At night Mia sleeps."))
    board = Storyboard(style="Ink on paper.", cast=(MIA,), shots=shots)
    texts = [full_prompt(board, shot.prompt).text for shot in board.shots]
    assert all("Mia (a girl in a red coat)" in text and text.endswith(" Ink on paper.") for text in texts)


def test_without_style_and_looks_the_full_prompt_is_the_prompt() -> None:
    board = Storyboard(shots=(Shot(prompt="Actor 1 is running on the playground."),))
    assert full_prompt(board, board.shots[0].prompt).text == "Actor 1 is running on the playground."
