"""The sockets of this pack and what each carries. Socket names are for ever."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..mpvg_core.backbone.cogvideox import CogVideoXBackbone
    from ..mpvg_core.backbone.folder import ModelDefaults
    from ..mpvg_core.backbone.interface import TextEmbedding
    from ..mpvg_core.backbone.preview import LatentColours
    from ..mpvg_core.diffusion.guidance import HistoryGuidance, Segment
    from ..mpvg_core.diffusion.inject import HistoryConditioning
    from ..mpvg_core.film.asked import Model as EarlierShot
    from ..mpvg_core.film.chain import Filming
    from ..mpvg_core.film.collect import MadeClip
    from ..mpvg_core.film.record import Film
    from ..mpvg_core.film.route import Errand
    from ..mpvg_core.film.takes import Take
    from ..mpvg_core.history.adapter import HistoryAdapter
    from ..mpvg_core.history.decouple import HistoryTokens
    from ..mpvg_core.history.history import PromptHistory
    from ..mpvg_core.history.select import TokenSelection
    from ..mpvg_core.history.semantics import VisualSemantics
    from ..mpvg_core.storyboard.plan import PlacedBox
    from .host import Resident

Model = io.Custom("MPVG_MODEL")
Prompt = io.Custom("MPVG_PROMPT")
History = io.Custom("MPVG_HISTORY")
Selection = io.Custom("MPVG_SELECTION")
Semantics = io.Custom("MPVG_SEMANTICS")
HistoryTokensSocket = io.Custom("MPVG_HISTORY_TOKENS")
Guidance = io.Custom("MPVG_GUIDANCE")
StoryboardSocket = io.Custom("MPVG_STORYBOARD")
FilmSocket = io.Custom("MPVG_FILM")
Takes = io.Custom("MPVG_TAKES")
MethodsSocket = io.Custom("MPVG_METHODS")


@dataclass(frozen=True, repr=False)
class FilmModel:
    """MPVG_MODEL: a model with its history adapter, and the host's hold on its weights.

    defaults: how the model films best unless told otherwise.
    """

    backbone: CogVideoXBackbone
    adapter: HistoryAdapter | None
    resident: Resident
    colours: LatentColours
    defaults: ModelDefaults

    def __repr__(self) -> str:
        """The host writes a failed node's inputs into its report: the name says more there than every layer."""
        return f"FilmModel({self.backbone.name!r}, {self.backbone.dtype}, {self.backbone.device})"

    def noise_scheduler(self, wanted: str) -> str:
        """The scheduler that a widget asks for: `ddim` or `dpm`."""
        return wanted if wanted in ("ddim", "dpm") else self.defaults.scheduler

    def guidance(self) -> HistoryGuidance:
        """The model's own scales, where no History CFG is connected."""
        from ..mpvg_core.diffusion.guidance import HistoryGuidance

        return HistoryGuidance(**self.defaults.guidance())


@dataclass(frozen=True)
class EncodedPrompt:
    """MPVG_PROMPT: a prompt, and how the model read it; `model` is the fingerprint of the one that did."""

    words: str
    text: TextEmbedding
    model: str


@dataclass(frozen=True)
class ShownHistory:
    """MPVG_HISTORY: the past shots, their clips, and for each its prompt with a picture as the page shows them."""

    past: PromptHistory
    clips: tuple[MadeClip, ...]
    pictures: tuple[dict[str, Any], ...]
    model: str


@dataclass(frozen=True)
class Remembered:
    """MPVG_SELECTION: what is kept of which past shots for a prompt; `ages` says how many shots ago each was."""

    prompt: EncodedPrompt
    past: PromptHistory
    ages: tuple[int, ...]
    selection: TokenSelection | None


@dataclass(frozen=True)
class Semantic:
    """MPVG_SEMANTICS: what the prompt's tokens should look like; None where nothing is remembered."""

    prompt: EncodedPrompt
    semantics: VisualSemantics | None


@dataclass(frozen=True)
class Tokens:
    """MPVG_HISTORY_TOKENS: what the sampler brings into the transformer; None where nothing is remembered."""

    tokens: HistoryTokens | None
    model: str


