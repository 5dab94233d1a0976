"""Methods in a storyboard: how they are written, what holds for whom, and what cannot be."""

from __future__ import annotations

import pytest

from mpvg_core.errors import InputError
from mpvg_core.storyboard.dump import dump_storyboard
from mpvg_core.storyboard.method import METHODS, Edit, KeepLook, Method, Windows
from mpvg_core.storyboard.plan import plan_film
from mpvg_core.storyboard.read import parse_storyboard


def board_of(text):
    return parse_storyboard(text, source="b.yaml")


def plan_of(text, limits):
    return plan_film(board_of(text), limits)


def problems_of(text, limits=None):
    with pytest.raises(InputError) as caught:
        board = board_of(text)
        plan_film(board, limits)
    return [str(problem) for problem in caught.value.problems]


def test_every_method_has_its_name_in_the_table():
    assert dict(METHODS) == {
        name: next(part for part in _kinds(field.annotation)) for name, field in Method.model_fields.items()
    }


def _kinds(annotation):
    for part in getattr(annotation, "__args__", ()):
        inner = getattr(part, "__origin__", part)
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            yield inner


def test_a_method_is_written_by_name_by_its_main_number_or_with_its_settings():
    by_name = board_of("method: keep look\nshots: [A.]").method
    assert by_name.chosen == {"keep_look": KeepLook()}
    assert board_of("method: [windows, keep_look]\nshots: [A.]").method.chosen == {
        "windows": Windows(),
        "keep_look": KeepLook(),
    }
    assert board_of("method: {keep_look: 0.5}\nshots: [A.]").method.chosen == {"keep_look": KeepLook(strength=0.5)}
    whole = board_of("method: {windows: {overlap: 2, weights: flat}}\nshots: [A.]").method
    assert whole.chosen == {"windows": Windows(overlap=2, weights="flat")}


@pytest.mark.parametrize(("word", "meant"), [("on", True), ("off", False), ("true", True), ('"off"', False)])
def test_what_a_method_switches_is_on_or_off_as_the_page_of_the_format_writes_it(word, meant):
    methods = f"{{windows: {{freenoise: {word}}}, control: {{shot: a, edges: {word}}}}}"
    board = board_of(f"shots:\n- {{prompt: A., name: a}}\n- {{prompt: B., method: {methods}}}\n")
    assert board.shots[1].method.windows.freenoise is meant and board.shots[1].method.control.edges is meant
    assert parse_storyboard(dump_storyboard(board)) == board


def test_a_board_with_methods_is_dumped_and_read_back():
    board = board_of(
        "method: {keep_look: 0.5}\nshots:\n- {prompt: A., name: a}\n"
        "- {prompt: B., method: {keep_look: off, edit: {shot: a, box: [0, 0, 0.5, 1]}}}\n"
        "- {prompt: C., transition: smooth}\n"
    )
    assert parse_storyboard(dump_storyboard(board)) == board
    assert board.shots[1].method.keep_look is False


def test_a_shot_is_made_as_the_board_says_where_it_does_not_say_otherwise(limits):
    shots = plan_of(
        "method: {keep_look: 0.5, history_parts: 0.3}\nshots:\n- {prompt: A., name: a}\n- B.\n"
        "- {prompt: C., method: {keep_look: off}}\n- {prompt: D., method: {keep_look: {shot: shot 2}}}",
        limits,
    ).shots
    assert [list(shot.method.chosen) for shot in shots] == [
        ["history_parts"],  # the first shot has nothing to keep
        ["keep_look", "history_parts"],
        ["history_parts"],
        ["keep_look", "history_parts"],
    ]
    assert [shot.method.shots for shot in shots] == [(), ("a",), (), ("shot 2",)]


def test_methods_of_other_steps_and_takes_as_long_as_their_latents_go_together(limits):
    layout = "layout: [{entity: fox, box: [0, 0, 1, 1]}]"
    methods = "method: {keep_look: {interval: [0.5, 1]}, regions: {interval: 0.5}}"
    board = f"cast: [{{name: fox}}]\nshots:\n- A fox.\n- {{prompt: A fox sits., {layout}, {methods}}}"
    assert list(plan_of(board, limits).shots[1].method.chosen) == ["keep_look", "regions"]
    coarse = "{prompt: A., frames: 17, method: {infill: {keys: 3}}}"
    plan = plan_of(f"shots:\n- {coarse}\n- {{prompt: B., frames: 17, method: {{edit: {{shot: shot 1}}}}}}", limits)
    assert [shot.frames for shot in plan.shots] == [33, 17]
    off = "method: {same_background: {strength: 0, foreground: [0, 0, 1, 1]}}"
    assert plan_of(f"{off}\nshots:\n- {{prompt: A., frames: 9}}\n- {{prompt: B., frames: 17}}", limits)


