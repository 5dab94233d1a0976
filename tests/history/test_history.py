"""The film so far."""

from __future__ import annotations

import dataclasses

import pytest
from word_shots import clip, embed, past_of

from mpvg_core.history.history import PastShot, PromptHistory


def test_appending_gives_a_new_history_and_leaves_the_old_one():
    before = past_of(["a cat", "a dog"])
    after = before.append(PastShot("last", embed("snow"), clip(9), take_id="t"))
    assert [shot.name for shot in before] == ["shot 0", "shot 1"]
    assert [shot.name for shot in after] == ["shot 0", "shot 1", "last"]
    assert after.shots[0] is before.shots[0]  # encoded once in its life
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.shots = ()


def test_a_history_can_be_restricted_to_some_shots_in_their_order():
    history = past_of(["a", "b", "c"])
    assert [shot.name for shot in history.restricted({"shot 2", "shot 0", "nobody"})] == ["shot 0", "shot 2"]


def test_an_empty_history_is_false():
    assert not PromptHistory()
    assert len(past_of(["a cat"])) == 1 and past_of(["a cat"])