_JOINED = ("shots", "seeds", "clips", "rates", "masks", "files")  # of the fields of `Methods`, those that add up


def _require_one_of_a_name(known: Mapping[str, EarlierShot], new: Mapping[str, EarlierShot]) -> None:
    from ..mpvg_core.errors import InputError, Problem

    for name in known.keys() & new.keys():
        one, other = (shots[name].latents.float().cpu() for shots in (known, new))
        if one.shape != other.shape or not bool((one == other).all()):
            what = "methods build on two earlier shots of this name"
            raise InputError(Problem(f"shot {name!r}", what, "one", "give them different names in Prompt History"))


def _content(path: Path) -> str:
    from ..mpvg_core.film.durable import sha256_file

    return sha256_file(path)


@dataclass(frozen=True)
class Methods:
    """MPVG_METHODS: how a shot is made, by the names and settings of a storyboard's `method`.

    What was given by hand goes by name: earlier shots, seeds, clips (uint8 [T, H, W, 3]) with the frames a second of
    those that have a rate, masks (bool [T, H, W]), files; the boxes of a layout; past shots that are all seen, and how
    many shots ago each was; parts of the history, and the pulls towards them.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    shots: Mapping[str, EarlierShot] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    clips: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    layout: tuple[PlacedBox, ...] = ()
    past: Mapping[str, EarlierShot] = field(default_factory=dict)
    ages: tuple[int, ...] = ()
    parts: Mapping[str, HistoryConditioning | None] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()

    def with_one(self, name: str, settings: Mapping[str, Any], **given: Any) -> Methods:
        """These and one more; a second one of the same name takes the place of the first.

        Raises InputError for an earlier shot that has the name of another one.
        """
        used = {settings.get("shot") for other, settings in self.settings.items() if other != name}
        known = {called: shot for called, shot in self.shots.items() if called in used}
        _require_one_of_a_name(known, given.get("shots", {}))
        joined = {part: {**getattr(self, part), **given.pop(part, {})} for part in _JOINED}
        return replace(self, settings={**self.settings, name: dict(settings)}, **joined, **given)

    def fingerprint(self) -> str:
        """A hash of all of it; '' for none."""
        if not self.settings:
            return ""
        told = sorted(self.settings.items()), sorted(self.seeds.items()), sorted(self.rates.items()), self.layout
        files = [(name, _content(path)) for name, path in sorted(self.files.items())]
        digest = hashlib.sha256(repr((told, files, self.ages, self.segments)).encode())
        for name, conditioning in sorted(self.parts.items()):
            digest.update(name.encode())
            if conditioning is not None:
                digest.update(conditioning.tokens.float().cpu().numpy().tobytes())
        for name, model in [*sorted(self.shots.items()), *self.past.items()]:
            digest.update(f"{name} {model.text.ids.tolist()}".encode())
            digest.update(model.latents.float().cpu().numpy().tobytes())
        arrays: dict[str, NDArray[Any]] = {**self.clips, **self.masks}
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class FilmOnDisk:
    """MPVG_FILM: the takes of a film in order, and the folder they lie in."""

    film: Film
    folder: Path


@dataclass(frozen=True)
class FilmedSoFar:
    """MPVG_TAKES: the takes of the first shots of a film in the making."""

    takes: tuple[Take | None, ...]


class Assignment(str):
    """A shot to be filmed, as the input of a node: to the host's cache it is the id of the shot's take.

    Equal ids mean equal inputs, so the host may skip the node when its take is there; one that is still to be filmed
    (or was, and its take is gone from the disk) is like no other.
    """

    filming: Filming
    errand: Errand
    model: FilmModel
    shown_on: str  # the id of the node whose progress this is
    notes: tuple[str, ...]  # on the film as a whole, shown with this shot

    @classmethod
    def of(
        cls, errand: Errand, filming: Filming, model: FilmModel, shown_on: str, notes: Sequence[str] = ()
    ) -> Assignment:
        there = errand.take.id if errand.take else uuid.uuid4().hex if errand.action == "film" else ""
        made = cls(f"{errand.id} {errand.action} {there}")
        made.filming, made.errand, made.model, made.shown_on = filming, errand, model, shown_on
        made.notes = tuple(notes)
        return made
