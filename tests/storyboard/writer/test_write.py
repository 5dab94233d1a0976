"""A model's reply becomes a board, is mended once, or is refused with the reason."""

from __future__ import annotations

import json

import pytest

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.storyboard import Shot, Storyboard, dump_storyboard, parse_storyboard
from mpvg_core.storyboard.model import Actor, Place, Placement
from mpvg_core.storyboard.writer import Brief, ReplyRefused, write_by_model
from mpvg_core.storyboard.writer.write import board_of, conversation


class Model:
    """Replies by a script."""

    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []

    def __call__(self, messages):
        self.asked.append(list(messages))
        return self.replies[len(self.asked) - 1]


def problems_of(reply, brief=None):
    with pytest.raises(InputError) as refused:
        board_of(reply, brief or Brief("an idea"))
    return [str(problem) for problem in refused.value.problems]


def test_a_good_reply_is_the_board_and_the_model_is_asked_once(board_json):
    model = Model(f"Here it is:\n```json\n{board_json()}\n```")
    board = write_by_model(Brief("a sea", seed=5), model)
    assert [shot.prompt for shot in board.shots] == ["Mia runs.", 'Mia {sleeps} "now".']
    assert (board.title, board.seed, board.overview) == ("Sea story", 5, "a sea")
    assert len(model.asked) == 1
    assert parse_storyboard(dump_storyboard(board), "b.yaml") == board


def test_a_broken_reply_is_sent_back_with_all_its_problems_and_mended(board_json):
    broken = board_json(titel="x", cast=[{"name": "Mia", "look": ""}])
    heard = []
    model = Model(broken, board_json())
    board = write_by_model(Brief("a sea"), model, on_repair=heard.extend)
    assert board.title == "Sea story" and len(model.asked) == 2 and heard
    *before, reply, wish = model.asked[1]
    assert before == model.asked[0]
    assert reply == {"role": "assistant", "content": broken}
    assert "- <reply>:1: unknown key 'titel'; expected one of version, title" in wish["content"]


def test_a_second_broken_reply_is_refused_with_the_reason_and_both_replies(board_json):
    model = Model("no", board_json(shots=[]))
    with pytest.raises(ReplyRefused, match="'shots' is empty; expected at least one shot") as refused:
        write_by_model(Brief("a sea"), model)
    assert refused.value.replies == ("no", board_json(shots=[]))
    assert not isinstance(refused.value, InputError) and isinstance(refused.value, MPVGError)


def test_what_the_provider_raises_is_not_taken_for_a_reply():
    def fail(_):
        raise MPVGError("the server is gone")

    with pytest.raises(MPVGError, match="the server is gone"):
        write_by_model(Brief("a sea"), fail)


def test_a_first_reply_is_not_lost_where_asking_again_fails(board_json):
    def ask(messages):
        if len(messages) > 4:
            raise MPVGError("the server is gone")
        return "half a board"

    with pytest.raises(ReplyRefused, match=r"asking once more failed \(the server is gone\)") as refused:
        write_by_model(Brief("a sea"), ask)
    assert refused.value.replies == ("half a board",)


def test_a_reply_without_a_board_says_what_a_board_is():
    (problem,) = problems_of("I cannot do that.")
    assert problem.startswith(
        "<reply>: the reply holds no storyboard: there is no JSON object in it; expected one JSON"
    )


def test_what_the_brief_asks_for_is_demanded(board_json):
    brief = Brief("a sea", shots=3, layout=True)
    cast = [{"name": "Mia", "look": ""}, {"name": "Tom", "look": "a man"}]
    assert problems_of(board_json(cast=cast), brief) == [
        "<reply>: it has 2 shots; expected exactly 3 shots; split, join or leave out shots",
        "<reply>: actor 'Mia': has no look; expected what is always the same about the actor",
        "<reply>: actor 'Tom': is named in no prompt; expected the name exactly as in the cast; "
        "name or remove the actor",
        "<reply>: no shot has a layout; expected boxes for whom the shots show",
    ]


def test_a_board_for_a_model_keeps_to_its_words_and_prompts(board_json, pocket, limits_with):
    assert "model 'pocket' does not know 'Mia'" in problems_of(board_json(), Brief("a sea", limits=pocket))[0]
    long = board_json(shots=[{"prompt": "Mia runs. " * 40}])
    assert "the full prompt has" in problems_of(long, Brief("a sea", limits=limits_with()))[0]


def test_the_conversation_is_task_example_and_idea():
    system, asked, answered, wish = conversation(Brief("a fox {finds} $5", shots=3))
    assert [message["role"] for message in (system, asked, answered, wish)] == ["system", "user", "assistant", "user"]
    assert wish["content"] == "Write the storyboard for this idea: a fox {finds} $5\nThe film has exactly 3 shots."
    assert "layout" not in system["content"] + answered["content"]
    assert "knows these words" not in system["content"]


def test_boxes_and_words_are_told_only_where_they_are_asked_for(pocket):
    system, _, answered, _ = conversation(Brief("a fox", layout=True, limits=pocket))
    assert '"layout": [{"entity"' in system["content"] and '"layout"' in answered["content"]
    assert "at most 40 tokens" in system["content"] and "playground" in system["content"]


@pytest.mark.parametrize("layout", [False, True])
def test_the_example_is_a_board_that_a_brief_would_take(layout, limits_with):
    answer = conversation(Brief("x", layout=layout))[2]["content"]
    board = board_of(answer, Brief("x", shots=3, layout=layout, limits=limits_with()))
    assert len(board.cast) == 2 and bool(board.shots[0].layout) is layout


def test_the_form_that_the_task_shows_has_only_keys_of_the_schema():
    system = conversation(Brief("x", layout=True))[0]["content"]
    form = json.loads(system[system.index("{") : system.index("Rules:")])
    assert set(form) <= set(Storyboard.model_fields)
    for key, part in (("cast", Actor), ("places", Place), ("shots", Shot)):
        assert set(form[key][0]) <= set(part.model_fields)
    line = next(line for line in system.splitlines() if line.strip().startswith('"layout": '))
    assert all(f'"{key}"' in line for key in Placement.model_fields)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"idea": "  "}, "idea: it is empty"),
        ({"idea": "x" * 4001}, "4001 characters"),
        ({"idea": "a \x07 b"}, "control characters"),
        ({"idea": "x", "shots": 0}, "--shots: 0"),
        ({"idea": "x", "seed": -1}, "--seed: -1"),
    ],
)
def test_a_brief_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        Brief(**options)
