"""How a shot is made beyond its prompt and its memory: the methods a storyboard asks for, each by its name.

    method: {keep_look: 0.7, windows: {overlap: 4}}      what one number says may be said by the number alone
    method: {keep_look: off}                             in a shot: without what the board asks for

The works behind them and what each does are told in `mpvg_core.methods`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    Tag,
    model_validator,
)

from .box import Box, read_box
from .words import complaint, shown, tidy, tidy_name

Name = Annotated[str, AfterValidator(tidy_name)]
File = Annotated[str, AfterValidator(tidy), Field(min_length=1)]
Part = Annotated[float, Field(ge=0, le=1)]
BoxValue = Annotated[Box, PlainValidator(read_box), PlainSerializer(list)]


def _interval(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0.0, value)  # "until"
    return value


def _begins_first(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise complaint(f"'interval' is {list(interval)}", "where it begins before where it ends")
    return interval


def _switch(value: Any) -> Any:
    """`on` and `off` are words in our YAML, as methods themselves are switched."""
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


Switch = Annotated[bool, Strict(), BeforeValidator(_switch)]
Interval = Annotated[
    tuple[Part, Part], BeforeValidator(_interval), AfterValidator(_begins_first), PlainSerializer(list)
]


CONTROL_ADAPTER, TEMPORAL_ADAPTER = "control_adapter.safetensors", "temporal_adapter.safetensors"
"""Adapters' files where they lie with a model."""
OWN_ADAPTERS = (CONTROL_ADAPTER, TEMPORAL_ADAPTER)


class Settings(BaseModel):
    """One method's settings; `main` names the field that a bare value stands for, '' where only "on" can be said."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    main: ClassVar[str] = ""

    @property
    def shots(self) -> tuple[str, ...]:
        """The earlier shots that it names."""
        return ()

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it names, as written."""
        return ()


class Windows(Settings):
    """Co-denoised windows, for a shot longer than the model's clips and for shots with smooth transitions.

    overlap: of two windows, in latent frames; None = a third of a window. weights: how windows fade into one another.
    between: a window across two prompts takes the `nearest` one's, or a `blend`. freenoise: start from one window's
    noise, repeated and shuffled.
    """

    overlap: Annotated[int, Strict(), Field(ge=0, le=1000)] | None = None
    weights: Literal["pyramid", "flat"] = "pyramid"
    between: Literal["nearest", "blend"] = "nearest"
    freenoise: Switch = True


class _OfShot(Settings):
    main: ClassVar[str] = "strength"
    strength: Part = 1.0
    shot: Name | None = None

    @property
    def shots(self) -> tuple[str, ...]:
        return (self.shot,) if self.shot is not None else ()


class KeepLook(_OfShot):
    """The look of an earlier shot without training: its tokens are seen in attention.

    strength: 0 = the stock model, 1 = they count as the shot's own. shot: the earlier one, None = the first of the film
    (which itself has nothing to keep). words: of whom, in the earlier prompt; '' = those that both prompts share.
    noise: the part of that shot's noise to start from, times the strength. interval: of the steps, 0..1.
    """

    words: Annotated[str, AfterValidator(tidy)] = ""
    noise: Part = 0.0
    interval: Interval = (0.0, 1.0)


class SharedNoise(_OfShot):
    """Starts from noise that has the part `strength` in common with an earlier shot's (None = the film's first)."""


class SameBackground(_OfShot):
    """Draws the background towards an earlier shot's (None = the film's first) in an interval of the steps.

    foreground: the box that is left alone, where either shot has its actors.
    """

    foreground: BoxValue
    interval: Interval = (0.0, 0.5)


class MovingNoise(Settings):
    """Starts from noise that wanders, so that the picture does: `path` is where to, [right, down] in pixels, spread
    evenly over the shot; without one each box of the shot's layout takes its own noise along. strength: the part of the
    noise that wanders."""

    main: ClassVar[str] = "path"
    path: Annotated[tuple[tuple[float, float], ...], Field(min_length=2, max_length=1000)] | None = None
    strength: Part = 0.5


