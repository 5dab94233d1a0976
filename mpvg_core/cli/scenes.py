"""`mpvg scenes`: where videos cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, MPVGError, Problem
from .outcome import FAILED, WRONG_INPUT, with_exit_codes

if TYPE_CHECKING:
    from ..evaluate.cuts import Scenes


@with_exit_codes
def scenes(
    context: typer.Context,
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a list with an object for every video.")] = False,
    weights: Annotated[str, typer.Option(metavar="H,S,V", help="How much hue, saturation and value count.")] = "1,1,1",
    threshold: Annotated[float, typer.Option(help="The score from which on a frame may begin a scene.")] = 27.0,
    min_frames: Annotated[int, typer.Option(help="Frames from one cut to the next, at least.")] = 4,
    circular_hue: Annotated[bool, typer.Option("--circular-hue", help="Measure hue on its circle.")] = False,
    filter: Annotated[
        str,
        typer.Option(
            help="events: no cuts for flashes and fast motion, fades apart. merge, suppress: as PySceneDetect does."
        ),
    ] = "events",
    full_size: Annotated[
        bool, typer.Option("--full-size", help="Measure every pixel, not a picture of 256 pixels.")
    ] = False,
    backend: Annotated[str, typer.Option(help="own or pyscenedetect (its filter is merge).")] = "own",
) -> None:
    """Print the scenes of each video, with time codes and scores; what cannot be read does not stop the rest."""
    from ..evaluate.cuts import CutSettings
    from ..evaluate.listing import scenes_as_json, scenes_as_text
    from ..evaluate.scan import scan_film

    settings = CutSettings(_weights(weights), threshold, min_frames, circular_hue, filter)  # type: ignore[arg-type]
    found: list[tuple[Path, Scenes]] = []
    failures: list[MPVGError] = []
    for video in videos:
        try:
            result = scan_film(video, settings, full_size=full_size, backend=backend)  # type: ignore[arg-type]
        except MPVGError as error:
            failures.append(error)
            typer.echo(str(error), err=True)
            continue
        found.append((video, result))
        if not as_json:
            typer.echo(scenes_as_text(str(video), result))
    if as_json:
        typer.echo(
            json.dumps([scenes_as_json(str(path), scenes) for path, scenes in found], ensure_ascii=False, indent=2)
        )
    if failures:
        raise typer.Exit(WRONG_INPUT if all(isinstance(error, InputError) for error in failures) else FAILED)


def _weights(text: str) -> tuple[float, float, float]:
    try:
        hue, saturation, value = (float(word) for word in text.split(","))
    except ValueError:
        raise InputError(Problem("--weights", f"{text!r} cannot be read", "three numbers, as 1,1,1")) from None
    return hue, saturation, value
