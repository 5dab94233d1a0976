"""`mpvg evaluate`: how consistent a film is, and whether that says anything."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, Problem
from .outcome import with_exit_codes

FilmPath = Annotated[
    Path, typer.Argument(metavar="FILM", help="A film's folder, as out/four-shots, or any video file.")
]
Actors = Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Actors to look for in the prompts.")]
Places = Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Places to look for in the prompts.")]


class Kind(str, Enum):
    """The features that pictures are described by."""

    palette = "palette"
    clip = "clip"
    dino = "dino"


@with_exit_codes
def evaluate(
    context: typer.Context,
    film: FilmPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with pictures.")] = None,
    features: Annotated[
        Kind, typer.Option(help="What is compared: colours and edges (no download), CLIP or DINO.")
    ] = Kind.palette,
    encoder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The CLIP or DINO model: a folder in transformers' layout.")
    ] = None,
    board: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The storyboard, for the names of its cast and places.")
    ] = None,
    actors: Actors = None,
    places: Places = None,
    threshold: Annotated[float, typer.Option(min=0, help="The change from which on a frame begins a new shot.")] = 27.0,
    min_frames: Annotated[int, typer.Option(min=1, help="The least number of frames from one cut to the next.")] = 4,
    vbench: Annotated[
        bool, typer.Option("--vbench", help="Run your own installation of VBench on the shots too.")
    ] = False,
) -> None:
    """Measure a film: do actors, places and colours stay, does it move, does it cut where the storyboard does."""
    from ..evaluate.consistency import measure
    from ..evaluate.cuts import CutSettings
    from ..evaluate.features import load_features
    from ..evaluate.reel import open_reel
    from ..evaluate.report import require_report, write_report
    from ..evaluate.vbench import require_vbench, run_vbench
    from ..evaluate.wording import summary_lines

    cast, scenery = _names(board, actors, places)
    described_by = load_features(features.value, encoder)
    clips = _clips(film) if vbench else {}
    if vbench:
        require_vbench()
    if report is not None:
        require_report(report)
    reel = open_reel(film, CutSettings(threshold=threshold, min_frames=min_frames), actors=cast, places=scenery)
    measured = measure(reel, described_by, lambda name: typer.echo(f"measuring {name}", err=True))
    rated = run_vbench(clips) if vbench else None
    if report is not None:
        write_report(measured, report)
        typer.echo(str(report), err=True)
    if as_json:
        data = measured.to_json() | ({} if rated is None else {"vbench": rated})
        typer.echo(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False))
        return
    for line in summary_lines(measured):
        typer.echo(line)
    for dimension, figures in (rated or {}).items():
        typer.echo(f"vbench {dimension}: {', '.join(f'{shot} {value:.3f}' for shot, value in figures.items())}")


def _names(board: Path | None, actors: str | None, places: str | None) -> tuple[list[str] | None, list[str] | None]:
    """The names of actors and of places: of the options, else of the board, else None, to be read from the prompts."""
    cast, scenery = None, None
    if board is not None:
        from ..storyboard.read import read_storyboard

        story = read_storyboard(str(board))
        cast = [actor.name for actor in story.cast] or None
        scenery = [place.name for place in story.places] or None
    return _listed(actors, cast), _listed(places, scenery)


def _listed(option: str | None, otherwise: list[str] | None) -> list[str] | None:
    return otherwise if option is None else [name.strip() for name in option.split(",") if name.strip()]


def _clips(film: Path) -> dict[str, Path]:
    """The clips of a film's shots by name; VBench rates clips, so a whole video file is not taken apart for it."""
    from ..film.record import read_film
    from ..film.takes import TakeStore

    if not film.is_dir():
        raise InputError(Problem("--vbench", f"{film} is no film's folder", "a folder with takes of its shots"))
    return {shot.name: shot.take.clip for shot in read_film(TakeStore(film)).shots}