class Edit(Settings):
    """Makes the shot from a clip that is there: an earlier shot's, or a video file's.

    strength: 0 = the clip itself, 1 = a new one. by: `noise` (SDEdit) or `inversion` (keeps more of it; ddim only).
    box: only within it anything is new; mask: only where this picture file is white.
    """

    shot: Name | None = None
    video: File | None = None
    strength: Part = 0.6
    by: Literal["noise", "inversion"] = "noise"
    box: BoxValue | None = None
    mask: File | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Edit:
        if (self.shot is None) == (self.video is None):
            raise complaint("edit needs a clip to begin with", "one of shot: and video:")
        if self.box is not None and self.mask is not None:
            raise complaint("both box and mask are given", "one of them", "remove the other")
        return self

    @property
    def shots(self) -> tuple[str, ...]:
        return (self.shot,) if self.shot is not None else ()

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for file in (self.video, self.mask) if file is not None)


class Ends(Settings):
    """The shot's first or last picture is given: a picture file. strength: below 1 the way between the two keeps closer
    to them."""

    start: File | None = None
    end: File | None = None
    strength: Part = 1.0

    @model_validator(mode="after")
    def _at_least_one(self) -> Ends:
        if self.start is None and self.end is None:
            raise complaint("ends names no picture", "start: and end:, or one of them")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for file in (self.start, self.end) if file is not None)


class Infill(Settings):
    """Coarse to fine: the shot as written gives key frames, and clips of the same length are filled in between them.

    depth: levels below the first clip. keys: key frames a clip gives, K - 1 of its L - 1 frames apart; the shot has
    (L - 1)(K - 1)^depth + 1 frames. strength: of the clips between; below 1 their look keeps closer to the key frames.
    """

    main: ClassVar[str] = "depth"
    depth: Annotated[int, Strict(), Field(ge=1, le=6)] = 1
    keys: Annotated[int, Strict(), Field(ge=2, le=1000)] = 3
    strength: Part = 0.9

    def frames(self, length: int) -> int:
        """The frames of the shot whose clips have `length`."""
        return int((length - 1) * (self.keys - 1) ** self.depth + 1)

    def clip_length(self, frames: int) -> int:
        """The length of the clips of a shot with so many frames."""
        return int((frames - 1) // (self.keys - 1) ** self.depth + 1)


class HistoryParts(Settings):
    """Pulls towards parts of what is remembered, beside the whole: the history guidance family (DFoT).

    scale: of each pull. shots_each: how many remembered shots make a part, from the newest on (HG-t). noise, pool: one
    more part with all shots in less detail (HG-f), noised by 0..1 and averaged over so many neighbours; its scale is
    `coarse`. interval: of the steps, 0..1.
    """

    main: ClassVar[str] = "scale"
    scale: Annotated[float, Field(ge=-20, le=20)] = 0.5
    shots_each: Annotated[int, Strict(), Field(ge=1, le=1000)] = 1
    coarse: Annotated[float, Field(ge=-20, le=20)] = 0.0
    noise: Part = 0.3
    pool: Annotated[int, Strict(), Field(ge=1, le=16)] = 2
    interval: Interval = (0.0, 1.0)


class Control(Settings):
    """Follows the structure of a clip, by a control adapter or a control model.

    video: a file; shot: an earlier one; neither: the boxes of the shot's own layout. edges: follow the edges of the
    clip, which is otherwise taken as it is (depth, silhouettes …). strength: 0 = not at all, 1 = as trained; scale:
    above 1 pulls towards it, at a call more a step. adapter: a file, None = the model's own, 'off' = the model takes
    control clips by itself. interval: of the steps, 0..1.
    """

    video: File | None = None
    shot: Name | None = None
    edges: Switch = False
    strength: Part = 1.0
    scale: Annotated[float, Field(ge=0, le=20)] = 1.0
    interval: Interval = (0.0, 1.0)
    adapter: File | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Control:
        if self.video is not None and self.shot is not None:
            raise complaint("control has two clips", "one of shot: and video:, or none for the layout's boxes")
        return self

    @property
    def shots(self) -> tuple[str, ...]:
        return (self.shot,) if self.shot is not None else ()

    @property
    def adapter_file(self) -> str | None:
        """The adapter's file, as written or as it lies with the model."""
        return None if self.adapter == "off" else self.adapter or CONTROL_ADAPTER

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for file in (self.video, self.adapter_file) if file is not None)


