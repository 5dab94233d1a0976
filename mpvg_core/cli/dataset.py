"""`mpvg dataset build`: footage cut into training clips."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..errors import InputError, Problem
from .outcome import CANCELLED, FAILED, with_exit_codes
from .progress import bars

if TYPE_CHECKING:
    from ..datasets.build import Step
    from ..datasets.describe import Captioner

app = typer.Typer(help="Make data sets for training.", no_args_is_help=True)

_MOST_JOBS = 4
_LISTED = 20


@app.callback()
def _group() -> None:
    """Make data sets for training."""


@app.command("build")
@with_exit_codes
def build(
    context: typer.Context,
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, and folders of videos.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the data set is built.")] = Path("dataset"),
    layout: Annotated[
        str, typer.Option(metavar="scenes|transitions", help="A clip a scene, or one around each video's first cut.")
    ] = "scenes",
    fps: Annotated[int, typer.Option(help="Frames a second of the clips.")] = 8,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Pixels of the clips; pictures are scaled to cover it and cropped.")
    ] = "720x480",
    frames: Annotated[int | None, typer.Option(help="Frames of the longest clip, 1 + 8n.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.0, help="The longest clip in seconds; by default 6 for scenes, 10 around a cut."),
    ] = None,
    min_scene: Annotated[float, typer.Option(min=0.0, help="Seconds that a scene lasts at least.")] = 1.0,
    max_scene: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds that a scene lasts at most; longer ones are left out.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="How much a frame must differ to be a cut (0 to 255).")] = 27.0,
    blip: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A BLIP folder that captions what has no text beside it.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="An OpenAI-compatible server that does, as http://host:8000/v1.")
    ] = None,
    caption_model: Annotated[str | None, typer.Option(metavar="NAME", help="The endpoint's model.")] = None,
    key_env: Annotated[
        str,
        typer.Option(metavar="NAME", help="The environment variable that holds the endpoint's key, if it wants one."),
    ] = "OPENAI_API_KEY",
    jobs: Annotated[
        int | None, typer.Option(min=1, help=f"Videos decoded at once; by default a core each, at most {_MOST_JOBS}.")
    ] = None,
) -> None:
    """Cut videos into training clips with captions.

    Captions come from text beside a video: a.txt, a line a scene, or a.srt; else from --blip or --endpoint. Run it
    again to go on after a stop, or after writing captions: finished clips stay. Exit code 1 says that some files are
    damaged, no video, or lack captions; the manifest, dataset.json, names them.
    """
    from ..datasets.build import build_dataset
    from ..datasets.files import MANIFEST, PAGE
    from ..datasets.manifest import summary
    from ..datasets.settings import LAYOUTS, ClipSettings, longest_clip
    from ..datasets.sources import find_sources

    if layout not in LAYOUTS:
        raise InputError(Problem("--layout", f"{layout!r} is unknown", " or ".join(LAYOUTS)))
    longest = longest_clip(layout, fps, frames, seconds)
    settings = ClipSettings(layout, fps, _size(size), longest, min_scene, max_scene, threshold)
    found = find_sources(videos, out)
    jobs = jobs or min(_MOST_JOBS, os.cpu_count() or 1)
    captioner = _captioner(blip, endpoint, caption_model, key_env, jobs)
    try:
        with _Watcher() as watcher:
            manifest = build_dataset(found, out, settings, captioner, jobs=jobs, say=watcher)
    except KeyboardInterrupt:
        typer.echo("stopped; finished clips and captions are kept, the same command goes on from here", err=True)
        raise typer.Exit(CANCELLED) from None
    for line in summary(manifest.counts(), layout):
        typer.echo(line)
    typer.echo(f"{out / MANIFEST}\n{out / PAGE}")
    faults = manifest.faults(_LISTED)
    for line in faults:
        typer.echo(line, err=True)
    if faults:
        raise typer.Exit(FAILED)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,5})\s*[x×X*]\s*(\d{1,5})\s*", text)
    if not match:
        raise InputError(Problem("--size", f"{text!r} is no size", "width and height in pixels, as 720x480"))
    return int(match[1]), int(match[2])


def _captioner(blip: Path | None, endpoint: str | None, model: str | None, key_env: str, jobs: int) -> Captioner | None:
    """The captioner asked for. Raises InputError for options that do not go together."""
    if blip and endpoint:
        raise InputError(Problem("--blip, --endpoint", "both are given", "one of them", "leave one out"))
    if bool(endpoint) != bool(model):
        given, lacking = ("--endpoint", "--caption-model") if endpoint else ("--caption-model", "--endpoint")
        raise InputError(Problem(given, f"is given without {lacking}", "both", f"add {lacking}"))
    if blip:
        from ..backbone.captions import BlipCaptioner

        return BlipCaptioner(blip)
    if endpoint and model:
        from ..datasets.captioner import EndpointCaptioner

        return EndpointCaptioner(endpoint, model, key_env, at_once=jobs)
    return None


class _Watcher:
    """Shows the steps of a build on the error stream: bars on a terminal, a line a video elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = bars(self._console)
        self._tasks = {
            kind: self._bars.add_task(text, total=None, visible=False)
            for kind, text in (("read", "reading"), ("cut", "cutting"), ("described", "captions"))
        }

    def __call__(self, step: Step) -> None:
        self._bars.update(self._tasks[step.kind], completed=step.done, total=step.total, visible=True)
        if step.text:
            self._console.print(f"{step.name}: {step.text}", markup=False)
        elif step.kind == "described" and not self._console.is_terminal:
            self._console.print(f"{step.name}: done, {step.done} of {step.total}", markup=False)

    def __enter__(self) -> _Watcher:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
