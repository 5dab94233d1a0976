"""Ways to make a shot that were trained: structure control, earlier shots in view, one clip's motion; and pulls towards
parts of the history."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import folders, host, sockets
from .history import require_same_model
from .methods import chained, method_node, part_of_one
from .sockets import FilmModel, Methods, Remembered, ShownHistory

OWN = "the model's own"


class ControlClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_ControlClip",
            "Control Clip",
            "The shot follows the structure of a clip: depth, edges, silhouettes, boxes. Needs a control adapter.",
            ["controlnet", "depth", "canny", "pose", "structure"],
            [
                sockets.Model.Input("model", tooltip="The model that films."),
                io.Combo.Input(
                    "adapter",
                    options=[OWN, folders.NO_FILE, *folders.adapter_names()],
                    tooltip="The control adapter: the one that lies with the model, or a file under models/mpvg. none: "
                    "the model takes control clips by itself.",
                ),
                part_of_one("strength", 1.0, "0 = not at all, 1 = as trained."),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="Above 1 pulls towards the structure, at one more call a step.",
                    advanced=True,
                ),
                part_of_one("end", 1.0, "Up to which part of the way; structure is settled early.", advanced=True),
                io.Boolean.Input(
                    "edges", default=False, tooltip="Follow the edges of the clip (Canny); else it is taken as it is."
                ),
                io.MultiType.Input(
                    "clip",
                    types=[io.Image, io.Video],
                    optional=True,
                    tooltip="As long as the shot; a longer one is cut. Open: the boxes of Place in Box.",
                ),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        adapter: str,
        strength: float,
        scale: float,
        end: float,
        edges: bool,
        clip: Any = None,
        methods: Methods | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.storyboard.method import CONTROL_ADAPTER

        settings: dict[str, Any] = {"strength": strength, "scale": scale, "interval": (0.0, end), "edges": edges}
        clips, rates = {}, {}
        if clip is not None:
            frames, fps = host.frames_of(clip)
            settings["video"], clips["the control clip"] = "the control clip", frames
            rates = {"the control clip": fps} if fps else {}
        files = {}
        if adapter == folders.NO_FILE:
            settings["adapter"] = "off"
        else:
            files[CONTROL_ADAPTER] = _adapter(model, adapter, CONTROL_ADAPTER)
        return chained(methods, "control", settings, clips=clips, rates=rates, files=files)


class EarlierShotsInView(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_EarlierShotsInView",
            "Earlier Shots in View",
            "Each place of the picture sees the same place in earlier shots. Needs a temporal adapter.",
            ["animatediff", "temporal", "consistency", "motion module"],
            [
                sockets.Model.Input("model", tooltip="The model that films."),
                sockets.History.Input("history", tooltip="The earlier shots; all of them are seen."),
                io.Combo.Input(
                    "adapter",
                    options=[OWN, *folders.adapter_names()],
                    tooltip="The temporal adapter: the one that lies with the model, or a file under models/mpvg.",
                ),
                part_of_one("strength", 1.0, "Of what it adds; 0 = the stock model."),
                part_of_one("end", 1.0, "Up to which part of the way.", advanced=True),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        history: ShownHistory,
        adapter: str,
        strength: float,
        end: float,
        methods: Methods | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.film.asked import Model
        from ..mpvg_core.storyboard.method import TEMPORAL_ADAPTER

        require_same_model(model, history.model, "history")
        backbone, count = model.backbone, len(history.clips)
        past = {}
        for ago, clip, shot in zip(range(count, 0, -1), history.clips, history.past, strict=True):
            latents = clip.latent.to(device=backbone.device, dtype=backbone.dtype)
            past[f"{clip.name}, {ago} ago"] = Model(clip.name, shot.text, latents)  # two may have one name
        settings = {"strength": strength, "interval": (0.0, end)}
        files = {TEMPORAL_ADAPTER: _adapter(model, adapter, TEMPORAL_ADAPTER)}
        return chained(methods, "cross_shot", settings, past=past, ages=tuple(range(count, 0, -1)), files=files)


class OneShotMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_OneShotMotion",
            "One-Shot Motion",
            "The motion of one clip under new prompts, by a tuning that `mpvg train one-shot` made of it.",
            ["lora", "tune-a-video", "motion"],
            [
                io.Combo.Input(
                    "tuning",
                    options=[folders.NO_FILE, *folders.tuning_names()],
                    tooltip="The tuning's file: the pocket's own, or one under models/mpvg. none: the shot is made "
                    "without one.",
                ),
                part_of_one("strength", 1.0, "0 = the stock model, 1 = as trained."),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, tuning: str, strength: float, methods: Methods | None = None) -> io.NodeOutput:
        if tuning == folders.NO_FILE:
            return io.NodeOutput(methods or Methods())
        settings, files = {"tuning": "the tuning", "strength": strength}, {"the tuning": folders.adapter_path(tuning)}
        return chained(methods, "one_shot", settings, files=files)


class HistoryParts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_HistoryParts",
            "History Parts",
            "Pulls towards parts of what is remembered, beside the whole: the history guidance family.",
            ["guidance", "history", "dfot"],
            [
                sockets.Model.Input("model", tooltip="The model that films; it needs a history adapter."),
                sockets.Selection.Input("selection", tooltip="From Token Selector: what is kept of which shots."),
                io.Float.Input(
                    "scale", default=0.5, min=-20.0, max=20.0, step=0.1, tooltip="Of the pull towards each part."
                ),
                io.Int.Input(
                    "shots_each", default=1, min=1, max=1000, tooltip="How many remembered shots make a part."
                ),
                io.Float.Input(
                    "coarse",
                    default=0.0,
                    min=-20.0,
                    max=20.0,
                    step=0.1,
                    tooltip="Of one more pull, towards all shots in less detail.",
                    advanced=True,
                ),
                part_of_one("noise", 0.3, "How noised that part is.", advanced=True),
                io.Int.Input(
                    "pool", default=2, min=1, max=16, tooltip="Over how many neighbours it is averaged.", advanced=True
                ),
                part_of_one("end", 1.0, "Up to which part of the way they count.", advanced=True),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        selection: Remembered,
        scale: float,
        shots_each: int,
        coarse: float,
        noise: float,
        pool: int,
        end: float,
        methods: Methods | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.methods.sub_histories import family
        from ..mpvg_core.storyboard.method import HistoryParts as Settings

        require_same_model(model, selection.prompt.model, "selection")
        if model.adapter is None or selection.selection is None:
            return io.NodeOutput(methods or Methods())
        settings: dict[str, Any] = {"scale": scale, "shots_each": shots_each, "coarse": coarse, "noise": noise}
        settings |= {"pool": pool, "interval": (0.0, end)}
        how = Settings.model_validate(settings)
        with host.at_work(model.resident, model.backbone.transformer):
            parts, segments = family(
                model.adapter,
                selection.past,
                selection.prompt.text,
                selection.selection,
                selection.ages,
                how,
                0,
            )
        return chained(methods, "history_parts", settings, parts=parts, segments=segments)


def _adapter(model: FilmModel, name: str, own: str) -> Any:
    """The file of an adapter. Raises InputError where the model brings none of its own."""
    from ..mpvg_core.errors import InputError, Problem

    if name != OWN:
        return folders.adapter_path(name)
    if (path := model.backbone.companion(own)) is None:
        raise InputError(Problem("adapter", "the model brings none of its own", own, "choose a file under models/mpvg"))
    return path
