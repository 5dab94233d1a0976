"""Seeds are for ever."""

from __future__ import annotations

import pytest

from mpvg_core.storyboard.seeds import shot_seed


@pytest.mark.parametrize(
    ("board_seed", "name", "seed"),
    [(0, "shot 1", 1420868878), (7, "shot 1", 2630602035), (7, "shot 2", 4225204673), (2**64 - 1, "追逐", 2070416156)],
)
def test_a_shots_seed_never_changes(board_seed: int, name: str, seed: int) -> None:
    assert shot_seed(board_seed, name) == seed


def test_seeds_fit_in_32_bits_and_differ_between_shots_and_boards() -> None:
    seeds = {shot_seed(board, f"shot {number}") for board in range(30) for number in range(30)}
    assert len(seeds) == 900
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert max(seeds) > 2**31
