"""Whatever comes in, a storyboard or an input error comes out."""

from __future__ import annotations

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpvg_core.errors import InputError
from mpvg_core.storyboard import Storyboard, dump_storyboard, parse_storyboard, plan_film
from mpvg_core.storyboard.plan import ModelLimits
from mpvg_core.storyboard.read import READERS

LIMITS = ModelLimits("toy", 49, 8, 8, 720, 480, 16, 226, lambda text: len(text.split()))

VALID = [
    "version: 1\ntitle: T\nstyle: Ink.\ncast: {Mia: a girl}\nfps: 8\nsize: [720, 480]\nseed: 3\nshots:\n"
    "  - Mia runs.\n  - {name: b, prompt: 'She: rests', seconds: 2, transition: crossfade, looks_back: [shot 1]}\n",
    '{"version": 1, "cast": [{"name": "Mia", "look": "x"}], "shots": ["A.", {"prompt": "B.", "looks_back": 1}]}',
    "title: T\nstyle: ink\n---\nname: a\nseconds: 1.5\nA dog\nruns.\n---\nlooks_back: a\nA cat.\n",
    "1. A dog.\n2. A cat.\n",
    "Previous scene: a dog; then next scene: a cat",
    "前一场景：狗；然后下一场景：猫",
    '{"story_overview": "o", "scenes": [{"scene_num": 1, "cut": [true, false], "video_prompts": ["A", "B"]}]}',
    "[global caption] [character1] is a man. Two shots. [per shot caption] [character1] runs. [shot cut] B.",
]
FORMATS = [None, *READERS]
MARKS = st.sampled_from(
    [
        *"{}[]:,-#&*!|>'\"%@`?\n\t ;；：.",
        "---\n",
        "shots:",
        "- ",
        "\\u",
        "\\ud800",
        "<<: ",
        "!!str ",
        "[shot cut]",
        "null",
        "\0",
    ]
)
PIECES = st.one_of(st.text(max_size=8), MARKS, st.sampled_from(["\u2028", "\x85", "\ufeff", "\ufffe", "😀", "e\u0301"]))

check = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def storyboard_or_input_error(data: str | bytes, format: str | None) -> None:
    """Fails for any other exception; a board that comes out survives writing and reading, and plans or is refused."""
    try:
        board = parse_storyboard(data, "<text>", format)
    except InputError as error:
        for problem in error.problems:
            line = str(problem)
            assert line.startswith("<text>")
            assert "\n" not in line
            line.encode()
        return
    assert parse_storyboard(dump_storyboard(board), format="yaml") == board
    try:
        plan = plan_film(board, LIMITS)
    except InputError:
        return
    assert len(plan.shots) == len(board.shots) >= 1


@pytest.mark.parametrize("format", FORMATS)
def test_any_bytes(format: str | None) -> None:
    check(given(st.binary(max_size=200))(lambda data: storyboard_or_input_error(data, format)))()


@pytest.mark.parametrize("format", FORMATS)
def test_any_text(format: str | None) -> None:
    text = st.lists(PIECES, max_size=30).map("".join)
    check(given(text)(lambda data: storyboard_or_input_error(data, format)))()


@pytest.mark.parametrize("format", FORMATS)
def test_a_valid_board_with_a_piece_cut_out_put_in_or_doubled(format: str | None) -> None:
    @check
    @given(st.data(), st.sampled_from(VALID), st.integers(1, 3))
    def mutate(data: st.DataObject, text: str, times: int) -> None:
        for _ in range(times):
            start = data.draw(st.integers(0, len(text)))
            stop = data.draw(st.integers(start, min(start + 20, len(text))))
            piece = data.draw(st.one_of(PIECES, st.just(""), st.just(text[start:stop] * 2)))
            text = text[:start] + piece + text[stop:]
        storyboard_or_input_error(text, format)

    mutate()


@pytest.mark.parametrize("text", VALID)
def test_the_boards_that_the_fuzz_starts_from_are_valid(text: str) -> None:
    assert parse_storyboard(text).shots


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(string.printable, max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*Storyboard.model_fields, "name", "prompt", "look", "x"]), inner, max_size=4),
    ),
    max_leaves=8,
)


@check
@given(st.dictionaries(st.sampled_from([*Storyboard.model_fields, "scenes", "x"]), values, max_size=6))
def test_any_json_value_in_any_place(data: dict[str, object]) -> None:
    import json

    storyboard_or_input_error(json.dumps(data), "json")
    storyboard_or_input_error(json.dumps(data), "storymem")
    storyboard_or_input_error(json.dumps(data), "yaml")


words = st.text(max_size=20)
names = st.text(string.ascii_letters + "é追 '\"#-_.:&*!", min_size=1, max_size=12).filter(
    lambda t: any(c.isalnum() for c in t)
)
shots = st.fixed_dictionaries(
    {"prompt": st.text(min_size=1, max_size=30)},
    optional={
        "seconds": st.floats(0.01, 100),
        "seed": st.integers(0, 2**64 - 1),
        "looks_back": st.one_of(st.sampled_from(["all", "none", None]), st.integers(1, 9)),
        "negative": words,
        "continues": st.booleans(),
    },
)
boards = st.fixed_dictionaries(
    {"shots": st.lists(shots, min_size=1, max_size=4)},
    optional={
        "title": words,
        "style": words,
        "negative": words,
        "cast": st.dictionaries(names, words, max_size=3),
        "fps": st.integers(1, 120),
        "size": st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
        "seed": st.integers(0, 2**64 - 1),
    },
)


@check
@given(boards)
def test_every_board_survives_writing_and_reading(data: dict[str, object]) -> None:
    try:
        board = Storyboard.model_validate(data)
    except ValueError:
        return
    again = parse_storyboard(dump_storyboard(board), format="yaml")
    assert again == (board if board.title else board.model_copy(update={"title": "Untitled"}))
