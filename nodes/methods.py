"""Other ways to make a shot, each a node: they are chained into the sampler's `methods`, and combine where they can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import host, inputs, sockets
from .history import require_same_model
from .sockets import FilmModel, Methods, ShownHistory

if TYPE_CHECKING:
    from ..mpvg_core.film.asked import Model


def _earlier(model: FilmModel, history: ShownHistory, name: str) -> Model:
    """The shot of a history that a method leans on: by name or number, the first for an empty one."""
    from ..mpvg_core.errors import InputError, Problem
    from ..mpvg_core.film.asked import Model

    require_same_model(model, history.model, "history")
    names, wanted = [clip.name for clip in history.clips], name.strip()
    numbers = {str(number): index for index, number in enumerate(range(1, len(names) + 1))}
    index = 0 if not wanted else names.index(wanted) if wanted in names else numbers.get(wanted, -1)
    if not 0 <= index < len(names):
        known = ", ".join(repr(known) for known in names) or "none"
        raise InputError(Problem("shot", f"{name!r} is not in the history", f"one of {known}, or its number"))
    latents = history.clips[index].latent.to(device=model.backbone.device, dtype=model.backbone.dtype)
    return Model(names[index], history.past.shots[index].text, latents)


def method_node(name: str, shown: str, what: str, aliases: list[str], slots: list[Any]) -> io.Schema:
    """A node that adds one method to those that it is given."""
    return io.Schema(
        node_id=name,
        display_name=f"{shown} (MPVG)",
        category="MPVG/other ways",
        description=what,
        search_aliases=aliases,
        inputs=[
            *slots,
            sockets.MethodsSocket.Input("methods", optional=True, tooltip="More methods. Open: this alone."),
        ],
        outputs=[sockets.MethodsSocket.Output("methods", display_name="methods", tooltip="For the sampler.")],
    )


def part_of_one(name: str, default: float, tooltip: str, *, advanced: bool = False) -> Any:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.05, tooltip=tooltip, advanced=advanced)


def _past(model_for: str) -> list[Any]:
    return [
        sockets.Model.Input("model", tooltip="The model that films."),
        sockets.History.Input("history", tooltip=f"The earlier shots; one of them is {model_for}."),
        io.String.Input("shot", default="", tooltip="Which: its name or number. Empty = the first."),
    ]


class KeepLook(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_KeepLook",
            "Keep the Look",
            "Keeps the look of an actor of an earlier shot without any training: the new shot sees its tokens.",
            ["consistency", "character", "ip adapter", "reference", "shared attention"],
            [
                *_past("whose look is kept"),
                part_of_one(
                    "strength", 0.8, "0 = the stock model, 1 = the earlier shot counts as much as the new one itself."
                ),
                io.String.Input(
                    "words",
                    default="",
                    tooltip="Whose look: words of the earlier prompt, such as a name. Empty = those that both prompts "
                    "share.",
                ),
                part_of_one(
                    "noise",
                    0.0,
                    "Part of the earlier shot's noise to start from; ties the pose as well. With ddim only.",
                    advanced=True,
                ),
                part_of_one("start", 0.0, "From which part of the way, 0 (noise) to 1 (picture).", advanced=True),
                part_of_one("end", 1.0, "Up to which part of the way. Ending early saves calls.", advanced=True),
                inputs.seed("The seed that the earlier shot was made from; its own noise suits best.", rolls=False),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        history: ShownHistory,
        shot: str,
        strength: float,
        words: str,
        noise: float,
        start: float,
        end: float,
        seed: int,
        methods: Methods | None = None,
    ) -> io.NodeOutput:
        earlier = _earlier(model, history, shot)
        return chained(
            methods,
            "keep_look",
            {"shot": earlier.name, "strength": strength, "words": words, "noise": noise, "interval": (start, end)},
            shots={earlier.name: earlier},
            seeds={earlier.name: seed},
        )


class SameBackground(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_SameBackground",
            "Same Background",
            "Draws the background towards that of an earlier shot of the same length and size.",
            ["consistency", "background", "place"],
            [
                *_past("whose background is kept"),
                *_box("The part that is left alone, where either shot has its actors", (0.25, 0.25, 0.5, 0.75)),
                part_of_one("strength", 0.6, "0 leaves the shot alone, 1 is the earlier background itself."),
                part_of_one("end", 0.5, "Up to which part of the way.", advanced=True),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        model: FilmModel,
        history: ShownHistory,
        shot: str,
        left: float,
        top: float,
        width: float,
        height: float,
        strength: float,
        end: float,
        methods: Methods | None = None,
    ) -> io.NodeOutput:
        earlier = _earlier(model, history, shot)
        box = (left, top, width, height)
        return chained(
            methods,
            "same_background",
            {"shot": earlier.name, "strength": strength, "interval": (0.0, end), "foreground": box},
            shots={earlier.name: earlier},
        )


def _box(what: str, box: tuple[float, float, float, float]) -> list[Any]:
    left, top, width, height = box
    return [
        part_of_one("left", left, f"{what}: its left edge, 0 to 1 of the picture."),
        part_of_one("top", top, "Its upper edge."),
        part_of_one("width", width, "Its width, 0 to 1 of the picture."),
        part_of_one("height", height, "Its height."),
    ]


class SharedNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_SharedNoise",
            "Shared Noise",
            "Starts from noise that is partly that of another seed: shots with the same one resemble each other.",
            ["consistency", "seed", "noise"],
            [
                inputs.seed("The seed whose noise is shared: the same in all shots that are to resemble.", rolls=False),
                part_of_one("strength", 0.3, "The part that is shared: 0 = own noise, 1 = the other's alone."),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, seed: int, strength: float, methods: Methods | None = None) -> io.NodeOutput:
        shared = f"seed {seed}"
        return chained(methods, "shared_noise", {"shot": shared, "strength": strength}, seeds={shared: seed})


class MovingNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_MovingNoise",
            "Moving Noise",
            "Starts from noise that wanders over the picture, so that what it shows does.",
            ["motion", "camera", "pan", "path"],
            [
                io.Float.Input(
                    "right",
                    default=0.0,
                    min=-16384.0,
                    max=16384.0,
                    step=8.0,
                    tooltip="How far it wanders to the right over the shot, in pixels; negative: to the left.",
                ),
                io.Float.Input(
                    "down", default=0.0, min=-16384.0, max=16384.0, step=8.0, tooltip="How far down; negative: up."
                ),
                part_of_one("strength", 0.5, "The part of the noise that wanders."),
                io.Boolean.Input(
                    "boxes",
                    default=False,
                    optional=True,
                    tooltip="Each box of Place in Box takes its own noise along, in place of right and down.",
                ),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls, right: float, down: float, strength: float, boxes: bool = False, methods: Methods | None = None
    ) -> io.NodeOutput:
        path = None if boxes else ((0.0, 0.0), (right, down))
        return chained(methods, "moving_noise", {"path": path, "strength": strength})


class EditClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_EditClip",
            "Edit a Clip",
            "Makes the shot from a clip that is there: more or less of it stays, or only a mask is made anew.",
            ["video to video", "v2v", "inpaint", "mask", "denoise", "inversion"],
            [
                io.MultiType.Input(
                    "clip",
                    types=[io.Image, io.Video],
                    tooltip="The clip to begin with, as long as the shot or longer; a VIDEO at the model's rate.",
                ),
                part_of_one("strength", 0.6, "0 = the clip itself, 1 = a new one (within the mask)."),
                io.Combo.Input(
                    "by",
                    options=["noise", "inversion"],
                    tooltip="noise: the clip is noised and denoised (SDEdit). inversion: its own noise is found first, "
                    "which keeps more of it; with the scheduler ddim only, and twice the calls.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="White is made anew; the rest stays. Open: everything."),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls, clip: Any, strength: float, by: str, mask: Any = None, methods: Methods | None = None
    ) -> io.NodeOutput:
        settings: dict[str, Any] = {"video": "the clip", "strength": strength, "by": by}
        masks = {}
        if mask is not None:
            settings["mask"], masks["the mask"] = "the mask", host.mask_of(mask)
        frames, rate = host.frames_of(clip)
        rates = {} if rate is None else {"the clip": rate}
        return chained(methods, "edit", settings, clips={"the clip": frames}, rates=rates, masks=masks)


class StartAndEnd(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_StartAndEnd",
            "Start and End Picture",
            "The shot begins or ends with a picture of yours, or both.",
            ["first frame", "last frame", "image to video", "key frame", "interpolate"],
            [
                io.Image.Input("start", optional=True, tooltip="The first picture (of a batch its first). Open: free."),
                io.Image.Input("end", optional=True, tooltip="The last picture (of a batch its first). Open: free."),
                part_of_one(
                    "strength",
                    1.0,
                    "Below 1 the shot starts from the way between the two and keeps closer to them.",
                    advanced=True,
                ),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls, strength: float, start: Any = None, end: Any = None, methods: Methods | None = None
    ) -> io.NodeOutput:
        given = {
            name: host.frames_of(picture)[0]
            for name, picture in (("start", start), ("end", end))
            if picture is not None
        }
        settings = {**{name: f"the {name}" for name in given}, "strength": strength}
        return chained(methods, "ends", settings, clips={f"the {name}": frames for name, frames in given.items()})


class Windows(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_Windows",
            "Windows",
            "How a shot longer than the model's clips is made: in overlapping windows, denoised together.",
            ["long video", "context", "sliding window", "freenoise", "extend"],
            [
                io.Int.Input(
                    "overlap",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Latent frames that two windows share; more is smoother, slower. 0 = a third of a window.",
                ),
                io.Combo.Input("weights", options=["pyramid", "flat"], tooltip="How windows fade into one another."),
                io.Boolean.Input(
                    "freenoise",
                    default=True,
                    tooltip="Start all windows from the same noise, shuffled: the look stays. Acts with ddim.",
                ),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, overlap: int, weights: str, freenoise: bool, methods: Methods | None = None) -> io.NodeOutput:
        settings = {"overlap": overlap or None, "weights": weights, "freenoise": freenoise}
        return chained(methods, "windows", settings)


class PlaceInBox(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_PlaceInBox",
            "Place in Box",
            "Brings words into a box of the picture, which may move; chain one for each actor.",
            ["layout", "region", "box", "regional prompt"],
            [
                io.String.Input("words", default="", tooltip="Who or what: words as the prompt has them."),
                *_box("The box at the shot's start", (0.0, 0.0, 0.5, 1.0)),
                part_of_one("end_left", 0.0, "The left edge at the shot's end, where it moves.", advanced=True),
                part_of_one("end_top", 0.0, "The upper edge at the shot's end.", advanced=True),
                io.Boolean.Input("moves", default=False, tooltip="Whether the box moves to its end.", advanced=True),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    tooltip="0 = not at all, 1 = as a word of the prompt, 10 = as ten; all boxes share the last one's.",
                ),
                part_of_one("end", 1.0, "Up to which part of the way.", advanced=True),
            ],
        )

    @classmethod
    @host.plain_words
    def execute(
        cls,
        words: str,
        left: float,
        top: float,
        width: float,
        height: float,
        end_left: float,
        end_top: float,
        moves: bool,
        strength: float,
        end: float,
        methods: Methods | None = None,
    ) -> io.NodeOutput:
        from ..mpvg_core.errors import InputError, Problem
        from ..mpvg_core.storyboard.plan import PlacedBox

        if not (named := words.strip()):
            raise InputError(Problem("words", "is empty", "who or what is placed"))
        layout = [line for line in (methods or Methods()).layout if line.entity != named]
        layout.append(PlacedBox(named, named, (left, top, width, height), 0.0))
        if moves:
            layout.append(PlacedBox(named, named, (end_left, end_top, width, height), 1.0))
        settings = {"strength": strength, "interval": (0.0, end)}
        return chained(methods, "regions", settings, layout=tuple(layout))


class CausalAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return method_node(
            "MPVG_CausalAttention",
            "Causal Attention",
            "Experimental: each frame sees only earlier ones.",
            ["causal", "temporal mask"],
            [
                io.Int.Input(
                    "window",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Latent frames it sees, its own the last of them; 0 = all up to its own.",
                )
            ],
        )

    @classmethod
    @host.plain_words
    def execute(cls, window: int, methods: Methods | None = None) -> io.NodeOutput:
        return chained(methods, "causal", {"window": window or None})


def chained(methods: Methods | None, name: str, settings: dict[str, Any], **given: Any) -> io.NodeOutput:
    return io.NodeOutput((methods or Methods()).with_one(name, settings, **given))