def test_smooth_shots_are_one_take_and_remember_nothing_of_each_other(limits):
    shots = plan_of(
        "shots:\n- A.\n- {prompt: B., frames: 17}\n- {prompt: C., frames: 17, transition: smooth}\n- D.", limits
    ).shots
    assert [shot.frames for shot in shots] == [49, 17, 16, 49]
    assert [shot.looks_back for shot in shots] == [(), ("shot 1",), ("shot 1",), ("shot 1", "shot 2", "shot 3")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shots: [{prompt: A., transition: smooth}]", "the first shot has nothing to go on from"),
        ("shots: [A., {prompt: B., method: {kep_look: 1}}]", "unknown key 'kep_look'"),
        ("shots: [A., {prompt: B., method: {keep_look: 3}}]", "'strength' is 3; expected less than or equal to 1"),
        ("shots: [A., {prompt: B., method: {edit: {}}}]", "edit needs a clip to begin with; expected one of shot"),
        ("shots: [A., {prompt: B., method: {edit: {shot: shot 2}}}]", "method names 'shot 2', which is not earlier"),
        ("shots: [A., {prompt: B., method: {edit: {shot: shut 1}}}]", "did you mean 'shot 1'?"),
        ("shots: [A., {prompt: B., method: 4}]", "method is 4; expected names of methods"),
        ("shots: [A., {prompt: B., method: {ends: {strength: 1}}}]", "ends names no picture"),
        ("shots: [A., {prompt: B., transition: smooth, method: {causal: 3}}]", "causal for a part of a take"),
        ("shots: [A., {prompt: B., transition: smooth, negative: x}]", "another negative prompt"),
        ("shots: [A., {prompt: B., transition: smooth, frames: 1}]", "a smooth transition to a shot of 1 frame"),
        ("shots: [A., {prompt: B., method: [keep_look, causal]}]", "methods keep_look and causal, which each change"),
        (
            "shots: [A., {prompt: B., method: {edit: {shot: shot 1}, ends: {start: p.png, strength: 0.5}}}]",
            "methods edit and ends, which each begin the clip elsewhere; expected one of them",
        ),
        (
            "shots: [A., {prompt: B., method: {keep_look: {interval: [0.8, 0.2]}}}]",
            "'interval' is [0.8, 0.2]; expected where it begins before where it ends",
        ),
        (
            "shots: [{prompt: A., frames: 9}, {prompt: B., frames: 17, method: {edit: {shot: shot 1}}}]",
            "method edit with shot 1 of 9 frames; expected 17, as the shot has",
        ),
        (
            "shots: [{prompt: A., frames: 9}, "
            "{prompt: B., frames: 17, method: {same_background: {foreground: [0, 0, 1, 0.5]}}}]",
            "method same_background with shot 1 of 9 frames",
        ),
        (
            "shots: [{prompt: A., frames: 17, method: history_parts}, {prompt: B., frames: 17, transition: smooth}]",
            "method history_parts in a take of several shots",
        ),
        ("shots: [{prompt: A., method: regions}]", "method regions without a layout"),
        ("shots: [{prompt: A., method: control}]", "method control without a layout"),
        ("shots: [{prompt: A., method: moving_noise}]", "method moving_noise without a layout"),
        ("shots: [A., {prompt: B., method: {control: {shot: shot 1, video: a.mp4}}}]", "control has two clips"),
        ("shots: [A., {prompt: B., method: {control: {shot: shot 1, edges: some}}}]", "'edges' is 'some'"),
        ("shots: [A., {prompt: B., method: {one_shot: {}}}]", "'tuning' is missing"),
        ("shots: [{prompt: A., frames: 17, method: {infill: {keys: 4}}}]", "infill with 4 keys of a clip of 17 frames"),
        ("shots: [{prompt: A., method: {infill: 1, moving_noise: [[0, 0], [8, 0]]}}]", "in a shot that infill makes"),
    ],
)
def test_what_cannot_be_is_one_clear_problem(limits, text, said):
    problems = problems_of(text, limits)
    assert len(problems) == 1 and said in problems[0]
    assert problems[0].startswith("b.yaml:1: shot")


def test_files_and_shots_that_a_method_names_are_known():
    method = Method(edit=Edit(video="a.mp4", mask="m.png"))
    assert method.files == ("a.mp4", "m.png") and method.shots == ()
    assert method.to_json()["edit"]["strength"] == 0.6
