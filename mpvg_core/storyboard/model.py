"""The storyboard: what is to be filmed, as the artist wrote it. A storyboard is data, never code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    Strict,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .box import Box, read_box
from .crosscheck import Outline, ShotOutline, find_conflicts
from .method import Method
from .origin import Origin
from .words import complaint, shown, tidy, tidy_name

MAX_SHOTS = 1000
MAX_SEED = 2**64 - 1
MAX_PLACEMENTS = 1000
MAX_FRAMES = 100_000

LooksBack = Literal["all", "none"] | int | tuple[str, ...] | None
Size = tuple[int, int]


def _shot_name(text: str) -> str:
    """A shot's name; empty = not named yet, the board will call it 'shot N'."""
    if not text.strip():
        return ""
    name = tidy_name(text)
    if name.isdecimal():
        raise complaint(f"the name is the number {name}", "a name", "numbers already count the shots; name it in words")
    if "," in name:
        raise complaint(f"the name {shown(name)} holds a comma", "a name without", "commas separate the names of shots")
    return name


def _prompt(text: str) -> str:
    words = tidy(text)
    if not words:
        raise complaint("the prompt is empty", "a prompt", "say what the shot shows")
    return words


def _looks_back(value: Any) -> LooksBack:
    if value is None or value in ("all", "none"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SHOTS:
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return tuple(dict.fromkeys(tidy_name(name) for name in value))
    remedy = f"write [{value}] if this names a shot" if isinstance(value, str) and value.strip() else ""
    expected = "all, none, a count of shots from 1 on, or a list of earlier shots' names"
    raise complaint(f"looks_back is {shown(value)}", expected, remedy)


def _size(value: Any) -> Size | None:
    if value is None:
        return None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]{1,5})\s*[x×X*]\s*([0-9]{1,5})\s*", value)
        value = [int(match[1]), int(match[2])] if match else value
    if isinstance(value, list | tuple) and len(value) == 2:
        width, height = value
        if all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= 16384 for side in value):
            return width, height
    raise complaint(f"size is {shown(value)}", "width and height in pixels, as 720x480 or [720, 480]")


def _as_it_is(value: Any) -> Any:
    return value


