"""Measuring films and cutting footage: where a film cuts, what stays the same in it, a data set of its clips."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import host, sockets
from .reading import film_in, picked, reel_of, scenes_of

if TYPE_CHECKING:
    from ..mpvg_core.storyboard.model import Storyboard

LISTED = 20  # files of a data set that are named on the node


class SceneCuts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_SceneCuts",
            display_name="Scene Cuts (MPVG)",
            category="MPVG/evaluation",
            description="Finds the cuts of a film by how much hue, saturation and value change from frame to frame.",
            search_aliases=["scene detection", "shots", "segments", "PySceneDetect"],
            is_output_node=True,
            inputs=[
                io.MultiType.Input(
                    "clip",
                    types=[io.Image, io.Video],
                    tooltip="The film: an IMAGE batch or a VIDEO. A VIDEO from a file is read as a stream, however "
                    "long it is.",
                ),
                io.Float.Input(
                    "threshold",
                    default=27.0,
                    min=0.0,
                    max=255.0,
                    step=0.5,
                    tooltip="The change V from which on a frame may begin a new scene; 27 suits most films.",
                ),
                io.Int.Input(
                    "min_frames",
                    default=4,
                    min=0,
                    max=100000,
                    tooltip="Frames from one cut to the next, at least.",
                ),
                io.Float.Input(
                    "fps",
                    default=8.0,
                    min=0.01,
                    max=1000.0,
                    step=0.01,
                    tooltip="Frames a second of an IMAGE batch; a VIDEO has its own.",
                ),
                _weight("hue"),
                _weight("saturation"),
                _weight("value"),
                io.Boolean.Input(
                    "circular_hue",
                    default=False,
                    tooltip="Measure hue on its circle, on which red and purple are neighbours; PySceneDetect does "
                    "not.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "filter",
                    options=["events", "merge", "suppress"],
                    tooltip="events: flashes and fast motion are no cuts, fades are told apart. merge, suppress: as "
                    "PySceneDetect does.",
                    advanced=True,
                ),
                io.Int.Input(
                    "most_first_frames",
                    default=64,
                    min=1,
                    max=10000,
                    tooltip="First frames given out at most, to save memory; scenes are all counted.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.String.Output("text", display_name="text", tooltip="A line a scene: times, frames, scores."),
                io.String.Output("json", display_name="json", tooltip="The same as JSON, for programs."),
                io.Int.Output("count", display_name="count", tooltip="How many scenes there are."),
                io.Image.Output(
                    "picture", display_name="picture", tooltip="The change of every frame, the threshold, the cuts."
                ),
                io.Image.Output(
                    "first_frames", display_name="first_frames", tooltip="The first frame of each scene, in order."
                ),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        clip: Any,
        threshold: float,
        min_frames: int,
        fps: float,
        hue: float,
        saturation: float,
        value: float,
        circular_hue: bool,
        filter: Any,
        most_first_frames: int,
    ) -> io.NodeOutput:
        import numpy as np

        from ..mpvg_core.evaluate.cuts import CutSettings
        from ..mpvg_core.evaluate.listing import scenes_as_json, scenes_as_text
        from ..mpvg_core.evaluate.pictures import draw_scenes, require_matplotlib

        require_matplotlib()
        settings = CutSettings((hue, saturation, value), threshold, min_frames, circular_hue, filter)
        name, scenes, frames = scenes_of(clip, settings, fps)
        picture = draw_scenes(scenes)
        starts = [segment.start for segment in scenes.segments][:most_first_frames]
        first = np.stack([*picked(frames(), starts)])
        text = scenes_as_text(name, scenes)
        return io.NodeOutput(
            text,
            json.dumps(scenes_as_json(name, scenes), ensure_ascii=False, indent=1),
            len(scenes.segments),
            host.image_batch(picture[None]),
            host.image_batch(first),
            ui={"images": [host.shown_picture(picture)], "mpvg_text": text.splitlines()},
        )


class ConsistencyReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_ConsistencyReport",
            display_name="Consistency Report (MPVG)",
            category="MPVG/evaluation",
            description="Measures a film: do actors, places and colours stay, does it move, does it cut where the "
            "storyboard does.",
            search_aliases=["evaluate", "quality", "similarity", "metrics", "drift"],
            is_output_node=True,
            inputs=[
                io.MultiType.Input(
                    "film",
                    types=[sockets.FilmSocket, io.Video],
                    optional=True,
                    tooltip="A film of takes, measured as its storyboard joins them, or any VIDEO, whose shots are "
                    "what lies between its cuts. Open: the film of the folder below.",
                ),
                sockets.StoryboardSocket.Input(
                    "storyboard",
                    optional=True,
                    tooltip="Tells the names of its cast and places. Open: names are read from the prompts.",
                ),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="A film made before: its folder under output/mpvg. Only where film is open.",
                ),
                io.Combo.Input(
                    "features",
                    options=["palette", "clip", "dino"],
                    tooltip="What is compared: colours and edges (no download), or what CLIP or DINO sees.",
                ),
                io.Combo.Input(
                    "encoder",
                    options=[host.NO_FILE, *host.encoder_names()],
                    tooltip="The CLIP or DINO model: a folder in transformers' layout under models/mpvg or "
                    "models/clip_vision.",
                ),
                io.String.Input(
                    "file_name",
                    default="consistency",
                    tooltip="The page's file beside the film, without ending.",
                ),
                io.String.Input(
                    "actors",
                    default="",
                    tooltip="Names to look for in the prompts, as Mia, Tom; empty = those of the storyboard.",
                    advanced=True,
                ),
                io.String.Input(
                    "places",
                    default="",
                    tooltip="The same for places, as beach, harbour.",
                    advanced=True,
                ),
                io.Float.Input(
                    "threshold",
                    default=27.0,
                    min=0.0,
                    max=255.0,
                    step=0.5,
                    tooltip="The change V from which on a frame may begin a new shot.",
                    advanced=True,
                ),
                io.Int.Input(
                    "min_frames",
                    default=4,
                    min=1,
                    max=100000,
                    tooltip="Frames from one cut to the next, at least.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output("picture", display_name="picture", tooltip="Shots, changes, likeness of all shots."),
                io.String.Output("text", display_name="text", tooltip="The figures, and every reason to doubt them."),
                io.String.Output("json", display_name="json", tooltip="All figures as JSON, for programs."),
                io.String.Output(
                    "page", display_name="page", tooltip="Path of the report: one HTML file that loads nothing."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str = "", film: Any = None, **_: Any) -> str:
        if film is not None or not folder.strip():
            return ""
        from ..mpvg_core.errors import MPVGError
        from ..mpvg_core.film.record import RECORD

        try:
            return str((host.film_folder(folder) / RECORD).stat().st_mtime_ns)
        except (MPVGError, OSError):
            return "gone"

    @classmethod
    @host.plain_words
    def execute(
        cls,
        folder: str,
        features: str,
        encoder: str,
        file_name: str,
        actors: str,
        places: str,
        threshold: float,
        min_frames: int,
        film: Any = None,
        storyboard: Storyboard | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.errors import InputError, Problem
        from ..mpvg_core.evaluate.consistency import measure
        from ..mpvg_core.evaluate.cuts import CutSettings
        from ..mpvg_core.evaluate.features import load_features
        from ..mpvg_core.evaluate.pictures import draw_overview, require_matplotlib
        from ..mpvg_core.evaluate.report import write_report
        from ..mpvg_core.evaluate.wording import summary_lines
        from ..mpvg_core.storyboard.slug import slug_of

        require_matplotlib()
        if film is None and not folder.strip():
            raise InputError(Problem("film", "is open, and no folder is named", remedy="connect a film or name one"))
        node = str(cls.hidden.unique_id)
        with _widget_names():
            described_by = load_features(features, host.encoder_path(encoder))
        settings = CutSettings(threshold=threshold, min_frames=min_frames)
        cast = _names(actors, storyboard.cast if storyboard is not None else ())
        scenery = _names(places, storyboard.places if storyboard is not None else ())
        with reel_of(film_in(folder) if film is None else film, settings, cast, scenery) as (reel, home):
            measured = measure(reel, described_by, lambda name: host.say(node, f"measuring {name}"))
        home.mkdir(parents=True, exist_ok=True)
        page = home / f"{slug_of(file_name)}.html"
        write_report(measured, page)
        host.say(node, f"measured {len(measured.shots)} shots")
        picture, lines = draw_overview(measured), summary_lines(measured)
        return io.NodeOutput(
            host.image_batch(picture[None]),
            "\n".join(lines),
            json.dumps(measured.to_json(), ensure_ascii=False, indent=1, allow_nan=False),
            str(page),
            ui={"images": [host.shown_picture(picture)], "mpvg_text": [*lines, host.shown_path(page)]},
        )


class DatasetBuilder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MPVG_DatasetBuilder",
            display_name="Dataset Builder (MPVG)",
            category="MPVG/evaluation",
            description="Cuts a folder of videos into training clips with captions. Run again, it goes on where it "
            "stopped.",
            search_aliases=["training data", "clips", "split video", "captions"],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "videos",
                    default="",
                    tooltip="A folder of videos, or one video: a whole path, or one inside ComfyUI's input folder. "
                    "Captions lie beside a.mp4 as a.txt (a line a scene) or a.srt.",
                ),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="The data set's folder under output/mpvg/datasets; empty = named after the videos.",
                ),
                io.Combo.Input(
                    "layout",
                    options=["scenes", "transitions"],
                    tooltip="scenes: a clip a scene, together a story. transitions: one clip around each video's "
                    "first cut.",
                ),
                _pixels("width", 720),
                _pixels("height", 480),
                io.Int.Input("fps", default=8, min=1, max=120, tooltip="Frames a second of the clips."),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=4001,
                    tooltip="Frames of the longest clip, 1 + 8n. 0 = 6 seconds of a scene, 10 around a cut.",
                ),
                io.Int.Input("jobs", default=2, min=1, max=16, tooltip="Videos that are cut at once."),
                io.Float.Input(
                    "min_scene",
                    default=1.0,
                    min=0.0,
                    max=3600.0,
                    step=0.1,
                    tooltip="Seconds that a scene lasts at least.",
                    advanced=True,
                ),
                io.Float.Input(
                    "max_scene",
                    default=0.0,
                    min=0.0,
                    max=36000.0,
                    step=0.1,
                    tooltip="Seconds that a scene lasts at most; longer ones are left out. 0 = any length.",
                    advanced=True,
                ),
                io.Float.Input(
                    "threshold",
                    default=27.0,
                    min=0.5,
                    max=255.0,
                    step=0.5,
                    tooltip="The change V from which on a frame may begin a new scene.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.String.Output("dataset", display_name="dataset", tooltip="The data set's folder."),
                io.String.Output("text", display_name="text", tooltip="What was built, and which files gave nothing."),
                io.String.Output("page", display_name="page", tooltip="Path of the page that shows all clips."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, videos: str | None = None) -> bool | str:
        from ..mpvg_core.errors import MPVGError

        try:
            if videos is not None:
                host.footage_path(videos)
        except MPVGError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, videos: str | None = None, folder: str | None = None, **_: Any) -> str:
        from ..mpvg_core.errors import MPVGError

        try:
            path = host.footage_path(videos or "")
        except MPVGError:
            return "gone"
        built = _dataset_folder(folder or "", path) / "dataset.json"
        return f"{_state_of(path)} {built.is_file()}"

    @classmethod
    @host.plain_words
    def execute(
        cls,
        videos: str,
        folder: str,
        layout: Any,
        width: int,
        height: int,
        fps: int,
        frames: int,
        jobs: int,
        min_scene: float,
        max_scene: float,
        threshold: float,
    ) -> io.NodeOutput:
        from ..mpvg_core.datasets.build import build_dataset
        from ..mpvg_core.datasets.files import PAGE
        from ..mpvg_core.datasets.manifest import summary
        from ..mpvg_core.datasets.settings import ClipSettings, longest_clip
        from ..mpvg_core.datasets.sources import find_sources

        path = host.footage_path(videos)
        out = _dataset_folder(folder, path)
        with _widget_names():
            longest = longest_clip(layout, fps, frames or None, None)
            size = (width, height)
            settings = ClipSettings(layout, fps, size, longest, min_scene, max_scene or None, threshold)
            found = find_sources([path], out)
            node = str(cls.hidden.unique_id)
            steps = _Steps(node, len(found.videos))
            manifest = build_dataset(found, out, settings, jobs=jobs, say=steps, interrupt=host.interrupt)
        lines = [*summary(manifest.counts(), layout), *manifest.faults(LISTED)]
        host.say(node, lines[0])
        page = out / PAGE
        shown = {"mpvg_text": [*lines, host.shown_path(page)]}
        return io.NodeOutput(str(out), "\n".join(lines), str(page), ui=shown)


def _weight(channel: str) -> Any:
    return io.Float.Input(
        channel,
        default=1.0,
        min=0.0,
        max=100.0,
        step=0.05,
        tooltip=f"How much {channel} counts in the change V.",
        advanced=True,
    )


def _pixels(side: str, default: int) -> Any:
    return io.Int.Input(
        side,
        default=default,
        min=16,
        max=4096,
        step=16,
        tooltip=f"Pixels of the clips' {side}; pictures are scaled to cover the clip and cropped.",
    )


class _Steps:
    """Shows the steps of a build. The bar counts videos twice: once read, once cut."""

    def __init__(self, node: str, videos: int) -> None:
        self._node, self._videos, self._bar = node, videos, host.Progress(2 * videos)

    def __call__(self, step: Any) -> None:
        if step.kind == "described":  # told from another thread than the one whose progress the host shows
            return
        done = step.done if step.kind == "read" else 2 * self._videos - step.total + step.done
        self._bar.show(done)
        host.say(self._node, f"{step.kind} {step.done} of {step.total} videos: {Path(step.name).name}")


def _names(written: str, told: Sequence[Any]) -> list[str] | None:
    """Names to look for: those written, else those that a storyboard tells, else None."""
    return [name.strip() for name in written.split(",") if name.strip()] or [one.name for one in told] or None


def _dataset_folder(name: str, videos: Path) -> Path:
    from ..mpvg_core.storyboard.slug import slug_of

    return host.datasets_folder() / slug_of(name.strip() or videos.stem)


def _state_of(path: Path) -> str:
    """Changes when a file of the footage comes, goes, or is written."""
    import hashlib

    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    known = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return hashlib.sha256(repr(known).encode("utf-8", "backslashreplace")).hexdigest()


@contextmanager
def _widget_names() -> Iterator[None]:
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