class CrossShot(Settings):
    """The same places of earlier shots in view, by a trained temporal adapter.

    strength: of what it adds; adapter: a file, None = the model's own. interval: of the steps, 0..1.
    """

    main: ClassVar[str] = "strength"
    strength: Part = 1.0
    interval: Interval = (0.0, 1.0)
    adapter: File | None = None

    @property
    def adapter_file(self) -> str:
        """The adapter's file, as written or as it lies with the model."""
        return self.adapter or TEMPORAL_ADAPTER

    @property
    def files(self) -> tuple[str, ...]:
        return (self.adapter_file,)


class OneShot(Settings):
    """The motion of one clip: a tuning that `mpvg train one-shot` made of it. strength: 0 = the stock model, 1 = as
    trained."""

    main: ClassVar[str] = "tuning"
    tuning: File
    strength: Part = 1.0

    @property
    def files(self) -> tuple[str, ...]:
        return (self.tuning,)


class Causal(Settings):
    """Experimental: frames see only earlier ones, `window` latent frames back (None = all)."""

    main: ClassVar[str] = "window"
    window: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = None


class Regions(Settings):
    """The shot's layout places its entities: each one's words act within its box. interval: of the steps, 0..1."""

    main: ClassVar[str] = "strength"
    strength: Annotated[float, Field(ge=0, le=100)] = 1.0
    interval: Interval = (0.0, 1.0)


ON_TAG = "method on"
"""Stands in the paths of validation errors, before a method's own fields."""
ON = Tag(ON_TAG)
Off = Annotated[Literal[False] | None, Tag("method off")]
CHOICE = Discriminator(lambda value: "method off" if value is None or value is False else ON_TAG)


def _short(kind: type[Settings]) -> Any:
    """`on` is the method as it comes, `off` none; a bare value is its main field."""

    def read(value: Any) -> Any:
        if value is True or value == "on":
            return {}
        if value is None or value is False or value == "off":
            return None if value is None else False
        if kind.main and not isinstance(value, Mapping | Settings):
            return {kind.main: value}
        if not isinstance(value, Mapping | Settings):
            raise complaint(f"it is {shown(value)}", "on, off, or its settings")
        return value

    return BeforeValidator(read)