Words = Annotated[str, AfterValidator(tidy)]
Name = Annotated[str, AfterValidator(tidy_name)]
Seed = Annotated[int, Strict(), Field(ge=0, le=MAX_SEED)]
Seconds = Annotated[float, Strict(), Field(gt=0, le=3600)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Named(_Part):
    """Has a look: where a prompt first names it, `look` follows in brackets, in the same words always."""

    name: Name
    look: Words = ""


class Actor(Named):
    """One of the cast."""


class Place(Named):
    """A place where shots are set."""


class Placement(_Part):
    """Where an entity is at one time of a shot; between two times its box goes in a straight line.

    entity: one of cast or places, or words of the prompt. box: left, top, width, height in 0..1 of the picture; one
    without width or height says that the entity is not to be seen. at: 0 = the first frame, 1 = the last.
    """

    entity: Name
    box: Annotated[Box, PlainValidator(read_box), PlainSerializer(list)]
    at: Annotated[float, Strict(), Field(ge=0, le=1)] = 0.0


class Shot(_Part):
    """One shot as written.

    seconds, frames: its length, at most one of them; neither = the model's longest.
    seed: its own; None = derived from the board's seed and the shot's name.
    transition: how it is joined to the shot before it; `transition_seconds` is the length of a crossfade. `smooth`: the
    two are one continuous take, whose prompt changes.
    looks_back: the earlier shots it may remember: None and 'all' = every one, 'none', a number = the last so many, or
    names.
    negative: replaces the board's negative prompt; '' = none.
    continues: it is meant to go on where the shot before it ends (some scripts say so); planned as a note.
    layout: where in the picture its entities are; boxes may overlap.
    method: how it is made beyond that; what it does not name is as the board says.
    """

    name: Annotated[str, AfterValidator(_shot_name)] = ""
    prompt: Annotated[str, AfterValidator(_prompt)]
    seconds: Seconds | None = None
    frames: Annotated[int, Strict(), Field(ge=1, le=MAX_FRAMES)] | None = None
    seed: Seed | None = None
    transition: Literal["cut", "crossfade", "smooth"] = "cut"
    transition_seconds: Seconds | None = None
    looks_back: Annotated[LooksBack, PlainValidator(_looks_back), PlainSerializer(_as_it_is)] = None
    negative: Words | None = None
    continues: Annotated[bool, Strict()] = False
    layout: tuple[Placement, ...] = ()
    method: Method = Method()

    @field_validator("layout", mode="after")
    @classmethod
    def _one_box_a_time(cls, layout: tuple[Placement, ...]) -> tuple[Placement, ...]:
        if len(layout) > MAX_PLACEMENTS:
            raise complaint(f"the layout has {len(layout)} boxes", f"at most {MAX_PLACEMENTS}", "leave some out")
        seen = set()
        for line in layout:
            if (line.entity, line.at) in seen:
                what = f"{shown(line.entity)} has two boxes at {line.at:g}"
                raise complaint(what, "one box an entity and time", "remove one, or say with 'at' when each holds")
            seen.add((line.entity, line.at))
        return layout

    @model_validator(mode="after")
    def _one_length_one_join(self) -> Shot:
        if self.seconds is not None and self.frames is not None:
            raise complaint("both seconds and frames are given", "one of them", "remove the other")
        if self.transition_seconds is not None and self.transition != "crossfade":
            raise complaint(
                "transition_seconds is given for a cut", "it with a crossfade only", "add transition: crossfade"
            )
        return self


class Storyboard(_Part):
    """A film as written: shots in order and what holds for all of them.

    style ends every shot's prompt; negative is what no shot should show; overview is the author's summary, not filmed.
    fps: frames a second of the film; size: (width, height) in pixels; None = the model's own. seed: every shot's seed
    derives from it. method: how shots are made, where they do not say otherwise. Shots without a name are called
    'shot 1', 'shot 2', … by their place.
    """

    version: Literal[1] = 1
    title: Words = ""
    overview: Words = ""
    style: Words = ""
    negative: Words = ""
    cast: tuple[Actor, ...] = ()
    places: tuple[Place, ...] = ()
    fps: Annotated[int, Strict(), Field(ge=1, le=120)] | None = None
    size: Annotated[Size | None, PlainValidator(_size), PlainSerializer(_as_it_is)] = None
    seed: Seed = 0
    method: Method = Method()
    shots: tuple[Shot, ...]

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """Where the board was written; no part of what it says."""
        return self._origin

    def written_at(self, origin: Origin) -> Storyboard:
        """The same board, knowing where it was written."""
        board = self.model_copy()
        board._origin = origin
        return board

    @field_validator("cast", "places", mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return [
            {"name": name, **(look if isinstance(look, Mapping) else {"look": look})} for name, look in value.items()
        ]

    @field_validator("shots", mode="before")
    @classmethod
    def _from_prompts(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        if not value:
            raise complaint("'shots' is empty", "at least one shot", "add a shot")
        if len(value) > MAX_SHOTS:
            raise complaint(f"there are {len(value)} shots", f"at most {MAX_SHOTS}", "split the film")
        return [{"prompt": shot} if isinstance(shot, str) else shot for shot in value]

    @field_validator("shots", mode="after")
    @classmethod
    def _name_all(cls, shots: tuple[Shot, ...]) -> tuple[Shot, ...]:
        return tuple(s if s.name else s.model_copy(update={"name": f"shot {i}"}) for i, s in enumerate(shots, start=1))

    @model_validator(mode="after")
    def _parts_agree(self) -> Storyboard:
        outline = Outline(
            shots=tuple(
                ShotOutline(
                    s.name,
                    s.looks_back,
                    s.transition,
                    s.prompt,
                    tuple(line.entity for line in s.layout),
                    s.method.shots,
                )
                for s in self.shots
            ),
            cast=tuple(actor.name for actor in self.cast),
            places=tuple(place.name for place in self.places),
        )
        if conflicts := find_conflicts(outline):
            text = "; ".join(conflict.what for conflict in conflicts)
            raise PydanticCustomError("conflicts", "{text}", {"text": text, "conflicts": conflicts})
        return self
