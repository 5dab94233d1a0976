"""StoryMem's and HoloCine's scripts, and how formats are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpvg_core.errors import InputError
from mpvg_core.storyboard import ModelLimits, parse_storyboard, plan_film, read_storyboard
from mpvg_core.storyboard.read import tell_format

STORY = {
    "story_overview": "Two friends cross a desert.",
    "scenes": [
        {"scene_num": 1, "cut": [True, False], "video_prompts": ["A desert.", "A camel walks."]},
        {"scene_num": 2, "cut": [True], "video_prompts": ["A well."]},
    ],
}

HOLOCINE = """\
[global caption] The scene is set in a 1920s ballroom. It features [character1], a mysterious woman with a dark bob, \
and [character2], a man in a tuxedo. [character3] is an old waiter. This scene contains 3 shots.
[per shot caption] Medium shot of [character1] by a pillar. |
[shot cut] [character2] looks at [character1].
[Shot Cut] [character3] pours.
"""


def test_a_storymem_script_gives_a_shot_for_every_video_prompt() -> None:
    board = parse_storyboard(json.dumps(STORY))
    assert board.overview == "Two friends cross a desert."
    assert [(shot.name, shot.prompt, shot.continues) for shot in board.shots] == [
        ("scene 1 shot 1", "A desert.", False),
        ("scene 1 shot 2", "A camel walks.", True),
        ("scene 2 shot 1", "A well.", False),
    ]


def test_storymem_cuts_may_be_words() -> None:
    story = {
        "scenes": [{"cut": ["True", "False"], "video_prompts": ["A.", "B."]}, {"cut": "False", "video_prompts": ["C."]}]
    }
    assert [shot.continues for shot in parse_storyboard(json.dumps(story)).shots] == [False, True, True]


def test_a_shot_that_should_go_on_without_a_cut_is_planned_with_a_note(limits: ModelLimits) -> None:
    plan = plan_film(parse_storyboard(json.dumps(STORY)), limits)
    assert [bool(shot.notes) for shot in plan.shots] == [False, True, False]
    assert "goes on" in plan.shots[1].notes[0] or "go on" in plan.shots[1].notes[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cut": [True]}, "s.json:6: scene 1: 'cut' has 1 entries for 2 prompts"),
        ({"cut": ["yes", True]}, "scene 1: 'cut' is a list of 2"),
        ({"video_prompts": []}, "scene 1: 'video_prompts' is a list of 0"),
        ({"scene_num": "one"}, "scene 1: 'scene_num' is 'one'"),
        ({"scene_num": 2}, "the name 'scene 2 shot 1' is also shot 1's"),
        ({"vidoe_prompts": 1}, "did you mean 'video_prompts'?"),
        ({"video_prompts": ["A.", 3]}, "shot 'scene 1 shot 2': 'prompt' is 3"),
    ],
)
def test_a_broken_storymem_script_says_where(change: dict[str, object], says: str) -> None:
    first, second = STORY["scenes"]
    story = {**STORY, "scenes": [{**first, **change}, second]}  # type: ignore[dict-item]
    with pytest.raises(InputError) as caught:
        parse_storyboard(json.dumps(story, indent=1), "s.json")
    assert says in str(caught.value)


def test_holocine_tags_give_shots_cast_and_style() -> None:
    board = parse_storyboard(HOLOCINE)
    assert [shot.prompt for shot in board.shots] == [
        "Medium shot of Character 1 by a pillar.",
        "Character 2 looks at Character 1.",
        "Character 3 pours.",
    ]
    assert {actor.name: actor.look for actor in board.cast} == {
        "Character 1": "a mysterious woman with a dark bob",
        "Character 2": "a man in a tuxedo",
        "Character 3": "an old waiter",
    }
    assert board.style == "The scene is set in a 1920s ballroom."


def test_a_sentence_in_which_a_character_acts_is_style_and_no_look() -> None:
    board = parse_storyboard("[global caption] [character1] walks into a hall. [per shot caption] A hall.")
    assert (board.style, board.cast) == ("Character 1 walks into a hall.", ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HOLOCINE.replace("3 shots", "five shots"), "h.txt:1: the caption says 5 shots and there are 3"),
        ("[per shot caption] A.\n[shot cut]\n[shot cut] B.", "h.txt:2: shot 2: the prompt is empty"),
        ("[per shot caption] A.\n[per shot caption] B.", "h.txt:2: [per shot caption] is given twice"),
        ("A [shot cut] B.", "h.txt:1: there is text before the first tag"),
        ("[global caption] x", "'shots' is empty"),
    ],
)
def test_a_broken_holocine_script_says_where(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_storyboard(text, "h.txt")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("A dog.", "b.yaml", "yaml"),
        ("A dog.", "b.YML", "yaml"),
        ("A dog.", "b.json", "json"),
        ('\n {"shots": []}', "<text>", "json"),
        ("title: x\nshots:\n- A", "b.txt", "yaml"),
        ("[per shot caption] A [shot cut] B", "b.txt", "holocine"),
        ("前一幕：A；下一幕：B", "b.txt", "transition"),
        ("A; B", "b.txt", "transition"),
        ("A dog.", "b.txt", "text"),
        ("title: x\n---\nA dog.", "b.txt", "text"),
    ],
)
def test_formats_are_told_by_ending_then_by_marks_in_the_text(text: str, source: str, expected: str) -> None:
    assert tell_format(text, source) == expected


def test_a_named_format_is_taken_at_its_word() -> None:
    assert len(parse_storyboard("a; b", format="text").shots) == 1
    with pytest.raises(InputError, match="did you mean 'holocine'"):
        parse_storyboard("a", format="holocin")


def test_the_demo_is_four_plain_prompts_without_looks(limits: ModelLimits) -> None:
    demo = Path(__file__).resolve().parents[2] / "workflows" / "four_shots.yaml"
    plan = plan_film(read_storyboard(demo), limits)
    assert plan.title == "Four shots, two actors"
    assert [shot.full_prompt for shot in plan.shots] == [
        "Actor 1 is running on the playground.",
        "Actor 2 is skiing on the snow.",
        "Actor 2 is running on the playground.",
        "Actor 1 is skiing on the snow.",
    ]
    assert {shot.frames for shot in plan.shots} == {49}
