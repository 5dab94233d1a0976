"""From the BOARD argument to a plan: what `mpvg plan` and `mpvg film` share."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..storyboard.model import Storyboard
from ..storyboard.plan import FilmPlan, ModelLimits, plan_film
from ..storyboard.read import parse_storyboard, read_storyboard

Board = Annotated[str, typer.Argument(metavar="BOARD", help="A storyboard file, or - for the standard input.")]
Model = Annotated[
    str, typer.Option(metavar="pocket|PATH", help="The embedded pocket model, or a folder in diffusers' layout.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of the board, in place of its own.")]


def read_board(board: str) -> tuple[Storyboard, str]:
    """The storyboard of a BOARD argument, and what problems call it. Raises InputError with every problem of it."""
    if board == "-":
        source = "<standard input>"
        return parse_storyboard(sys.stdin.buffer.read(), source=source), source
    return read_storyboard(board), board


def plan_board(board: str, model: str, seed: int | None) -> tuple[FilmPlan, ModelLimits]:
    """The plan of a storyboard for a model, and the model's limits; no torch.

    Raises InputError in two stages: with all problems of the writing first, and once the board can be read, with all
    that the model cannot film of it.
    """
    from ..backbone.load import model_limits

    storyboard, source = read_board(board)
    limits = model_limits(model)
    return plan_film(storyboard, limits, seed=seed, source=source), limits
