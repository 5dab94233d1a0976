"""film.json: what a film is made of. With the takes it names, it is all that is needed to assemble the film again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError, MPVGError, Problem
from .durable import readable_json, write_whole
from .takes import Take, TakeStore

if TYPE_CHECKING:
    from ..storyboard.plan import FilmPlan

FORMAT = 1
RECORD = "film.json"


@dataclass(frozen=True)
class Memory:
    """What a shot remembered of one earlier shot: which of its words, and which words of its own they served."""

    shot: str
    take: str
    age: int  # 1 is the shot just before
    tokens: tuple[int, ...]  # positions in the earlier shot's prompt
    pieces: tuple[str, ...]  # the same as text
    serves: tuple[str, ...]  # for each, the piece of the current prompt that it serves

    def to_json(self) -> dict[str, Any]:
        return {
            "shot": self.shot,
            "take": self.take,
            "age": self.age,
            "tokens": [*self.tokens],
            "pieces": [*self.pieces],
            "serves": [*self.serves],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Memory:
        tokens, pieces, serves = (tuple(data[key]) for key in ("tokens", "pieces", "serves"))
        return cls(str(data["shot"]), str(data["take"]), int(data["age"]), tokens, pieces, serves)


@dataclass(frozen=True)
class FilmedShot:
    """A shot with the take that stands for it; prompt, seed and history are those the take was made from."""

    number: int  # from 1, the place in the storyboard
    name: str
    take: Take
    locked: bool
    transition: str  # how the film comes to this shot from the one before: 'cut', 'crossfade' or 'smooth'
    transition_seconds: float

    @property
    def prompt(self) -> str:
        """As the artist wrote it; `full_prompt` has the style and the cast's looks as well."""
        return str(self.take.manifest["prompt"])

    @property
    def full_prompt(self) -> str:
        return str(self.take.inputs["prompt"])

    @property
    def seed(self) -> int:
        return int(self.take.inputs["seed"])

    @property
    def frames(self) -> int:
        return int(self.take.inputs["frames"])

    @property
    def history(self) -> tuple[Memory, ...]:
        return tuple(Memory.from_json(entry) for entry in self.take.manifest["history"])


@dataclass(frozen=True)
class Film:
    """Takes in order, and what they share. `left_out` names the shots that have no take yet."""

    title: str
    fps: int
    width: int  # of the model's frames; the file's may be a whole multiple
    height: int
    model: Mapping[str, Any]
    adapter: str | None
    settings: Mapping[str, Any]
    shots: tuple[FilmedShot, ...]
    left_out: tuple[str, ...] = field(default=())


def write_record(film: Film, store: TakeStore, files: Mapping[str, str]) -> Path:
    """Write film.json: no times and no paths of this machine, so that equal films have equal records.

    `files` maps each file name made for the film to its SHA-256.
    """
    target = store.folder / RECORD
    shots = [
        {
            "number": shot.number,
            "name": shot.name,
            "prompt": shot.prompt,
            "full_prompt": shot.full_prompt,
            "seed": shot.seed,
            "frames": shot.frames,
            "seconds": round(shot.frames / film.fps, 4),
            "locked": shot.locked,
            "transition": shot.transition,
            "transition_seconds": shot.transition_seconds,
            "take": shot.take.id,
            "files": dict(shot.take.manifest["files"]),
            "history": [memory.to_json() for memory in shot.history],
        }
        for shot in film.shots
    ]
    data = {
        "version": FORMAT,
        "title": film.title,
        "fps": film.fps,
        "size": [film.width, film.height],
        "model": dict(film.model),
        "adapter": film.adapter,
        "settings": dict(film.settings),
        "shots": shots,
        "left_out": [*film.left_out],
        "files": dict(files),
    }
    write_whole(target, readable_json(data), store.scratch)
    return target


def takes_in_use(folder: Path) -> dict[str, str]:
    """Which take each shot had when the film was last assembled, by the shot's name; empty without a film."""
    if not (folder / RECORD).exists():
        return {}
    return {shot.name: shot.take for shot in _read(folder).shots}


def another_film(plan: FilmPlan, folder: Path) -> str | None:
    """A warning where the folder holds a film that shares no shot, by name and prompt, with the plan; else None."""
    if not (folder / RECORD).exists():
        return None
    stored = _read(folder)
    there = {(shot.name, shot.prompt) for shot in stored.shots}
    if not there or there & {(shot.name, shot.prompt) for shot in plan.shots}:
        return None
    first = stored.shots[0]
    return (
        f"{folder} holds another film, whose first shot is {first.name!r}: {first.prompt!r}; its takes stay, "
        "but choose another --out or title to keep its film.mp4"
    )


def read_film(store: TakeStore) -> Film:
    """The film as film.json and the stored takes tell it.

    Raises InputError when there is no film, MPVGError when its record or one of its takes cannot be used.
    """
    if not (store.folder / RECORD).exists():
        raise InputError(Problem(str(store.folder), f"has no {RECORD}", "the folder of a film", "film the board first"))
    stored = _read(store.folder)
    shots = []
    for shot in stored.shots:
        if fault := store.fault(shot.take):
            raise MPVGError(f"shot {shot.name!r}: take {shot.take} {fault}; film the board again to make it anew")
        take = store.get(shot.take)
        assert take is not None
        shots.append(
            FilmedShot(
                number=shot.number,
                name=shot.name,
                take=take,
                locked=shot.locked,
                transition=shot.transition,
                transition_seconds=shot.transition_seconds,
            )
        )
    width, height = stored.size
    return Film(
        title=stored.title,
        fps=stored.fps,
        width=width,
        height=height,
        model=stored.model.model_dump(),
        adapter=stored.adapter,
        settings=stored.settings,
        shots=tuple(shots),
        left_out=stored.left_out,
    )


class _ShotEntry(BaseModel):
    number: int = Field(ge=1)
    name: str
    prompt: str
    take: str
    locked: bool
    transition: Literal["cut", "crossfade", "smooth"]
    transition_seconds: float = Field(ge=0, allow_inf_nan=False)


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    fingerprint: str


class _Record(BaseModel):
    """What is read of film.json; the rest is for people and other programs."""

    version: Literal[1]
    title: str
    fps: int = Field(ge=1)
    size: tuple[int, int]
    model: _Model
    adapter: str | None
    settings: dict[str, Any]
    shots: tuple[_ShotEntry, ...]
    left_out: tuple[str, ...]


def _read(folder: Path) -> _Record:
    path = folder / RECORD
    remedy = "mend it, or remove it and film the board again"
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise MPVGError(f"{path} cannot be read ({error}); {remedy}") from error
    if isinstance(data, dict) and data.get("version", FORMAT) != FORMAT:
        raise MPVGError(f"{path} has format {data['version']}; this version of MPVG reads {FORMAT}")
    try:
        return _Record.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_fault(detail["loc"], detail["type"], detail["msg"]) for detail in error.errors())
        raise MPVGError(f"{path} cannot be used ({faults}); {remedy}") from None


def _fault(path: tuple[int | str, ...], kind: str, said: str) -> str:
    """One thing wrong with film.json: "shots[2].take is missing"."""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "the file"
    return f"{where} is missing" if kind == "missing" else f"{where}: {said[0].lower()}{said[1:]}"
