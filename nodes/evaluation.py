"""Measuring films: where a film cuts, and what stays the same in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import folders, host, sockets
from .inputs import widget_names
from .reading import film_in, picked, reel_of, scenes_of

if TYPE_CHECKING:
    from ..mpvg_core.storyboard.model import Storyboard


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
                    options=[folders.NO_FILE, *folders.encoder_names()],
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
            return str((folders.film_folder(folder) / RECORD).stat().st_mtime_ns)
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
        with widget_names():
            described_by = load_features(features, folders.encoder_path(encoder))
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
            ui={"images": [host.shown_picture(picture)], "mpvg_text": [*lines, folders.shown_path(page)]},
        )


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


def _names(written: str, told: Sequence[Any]) -> list[str] | None:
    """Names to look for: those written, else those that a storyboard tells, else None."""
    return [name.strip() for name in written.split(",") if name.strip()] or [one.name for one in told] or None
