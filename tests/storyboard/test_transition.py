"""Transition prompts in English and Chinese."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpvg_core.storyboard import ModelLimits, parse_storyboard, plan_film

PROMPTS = json.loads((Path(__file__).parent / "data" / "tav_prompts.json").read_text(encoding="utf-8"))
CASES = [(group, text, shots) for group, shots in (("A", 1), ("B", 2), ("C", 2)) for text in PROMPTS[group]]


def prompts_of(text: str) -> list[str]:
    return [shot.prompt for shot in parse_storyboard(text).shots]


def test_there_are_sixty_published_prompts() -> None:
    assert len(CASES) == 60


@pytest.mark.parametrize(
    ("group", "text", "shots"), CASES, ids=[f"{g}{i % 20 + 1}" for i, (g, _, _) in enumerate(CASES)]
)
def test_every_published_prompt_plans_as_its_group_says(group: str, text: str, shots: int, limits: ModelLimits) -> None:
    plan = plan_film(parse_storyboard(text), limits)
    assert len(plan.shots) == shots
    said = "".join(shot.full_prompt for shot in plan.shots)
    assert not any(marker in said for marker in ("场景：", "幕：", "；", "然后下"))
    if group != "C":
        assert said == text.replace("；", "")


def test_the_scenes_of_a_marked_prompt_are_what_stands_after_the_markers() -> None:
    assert prompts_of(PROMPTS["C"][1]) == ["一群帐篷搭建在树林中", "一只鸟在日落时分飞过水面"]
    assert prompts_of(PROMPTS["C"][17]) == ["一个人走动的模糊身影", "一个紫色花瓶，瓶中有一朵白色的花"]


@pytest.mark.parametrize(
    "text",
    [
        "Previous scene: a dog runs; then next scene: a cat sleeps",
        "previous scene:a dog runs;next scene:a cat sleeps",
        "PREVIOUS SCENE : a dog runs, THEN NEXT SCENE : a cat sleeps",
        "Previous shot： a dog runs； and then the next shot： a cat sleeps",
        "Previos scence: a dog runs; than nxt scene: a cat sleeps",
        "The previous scene: a dog runs\nThen the following scene: a cat sleeps\n",
        "Prior clip: a dog runs - afterwards, the subsequent clip: a cat sleeps",
        "“Previous scene: a dog runs; then next scene: a cat sleeps”",
        "Previous scene:\n  a dog runs\nNext scene:\n  a cat sleeps\n",
        "Previous scene is a dog runs; next scene is a cat sleeps",
        "Previous scene - a dog runs; next scene - a cat sleeps",
        "Previous scene, a dog runs; next scene, a cat sleeps",
        "Scene 1: a dog runs; scene 2: a cat sleeps",
        "First scene: a dog runs; second scene: a cat sleeps",
    ],
)
def test_english_markers_are_read_in_many_spellings(text: str) -> None:
    assert prompts_of(text) == ["a dog runs", "a cat sleeps"]


@pytest.mark.parametrize(
    "text",
    [
        "前一场景：狗在跑；然后下一场景：猫在睡",
        "前一场景:狗在跑;然后下一场景:猫在睡",
        "上一个镜头：狗在跑，接着下一个镜头：猫在睡",
        "之前的场景：狗在跑；随后下一个场景：猫在睡",
        "上一幕：狗在跑\n下一幕：猫在睡",
        "前一個場景：狗在跑；接著下一個場景：猫在睡",
        "前一画面： 狗在跑； 紧接着，下一画面： 猫在睡",
        "前一场景：狗在跑；后一场景：猫在睡",
        "前一场景，狗在跑；下一场景，猫在睡",
        "前一场景是狗在跑；然后下一场景是：猫在睡",
        "场景一：狗在跑；场景二：猫在睡",
    ],
)
def test_chinese_markers_are_read_in_many_spellings(text: str) -> None:
    assert prompts_of(text) == ["狗在跑", "猫在睡"]


def test_more_next_scenes_give_more_shots() -> None:
    assert prompts_of("Previous scene: a; then next scene: b; then next scene: c") == ["a", "b", "c"]
    assert prompts_of("First shot: a; second shot: b; third shot: c") == ["a", "b", "c"]


def test_a_full_stop_belongs_to_its_sentence() -> None:
    assert prompts_of("Previous scene: A dog runs. Next scene: A cat sleeps.") == ["A dog runs.", "A cat sleeps."]


def test_semicolons_divide_a_text_of_one_line_only() -> None:
    assert prompts_of("a dog; a cat") == ["a dog", "a cat"]
    assert prompts_of("a dog; a cat\na bird") == ["a dog; a cat", "a bird"]


@pytest.mark.parametrize(
    "text", ["The next scene: a dog", "A scene: a dog", "In the previous scene: a dog", "Close shot: a dog"]
)
def test_a_sentence_that_only_talks_of_scenes_is_one_shot(text: str) -> None:
    assert prompts_of(text) == [text]


def test_a_marker_without_a_scene_is_an_error() -> None:
    from mpvg_core.errors import InputError

    with pytest.raises(InputError, match="shot 2: the prompt is empty"):
        parse_storyboard("前一场景：狗；下一场景：")
