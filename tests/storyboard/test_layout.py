"""Layouts: what may be said, what is refused and where, how boxes move; boards without them stay as they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpvg_core.errors import InputError
from mpvg_core.storyboard import Placement, Shot, Storyboard, dump_storyboard, parse_storyboard, plan_film
from mpvg_core.storyboard.layout import box_at, tracks

BOARD = """\
cast: {Mia: a girl in red, Tom: a man in blue}
shots:
  - prompt: Mia runs past a dog.
    layout:
      - {entity: Mia, box: [0, 0.25, 0.5, 0.75]}
      - {entity: Mia, at: 1, box: [0.5, 0.25, 0.5, 0.75]}
      - {entity: a dog, box: [0.4, 0.5, 0.2, 0.5]}
  - Tom sleeps.
"""


def lines_of(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_storyboard(text, "b.yaml")
    return [str(problem) for problem in caught.value.problems]


def with_line(line: str) -> str:
    return f"cast: {{Mia: a girl}}\nshots:\n  - prompt: Mia runs.\n    layout:\n      - {line}\n"


def test_a_layout_says_who_is_where_and_when() -> None:
    board = parse_storyboard(BOARD, "b.yaml")
    assert board.shots[0].layout == (
        Placement(entity="Mia", box=(0, 0.25, 0.5, 0.75), at=0),
        Placement(entity="Mia", box=(0.5, 0.25, 0.5, 0.75), at=1),
        Placement(entity="a dog", box=(0.4, 0.5, 0.2, 0.5)),
    )
    assert board.shots[1].layout == ()


def test_a_board_with_a_layout_that_is_written_and_read_again_is_the_same_board() -> None:
    board = parse_storyboard(BOARD, "b.yaml")
    text = dump_storyboard(board)
    assert "box: [0.5, 0.25, 0.5, 0.75]" in text
    assert parse_storyboard(text, "b.yaml") == board
    assert parse_storyboard(json.dumps(board.model_dump(mode="json")), "b.json") == board


def test_a_board_without_layouts_is_written_without_them() -> None:
    assert "layout" not in dump_storyboard(Storyboard(shots=(Shot(prompt="A dog."),)))


NUMBERS = st.floats(0, 1).map(lambda n: n or 0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["Mia", "runs"]), NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_any_layout_survives_writing_and_reading(lines: list[tuple[str, float, float]]) -> None:
    layout = {(entity, at): Placement(entity=entity, at=at, box=(x, 0, 1 - x, 1)) for entity, at, x in lines}
    board = Storyboard(title="T", shots=(Shot(prompt="Mia runs.", layout=tuple(layout.values())),))
    assert parse_storyboard(dump_storyboard(board), format="yaml") == board


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{entity: Mia, box: [0, 0, 1]}", "the box is a list of 3; expected [left, top, width, height]"),
        ("{entity: Mia, box: [0, 0, 300, 200]}", "the box holds 300; expected [left, top, width, height], each from 0"),
        ("{entity: Mia, box: [-0.1, 0, 1, 1]}", "the box holds -0.1"),
        ("{entity: Mia, box: [0, 0, yes, 1]}", "the box holds 'yes'"),
        ("{entity: Mia, box: [0, 0, true, 1]}", "the box holds true"),
        ("{entity: Mia, box: [0.6, 0, 0.7, 1]}", "beyond the right edge, at 1.3"),
        ("{entity: Mia, box: [0, 0.6, 0.7, 1]}", "beyond the lower edge, at 1.6"),
        ("{entity: Mia, at: 2, box: [0, 0, 1, 1]}", "'at' is 2; expected less than or equal to 1"),
        ("{entity: Mia}", "'box' is missing"),
        (
            "{entity: Mia, boxes: [0, 0, 1, 1]}",
            "unknown key 'boxes'; expected one of entity, box, at; did you mean 'box'",
        ),
        ("Mia", "a line of the layout is 'Mia'; expected entity: … and box: …"),
        ("{entity: Mai, box: [0, 0, 1, 1]}", "whom neither cast, places nor the prompt names"),
    ],
)
def test_what_is_no_layout_is_refused_with_its_line_and_shot(line: str, said: str) -> None:
    problems = lines_of(with_line(line))
    assert all(problem.startswith("b.yaml:5: shot 1: ") for problem in problems)
    assert any(said in problem for problem in problems), problems


def test_a_mistyped_entity_is_guessed() -> None:
    assert "did you mean 'Mia'?" in lines_of(with_line("{entity: Mai, box: [0, 0, 1, 1]}"))[0]


def test_two_boxes_at_one_time_are_refused_and_overlapping_ones_are_not() -> None:
    twice = with_line("{entity: Mia, box: [0, 0, 1, 1]}\n      - {entity: Mia, box: [0, 0, 1, 0.5]}")
    assert any("'Mia' has two boxes at 0" in problem for problem in lines_of(twice))
    over = twice.replace("entity: Mia, box: [0, 0, 1, 0.5]", "entity: runs, box: [0, 0, 1, 0.5]")
    assert len(parse_storyboard(over, "b.yaml").shots[0].layout) == 2


def test_a_box_without_width_is_allowed() -> None:
    assert parse_storyboard(with_line("{entity: Mia, box: [0.2, 0, 0, 1]}"), "b.yaml").shots[0].layout[0].box[2] == 0


def test_a_box_goes_in_a_straight_line_and_stays_at_its_ends() -> None:
    layout = [
        Placement(entity="Mia", at=0.75, box=(0.5, 0, 0.5, 1)),
        Placement(entity="Tom", at=0.5, box=(0, 0, 1, 1)),
        Placement(entity="Mia", at=0.25, box=(0, 0, 0.5, 0.5)),
    ]
    found = tracks(layout)
    assert list(found) == ["Mia", "Tom"]
    mia = found["Mia"]
    assert box_at(mia, 0) == box_at(mia, 0.25) == (0, 0, 0.5, 0.5)
    assert box_at(mia, 0.5) == (0.25, 0, 0.5, 0.75)
    assert box_at(mia, 0.75) == box_at(mia, 1) == (0.5, 0, 0.5, 1)
    assert box_at(found["Tom"], 0.1) == (0, 0, 1, 1)


def test_a_track_of_no_boxes_has_no_box() -> None:
    with pytest.raises(ValueError, match="at least one box"):
        box_at((), 0.5)


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, st.tuples(*[NUMBERS] * 4)), min_size=1, max_size=5, unique_by=lambda key: key[0]))
def test_a_moving_box_stays_within_its_given_boxes(keys: list[tuple[float, tuple[float, ...]]]) -> None:
    keys.sort()
    for step in range(11):
        box = box_at(keys, step / 10)  # type: ignore[arg-type]
        for side, number in enumerate(box):
            given = [key[1][side] for key in keys]
            assert min(given) - 1e-9 <= number <= max(given) + 1e-9


def test_the_plan_keeps_layouts_and_says_who_is_placed_but_not_named(limits) -> None:
    plan = plan_film(parse_storyboard(BOARD.replace("entity: a dog", "entity: Tom"), "b.yaml"), limits)
    assert [line.words for line in plan.shots[0].layout] == ["Mia (a girl in red)"] * 2 + ["Tom (a man in blue)"]
    assert "the layout places 'Tom', whom the prompt does not name" in plan.shots[0].notes
    assert not plan.shots[1].notes
    first, second = plan.to_json()["shots"]
    mia = {"entity": "Mia", "words": "Mia (a girl in red)", "box": [0.5, 0.25, 0.5, 0.75], "at": 1.0}
    assert first["layout"][1] == mia
    assert second["layout"] == []
    json.dumps(plan.to_json())
