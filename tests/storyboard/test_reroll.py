"""Another roll of the dice for some shots."""

from __future__ import annotations

from mpvg_core.storyboard.read import parse_storyboard
from mpvg_core.storyboard.reroll import rerolled

BOARD = parse_storyboard("shots:\n  - prompt: a\n  - prompt: b\n    seed: 9\n  - prompt: c\n")


def test_one_shot_takes_the_seed_itself_and_the_others_stay() -> None:
    assert [shot.seed for shot in rerolled(BOARD, [2], 5).shots] == [None, 5, None]


def test_several_shots_each_derive_their_own_and_another_seed_gives_others() -> None:
    first, second = (rerolled(BOARD, [1, 3], seed).shots for seed in (5, 6))
    assert first[1] == BOARD.shots[1]
    assert len({first[0].seed, first[2].seed, second[0].seed, second[2].seed}) == 4
