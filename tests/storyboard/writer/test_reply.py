"""The JSON object in what a model says, however it says it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpvg_core.storyboard.writer.reply import NoObject, json_object

BOARD = '{"title": "a } b", "shots": ["{", "say \\"}\\" [", {"prompt": "x"}]}'


@pytest.mark.parametrize(
    "reply",
    [
        BOARD,
        f"```json\n{BOARD}\n```",
        f"Sure! Here is your storyboard:\n\n{BOARD}\n\nEnjoy {{it}}.",
        f"I use {{curly}} words.\n{BOARD}",
        f'First the cast: {{"name": "Mia"}} and then {BOARD}',
        f'<think>maybe {{"shots": []}} or so</think>\n{BOARD}',
        f"An open {{ brace, then {BOARD}",
        f"{BOARD}\n{BOARD}",
    ],
    ids=["bare", "fenced", "chatty", "braces in talk", "another object", "thoughts", "open brace", "twice"],
)
def test_the_object_is_found(reply):
    assert json_object(reply) == BOARD


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I would rather not.", "no JSON object"),
        ("", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        (BOARD[:-1], "does not end"),
        ('{"shots": [{"prompt": "x"}, {"prompt": "y"}', "does not end"),
        ('{"title": "a', "does not end"),
        ("{'shots': []}", "not JSON: expecting property name"),
        ('{"shots": [1,]}', "not JSON"),
        ("{" * 50_000, "does not end"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deeply|no JSON"),
    ],
)
def test_what_is_no_object_is_told(reply, reason):
    with pytest.raises(NoObject, match=reason):
        json_object(reply)


def test_an_object_without_shots_is_better_than_none():
    assert json_object('so: {"title": "x"}') == '{"title": "x"}'


@settings(deadline=None)
@given(st.text(alphabet='{}[]"\\ a:,1\n', max_size=60))
def test_any_reply_gives_an_object_or_a_reason(reply):
    try:
        found = json_object(reply)
    except NoObject as error:
        assert str(error)
        return
    assert isinstance(json.loads(found), dict) and found in reply
