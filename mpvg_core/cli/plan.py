"""`mpvg plan`: what would be filmed, before anything is loaded on a GPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from ..storyboard.layout import tracks
from ..storyboard.plan import FilmPlan, ModelLimits, ShotPlan
from .board import Board, Model, Seed, plan_board
from .outcome import with_exit_codes


@with_exit_codes
def plan(
    context: typer.Context,
    board: Board,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object with the list `shots`.")] = False,
    model: Model = "pocket",
    seed: Seed = None,
) -> None:
    """Print the resolved shots: full prompts, lengths, seeds, token counts, what each looks back at."""
    resolved, limits = plan_board(board, model, seed)
    if as_json:
        typer.echo(json.dumps(_as_json(resolved, limits), ensure_ascii=False, indent=2))
    else:
        typer.echo(_as_text(resolved, limits))


def _as_json(plan: FilmPlan, limits: ModelLimits) -> dict[str, object]:
    return {**plan.to_json(), "model": limits.model, "max_tokens": limits.max_tokens}


def _as_text(plan: FilmPlan, limits: ModelLimits) -> str:
    seconds = sum(shot.frames for shot in plan.shots) / plan.fps
    size = f"{plan.width}x{plan.height}"
    count = f"{len(plan.shots)} shot{'s' if len(plan.shots) > 1 else ''}"
    lines = [f"{plan.title}: {count}, {seconds:.1f} s at {plan.fps} fps, {size}, model {limits.model}"]
    for number, shot in enumerate(plan.shots, start=1):
        join = f", {shot.transition}" if number > 1 and shot.transition != "cut" else ""
        lines.append("")
        lines.append(
            f"{number}  {shot.name}: {shot.frames} frames ({shot.seconds:.2f} s), seed {shot.seed}, "
            f"{shot.tokens} of {limits.max_tokens} tokens{join}"
        )
        lines.append(f"   {shot.full_prompt}")
        if shot.negative:
            lines.append(f"   not: {shot.negative}")
        lines.append(f"   looks back at: {', '.join(shot.looks_back) or 'nothing'}")
        lines.extend(f"   {line}" for line in _layout(shot))
        lines.extend(f"   note: {note}" for note in shot.notes)
    lines.extend(f"note: {note}" for note in plan.notes)
    return "\n".join(lines)


def _layout(shot: ShotPlan) -> Iterator[str]:
    """Each entity's boxes as left, top, width, height in percent of the picture."""
    for entity, track in tracks(shot.layout).items():
        boxes = [(f"{time:.0%}", " ".join(f"{100 * side:.0f}" for side in box)) for time, box in track]
        if len(boxes) == 1:
            yield f"{entity} in the box {boxes[0][1]} (left, top, width, height in %)"
        else:
            stations = ", ".join(f"{box} at {time}" for time, box in boxes)
            yield f"{entity} through the boxes {stations} (left, top, width, height in %)"
