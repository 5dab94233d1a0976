"""The template: a board without a model, the same for ever, and one that the pocket can film."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpvg_core.errors import InputError
from mpvg_core.storyboard import dump_storyboard, parse_storyboard, plan_film, require_known_words
from mpvg_core.storyboard.writer import Brief, write_by_template

IDEA = "a purple star goes skiing on the moon and meets a friend"


@pytest.mark.parametrize("shots", [1, 2, 4, 7, 30])
@pytest.mark.parametrize("layout", [False, True])
def test_a_board_for_the_pocket_is_one_that_it_can_film(pocket, shots, layout):
    for seed in range(8):
        board = write_by_template(Brief(IDEA, shots, layout, seed, pocket))
        plan = plan_film(board, pocket)
        require_known_words(plan, pocket)
        assert len(plan.shots) == shots
        assert all(bool(shot.layout) is layout for shot in plan.shots)
        assert not any(shot.notes for shot in plan.shots)


def test_the_idea_chooses_looks_places_and_actions(pocket):
    board = write_by_template(Brief(IDEA, limits=pocket))
    assert board.cast[0].look == "a purple star"
    assert board.shots[0].prompt == "Actor 1 is skiing on the moon."
    free = write_by_template(Brief("the fox is hiding in the library"))
    assert "fox" in free.cast[0].look and "is hiding in the old library" in free.shots[0].prompt
    for word, action in [
        ("dances", "dancing"),
        ("ran? it runs", "running"),
        ("will wave", "waving"),
        ("skis", "skiing"),
    ]:
        board = write_by_template(Brief(f"a pink triangle {word}", limits=pocket))
        assert f"Actor 1 is {action} " in board.shots[0].prompt and board.cast[0].look == "a pink triangle"
    assert write_by_template(Brief("It jumps on the street", limits=pocket)).shots[0].prompt.endswith("street.")


def test_every_actor_is_seen_alone_before_they_meet(pocket):
    shots = [shot.prompt for shot in write_by_template(Brief(IDEA, limits=pocket)).shots]
    assert [("Actor 1" in prompt, "Actor 2" in prompt) for prompt in shots[:3]] == [
        (True, False),
        (False, True),
        (True, True),
    ]


def test_two_of_a_cast_can_be_told_apart(pocket):
    for seed in range(30):
        looks = [
            set(actor.look.split()) - {"a"} for actor in write_by_template(Brief("x", seed=seed, limits=pocket)).cast
        ]
        assert not looks[0] & looks[1]


def test_the_same_idea_and_seed_give_the_same_board_for_ever():
    text = dump_storyboard(write_by_template(Brief(IDEA, 4, True, 3)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "16e71fc5ecc21075"
    boards = {dump_storyboard(write_by_template(Brief(IDEA, seed=seed))) for seed in range(10)}
    assert len(boards) == 10


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80), st.integers(0, 2**64 - 1))
def test_any_idea_gives_a_board_or_is_refused(idea, seed):
    try:
        brief = Brief(idea, seed=seed)
    except InputError:
        return
    board = write_by_template(brief)
    assert parse_storyboard(dump_storyboard(board), "b.yaml") == board
    assert board.overview == brief.idea


def test_boxes_of_several_stand_side_by_side_in_the_order_of_their_names(pocket):
    shot = write_by_template(Brief(IDEA, layout=True, limits=pocket)).shots[2]
    boxes = {line.entity: line.box for line in shot.layout if line.at == 0}
    assert boxes["Actor 1"][0] + boxes["Actor 1"][2] <= boxes["Actor 2"][0]


def test_a_model_that_knows_none_of_its_words_is_refused(limits_with):
    limits = limits_with(unknown_words=lambda text: tuple(text.split()), known_words=("cat",))
    with pytest.raises(InputError, match="model 'toy' knows none of the template's looks"):
        write_by_template(Brief(IDEA, limits=limits))


def test_a_model_of_too_short_prompts_is_told_before_anything_is_written(limits_with):
    with pytest.raises(InputError, match="the full prompt has"):
        write_by_template(Brief(IDEA, limits=limits_with(max_tokens=5)))
