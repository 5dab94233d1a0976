"""Inputs that several nodes take, each written once, and how errors name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from . import sockets

MOST_SEED = 2**64 - 1
OWN = "auto"  # the model's own


def filming_model() -> Any:
    return sockets.Model.Input("model", tooltip="The model that films.")


def seed(tooltip: str, *, default: int = 0, rolls: bool = True) -> Any:
    """`rolls`: the page draws another after each run, if the artist lets it."""
    return io.Int.Input("seed", default=default, min=0, max=MOST_SEED, control_after_generate=rolls, tooltip=tooltip)


def steps(what: str) -> Any:
    """Denoising steps; 0 leaves them to the model (`FilmModel.steps`)."""
    return io.Int.Input(
        "steps",
        default=0,
        min=0,
        max=1000,
        tooltip=f"{what} 0 = the model's own number (50 for CogVideoX; the pocket needs fewer).",
    )


def scheduler() -> Any:
    return io.Combo.Input(
        "scheduler",
        options=[OWN, "ddim", "dpm"],
        tooltip="auto: the model's own. ddim adds no noise on the way. dpm does, and is good with fewer steps.",
        advanced=True,
    )


def batched() -> Any:
    return io.Boolean.Input(
        "batched",
        default=False,
        tooltip="Evaluate all conditions in one call: faster where there is memory to spare.",
        advanced=True,
    )


def guidance() -> Any:
    """Open, the model's own scales count (`FilmModel.guidance`)."""
    return sockets.Guidance.Input("guidance", optional=True, tooltip="From History CFG. Open: the model's own scales.")


@contextmanager
def widget_names() -> Iterator[None]:
    """Errors that name an option of the command line (--min-scene) name the widget (min_scene)."""
    import re

    from ..mpvg_core.errors import InputError

    def plain(text: str) -> str:
        return re.sub(r"(?<!\S)--([a-z]+(?:-[a-z]+)*)", lambda found: found[1].replace("-", "_"), text)

    try:
        yield
    except InputError as error:
        raise InputError(
            replace(problem, where=plain(problem.where), remedy=plain(problem.remedy)) for problem in error.problems
        ) from error
