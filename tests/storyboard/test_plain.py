"""Plain text, line by line and in blocks."""

from __future__ import annotations

import pytest

from mpvg_core.errors import InputError
from mpvg_core.storyboard import parse_storyboard


def prompts_of(text: str) -> list[str]:
    return [shot.prompt for shot in parse_storyboard(text).shots]


def problem_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_storyboard(text, "b.txt")
    return str(caught.value)


def test_every_line_is_a_shot() -> None:
    assert prompts_of("A dog.\n\n# a remark\n  A cat.  \n") == ["A dog.", "A cat."]


@pytest.mark.parametrize(
    "marks", [("1. ", "2. "), ("1) ", "2) "), ("- ", "- "), ("Shot 1: ", "Shot 2: "), ("* ", "* ")]
)
def test_numbers_and_bullets_before_all_lines_are_left_out(marks: tuple[str, str]) -> None:
    assert prompts_of(f"{marks[0]}A dog.\n{marks[1]}A cat.") == ["A dog.", "A cat."]


def test_a_number_before_one_line_only_is_part_of_it() -> None:
    assert prompts_of("2. A dog.\nA cat.") == ["2. A dog.", "A cat."]


def test_heads_above_the_lines_are_the_boards() -> None:
    board = parse_storyboard("title: Pets\nStyle: ink\nseed: 4\nsize: 720x480\nA dog.\nA cat.")
    assert (board.title, board.style, board.seed, board.size, len(board.shots)) == ("Pets", "ink", 4, (720, 480), 2)


def test_a_line_with_markers_gives_its_scenes() -> None:
    assert prompts_of("前一幕：狗；下一幕：猫\nA bird.") == ["狗", "猫", "A bird."]


def test_blocks_have_heads_and_prompts_of_many_lines() -> None:
    board = parse_storyboard(
        """\
---
title: The chase
style: ink
---
name: start
seconds: 1.5
seed: 9
Mia runs
along the beach: fast.
---
looks_back: start
transition: crossfade
transition-seconds: 0.25
Close-up: Mia's face.
---
"""
    )
    first, second = board.shots
    assert (board.title, board.style, board.seed) == ("The chase", "ink", 0)
    assert (first.name, first.seconds, first.seed, first.prompt) == ("start", 1.5, 9, "Mia runs along the beach: fast.")
    assert (second.looks_back, second.transition, second.transition_seconds) == (("start",), "crossfade", 0.25)
    assert second.prompt == "Close-up: Mia's face."


def test_a_first_block_with_a_prompt_is_board_and_shot() -> None:
    board = parse_storyboard("title: Pets\nname: one\nseed: 3\nA dog.\n---\nA cat.")
    assert (board.title, board.seed, board.shots[0].name, board.shots[0].seed) == ("Pets", 0, "one", 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A dog.\n---\nsecnds: 2\nA cat.", "b.txt:3: unknown head 'secnds'"),
        ("A dog.\n---\nstyle: ink\nA cat.", "b.txt:3: 'style' is given for a single shot"),
        ("A dog.\n---\n---\nA cat.", "b.txt:2: there is nothing between two lines of ---"),
        ("A dog.\n---\nname: x", "b.txt:3: shot 'x': 'prompt' is missing"),
        ("A dog.\n---\nseconds: 1\nseconds: 2\nA cat.", "b.txt:4: 'seconds' is given twice"),
        ("A dog.\n---\nseconds: long\nA cat.", "b.txt:3: shot 2: 'seconds' is 'long'"),
        ("titel: x\nA dog.", "b.txt:1: unknown head 'titel'"),
        ("title: x", "b.txt:1: 'shots' is empty"),
        ("---", "b.txt:1: 'shots' is empty"),
        ("# only a remark", "b.txt:1: 'shots' is empty"),
        ("A dog.\nstyle: ink\nA cat.", "b.txt:2: 'style' stands where a prompt is expected"),
        ("A dog.\nStyle: ink", "move it to the top of the file"),
        ("looks_back: all\nA dog.", "b.txt:1: 'looks_back' stands where a prompt is expected"),
        ("A dog.\nlooks-back: all\nA cat.", "in a block between lines of ---"),
        ("A dog.\nseed: 3", "to the top of the file, or above its shot's prompt"),
        ("- A dog.\n- name: b", "b.txt:2: 'name' stands where a prompt is expected"),
        ("A dog.\n---\nA cat\nseconds: 2", "b.txt:4: 'seconds' stands where a prompt is expected"),
        ("prompts:\n - A dog.\n - A cat.", "b.txt:1: 'prompts:' is written as YAML"),
        ("film:\n- A dog.", "b.txt:1: 'film:' is written as YAML"),
        ("film: [A dog., A cat.]", "b.txt:1: 'film: [A dog., A cat.]' is written as YAML"),
        ("- prompt: A dog.\n  seconds: 2", "b.txt:1: '- prompt: A dog.' is written as YAML"),
        ('["A dog.", "A cat."]', "b.txt:1: the storyboard is a list of 2; expected keys and values, among them"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, says: str) -> None:
    assert says in problem_of(text)


@pytest.mark.parametrize(
    "prompt",
    ["Mia: runs.", "Close-up: a style of ink.", "Mia: [laughing] come!", "[Mia] runs.", "Overview: a town.", "a - b"],
)
def test_a_prompt_may_hold_colons_brackets_and_hyphens(prompt: str) -> None:
    assert prompts_of(f"A dog.\n{prompt}") == ["A dog.", prompt]
