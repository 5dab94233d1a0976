"""Another roll of the dice for some shots of a storyboard; all others stay what they were."""

from __future__ import annotations

from collections.abc import Collection

from .model import Storyboard
from .seeds import shot_seed


def rerolled(board: Storyboard, numbers: Collection[int], seed: int) -> Storyboard:
    """The board with other seeds for the shots of these numbers (from 1): `seed` itself for one, a seed derived from it
    and the shot's name for each of several."""
    shots = tuple(
        shot.model_copy(update={"seed": seed if len(numbers) == 1 else shot_seed(seed, shot.name)})
        if index in numbers
        else shot
        for index, shot in enumerate(board.shots, start=1)
    )
    return board.model_copy(update={"shots": shots}).written_at(board.origin)