class Method(BaseModel):
    """The methods of a shot or board, by their names; False = without, None = nothing is said of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: Annotated[Annotated[Windows, ON] | Off, CHOICE, _short(Windows)] = None
    keep_look: Annotated[Annotated[KeepLook, ON] | Off, CHOICE, _short(KeepLook)] = None
    shared_noise: Annotated[Annotated[SharedNoise, ON] | Off, CHOICE, _short(SharedNoise)] = None
    same_background: Annotated[Annotated[SameBackground, ON] | Off, CHOICE, _short(SameBackground)] = None
    moving_noise: Annotated[Annotated[MovingNoise, ON] | Off, CHOICE, _short(MovingNoise)] = None
    edit: Annotated[Annotated[Edit, ON] | Off, CHOICE, _short(Edit)] = None
    ends: Annotated[Annotated[Ends, ON] | Off, CHOICE, _short(Ends)] = None
    infill: Annotated[Annotated[Infill, ON] | Off, CHOICE, _short(Infill)] = None
    history_parts: Annotated[Annotated[HistoryParts, ON] | Off, CHOICE, _short(HistoryParts)] = None
    regions: Annotated[Annotated[Regions, ON] | Off, CHOICE, _short(Regions)] = None
    control: Annotated[Annotated[Control, ON] | Off, CHOICE, _short(Control)] = None
    cross_shot: Annotated[Annotated[CrossShot, ON] | Off, CHOICE, _short(CrossShot)] = None
    one_shot: Annotated[Annotated[OneShot, ON] | Off, CHOICE, _short(OneShot)] = None
    causal: Annotated[Annotated[Causal, ON] | Off, CHOICE, _short(Causal)] = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """A name, or names, alone are methods as they come."""
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return {"_".join(name.split()): True for name in names}
        return value

    @property
    def chosen(self) -> dict[str, Settings]:
        """The methods that are asked for, by name, in a fixed order."""
        found = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: settings for name, settings in found if isinstance(settings, Settings)}

    @property
    def shots(self) -> tuple[str, ...]:
        """The earlier shots that they name."""
        return tuple(dict.fromkeys(name for settings in self.chosen.values() for name in settings.shots))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that they name."""
        return tuple(dict.fromkeys(file for settings in self.chosen.values() for file in settings.files))

    @property
    def of_layout(self) -> tuple[str, ...]:
        """The names of those that act by the shot's layout."""
        control, noise = self.control, self.moving_noise
        acting = {
            "regions": self.regions,
            "control": control and control.video is None and control.shot is None,
            "moving_noise": noise and noise.path is None,
        }
        return tuple(name for name, acts in acting.items() if acts)

    @property
    def by_noise(self) -> tuple[str, ...]:
        """The names of those that act by the noise that a shot starts from, or walk back to it."""
        shared, moving, look, edit = self.shared_noise, self.moving_noise, self.keep_look, self.edit
        acting = {
            "shared_noise": shared and shared.strength,
            "moving_noise": moving and moving.strength,
            "keep_look": look and look.strength and look.noise,
            "edit": edit and edit.by == "inversion",
        }
        return tuple(name for name, acts in acting.items() if acts)

    @property
    def rivals(self) -> dict[str, tuple[str, ...]]:
        """The names of those of which one alone can act, by what each of them does."""
        begins = (self.edit, self.ends and self.ends.strength < 1)
        found = {
            "change the attention itself": _meeting(self, "keep_look", "regions", "causal"),
            "begin the clip elsewhere": ("edit", "ends") if all(begins) else (),
        }
        return {what: names for what, names in found.items() if len(names) > 1}

    def over(self, other: Method) -> Method:
        """This, and of `other` what this says nothing about."""
        fields = type(self).model_fields
        said = {name: settings for name in fields if (settings := getattr(self, name)) is not None}
        return self.model_construct(**{**other.chosen, **said})

    def to_json(self) -> dict[str, Any]:
        """Plain data: all settings of the chosen methods, defaults too."""
        return {name: settings.model_dump(mode="json") for name, settings in self.chosen.items()}


def _meeting(method: Method, *names: str) -> tuple[str, ...]:
    """Of these methods those that are asked for, more than not at all, and in a step in which another of them is."""
    chosen = method.chosen
    acting = {
        name: getattr(chosen[name], "interval", (0.0, 1.0))
        for name in names
        if name in chosen and getattr(chosen[name], "strength", 1.0) != 0.0
    }
    return tuple(
        name
        for name, (start, end) in acting.items()
        if any(max(start, begin) < min(end, stop) for other, (begin, stop) in acting.items() if other != name)
    )


METHODS: Mapping[str, type[Settings]] = {
    "windows": Windows,
    "keep_look": KeepLook,
    "shared_noise": SharedNoise,
    "same_background": SameBackground,
    "moving_noise": MovingNoise,
    "edit": Edit,
    "ends": Ends,
    "infill": Infill,
    "history_parts": HistoryParts,
    "regions": Regions,
    "control": Control,
    "cross_shot": CrossShot,
    "one_shot": OneShot,
    "causal": Causal,
}
"""Every method's name and its settings."""
