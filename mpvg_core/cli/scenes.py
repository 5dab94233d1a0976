"""`mpvg scenes`: where videos cut."""

from __future__ import annotations

import json
from dataclasses import asdict
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
            typer.echo(_as_text(video, result))
    if as_json:
        typer.echo(json.dumps([_as_json(*one) for one in found], ensure_ascii=False, indent=2))
    if failures:
        raise typer.Exit(WRONG_INPUT if all(isinstance(error, InputError) for error in failures) else FAILED)


def _weights(text: str) -> tuple[float, float, float]:
    try:
        hue, saturation, value = (float(word) for word in text.split(","))
    except ValueError:
        raise InputError(Problem("--weights", f"{text!r} cannot be read", "three numbers, as 1,1,1")) from None
    return hue, saturation, value


def _as_json(video: Path, scenes: Scenes) -> dict[str, object]:
    scores = {cut.frame: cut.score for cut in scenes.cuts if cut.kind == "cut"}
    return {
        "video": str(video),
        "frames": len(scenes.times),
        "seconds": scenes.segments[-1].end_time,
        "settings": asdict(scenes.settings),
        "segments": [asdict(segment) | {"score": scores.get(segment.start)} for segment in scenes.segments],
        "cuts": [asdict(cut) for cut in scenes.cuts],
    }


def _as_text(video: Path, scenes: Scenes) -> str:
    segments = scenes.segments
    fades = [cut for cut in scenes.cuts if cut.kind == "fade"]
    counts = [_counted(len(segments), "scene"), _counted(len(segments) - 1, "cut")]
    counts += [_counted(len(fades), "fade")] if fades else []
    lines = [f"{video}: {', '.join(counts)}, {_counted(len(scenes.times), 'frame')}"]
    scores = {cut.frame: f", score {cut.score:.1f}" for cut in scenes.cuts if cut.kind == "cut"}
    for number, segment in enumerate(segments, start=1):
        span = f"{_time_code(segment.start_time)} - {_time_code(segment.end_time)}"
        lines.append(f"{number:4}  {span}  frames {segment.start}-{segment.end - 1}{scores.get(segment.start, '')}")
        for fade in fades:
            if segment.start <= fade.frame - fade.extent < segment.end:
                begun = fade.frame - fade.extent
                span = f"{_time_code(float(scenes.times[begun]))} - {_time_code(fade.time)}"
                lines.append(f"      {span}  frames {begun}-{fade.frame - 1}, fade, score up to {fade.score:.1f}")
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _time_code(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
