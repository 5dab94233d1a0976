"""From the methods that nodes have chained to the shot that the sampler is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .sockets import EncodedPrompt, FilmModel, Methods

if TYPE_CHECKING:
    from ..mpvg_core.errors import Problem
    from ..mpvg_core.film.asked import Asked
    from ..mpvg_core.film.shoot import ClipRequest


def asked_of(methods: Methods, model: FilmModel, prompt: EncodedPrompt, request: ClipRequest) -> Asked:
    """A shot of the sampler with its methods. Raises InputError for settings that cannot be."""
    from pydantic import ValidationError

    from ..mpvg_core.errors import InputError
    from ..mpvg_core.film.asked import Asked
    from ..mpvg_core.film.footage import at_rate
    from ..mpvg_core.storyboard.method import Method

    fps = model.backbone.limits().fps
    try:
        method = Method.model_validate(dict(methods.settings))
    except ValidationError as error:
        raise InputError(_problem(part) for part in error.errors(include_url=False)) from error
    return Asked(
        backbone=model.backbone,
        method=method,
        label="the shot",
        text=prompt.text,
        seed=request.seed,
        frames=request.frames,
        width=request.width,
        height=request.height,
        fps=fps,
        layout=methods.layout,
        shots={**methods.shots, **methods.past},
        seeds=methods.seeds,
        past=tuple(methods.past),
        ages=methods.ages or None,
        files=methods.files,
        clips={
            name: at_rate(frames, methods.rates.get(name), fps, request.frames)
            for name, frames in methods.clips.items()
        },
        masks=methods.masks,
    )


def _problem(part: Mapping[str, Any]) -> Problem:
    """A validation error in words: the storyboard's own say what was found, expected and to do."""
    from ..mpvg_core.errors import Problem

    told = part.get("ctx") or {}
    where = str(part["loc"][0])
    if "what" not in told:
        return Problem(where, part["msg"])
    return Problem(where, told["what"], told.get("expected", ""), told.get("remedy", ""))


def require_kept_noise(asked: Asked, scheduler: str) -> None:
    """Raises InputError that names the methods which act by noise that the scheduler does not keep."""
    from ..mpvg_core.diffusion.schedule import draws_noise
    from ..mpvg_core.errors import InputError
    from ..mpvg_core.film.fitness import noise_problems

    problems = [*noise_problems(asked.label, asked.method, scheduler)]
    if problems and draws_noise(asked.backbone.new_scheduler(scheduler)):
        raise InputError(problems)
