"""The way of a shot: remember, denoise, decode, keep; one shot after the other, each on disk before the next begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..backbone.interface import Backbone, ClipFeatures
from ..diffusion.sampler import StepInfo
from ..errors import InputError, MPVGError
from ..history.adapter import HistoryAdapter, require_fit
from ..history.decouple import HistoryTokens
from ..history.history import PastShot, PromptHistory
from ..storyboard.plan import FilmPlan
from ..storyboard.words import shot_label
from .assemble import clip_record
from .events import FilmEvent, OnEvent, unheard
from .record import Film, FilmedShot, another_film
from .route import Errand, departures, plan_route
from .settings import FilmSettings
from .shoot import ClipRequest, OnStep, conditioning, shoot_clip
from .takes import CLIP, Take, TakeStore
from .tensors import clip_features, set_aside, taken_up, write_latent
from .video import VideoWriter

_LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "imageio-ffmpeg", "numpy")


class Filming:
    """A film in the making: its route is known, its shots are filmed one after the other, each when asked for.

    plan, settings: what to film and how. adapter: without one no shot remembers. store: where takes are kept.
    only: numbers (from 1) of the shots to film, see `plan_route`; None = all.
    keep: the takes, by name of their shots, that stay in this film whatever changed, as locked ones do always.
    on_step: is told of every denoising step, with its picture. interrupt: called before every transformer call; stops
    the film by raising.

    Raises InputError for what the artist can mend, before any shot is filmed.
    """

    def __init__(
        self,
        plan: FilmPlan,
        backbone: Backbone,
        adapter: HistoryAdapter | None,
        settings: FilmSettings,
        store: TakeStore,
        *,
        only: Collection[int] | None = None,
        keep: Mapping[str, str] | None = None,
        on_event: OnEvent = unheard,
        on_step: OnStep | None = None,
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        self.plan, self.backbone, self.adapter, self.settings, self.store = plan, backbone, adapter, settings, store
        self.on_event, self.on_step, self.interrupt = on_event, on_step, interrupt
        store.sweep()
        if other := another_film(plan, store.folder):
            on_event(FilmEvent("note", text=other))
        if adapter is None and any(shot.looks_back for shot in plan.shots):
            on_event(FilmEvent("note", text="no history adapter: every shot is filmed from its prompt alone"))
        if any(shot.layout for shot in plan.shots):
            on_event(
                FilmEvent("note", text="layouts are kept with the takes, but place nobody: filming does not use them")
            )
        self._adapter_print = adapter.fingerprint if adapter is not None else None
        self.errands, self._texts = plan_route(plan, backbone, adapter, settings, store, only, keep)
        if adapter is not None:
            length, width = self.errands[0].text.embeds.shape
            require_fit(adapter, text_dim=width, max_tokens=length, transformer=backbone.transformer)
        self._takes: dict[int, Take] = {
            errand.number - 1: errand.take for errand in self.errands if errand.take is not None
        }
        _announce(self.errands, on_event)

    def shoot(self, errand: Errand) -> Take | None:
        """The errand's take, filmed now if it is not there; None for a shot that is left out.

        The shots it remembers come first. Raises MPVGError naming the shot for what goes wrong on the way.
        """
        index = errand.number - 1
        take = self._takes.get(index)
        if errand.action != "film":
            self.on_event(FilmEvent(errand.action, errand.number, errand.shot.name, take=take.id if take else ""))
            return take
        if take is not None:
            self.on_event(FilmEvent("reused", errand.number, errand.shot.name, take=take.id))
            return take
        try:
            latent, seconds = self._latent(errand, self._history(errand))
            take = self._keep(errand, latent, seconds)
        except InputError:
            raise
        except MPVGError as error:
            raise MPVGError(f"shot {errand.shot.name!r}: {error}") from error
        self._takes[index] = take
        self.on_event(FilmEvent("done", errand.number, errand.shot.name, take=take.id))
        return take

    def film(self) -> Film:
        """The film of all takes that are there by now, in order."""
        return _film_of(self.plan, self.backbone, self._adapter_print, self.settings, self.errands, self._takes)

    def _history(self, errand: Errand) -> PromptHistory:
        """The remembered shots; each clip is described when it is first remembered, and never again."""
        past = []
        for index in errand.remembered:
            take = self._takes.get(index) or self.shoot(self.errands[index])
            assert take is not None, "the route films every shot that is remembered"
            clip = clip_features(take, self.backbone.fingerprint, self.store.scratch, _describe_by(self.backbone))
            remembered = self.errands[index]
            past.append(PastShot(name=remembered.shot.name, text=remembered.text, clip=clip, take_id=take.id))
        return PromptHistory(tuple(past))

    def _latent(self, errand: Errand, history: PromptHistory) -> tuple[Tensor, float]:
        """The shot's latent [F, C, h, w], and the seconds it took; one that waits to be decoded is not made again."""
        shot, backbone, settings = errand.shot, self.backbone, self.settings
        waiting = self.store.sampled(errand.id)
        if (latent := taken_up(waiting)) is not None:
            self.on_event(FilmEvent("start", errand.number, shot.name, settings.steps, settings.steps))
            return latent.to(device=backbone.device, dtype=backbone.dtype), 0.0
        started = time.perf_counter()
        self.on_event(FilmEvent("start", errand.number, shot.name, steps=settings.steps))

        def on_step(info: StepInfo) -> None:
            if self.on_step is not None:
                self.on_step(info)
            self.on_event(FilmEvent("step", errand.number, shot.name, info.index + 1, info.steps))

        latent = shoot_clip(
            backbone,
            ClipRequest(
                seed=shot.seed,
                frames=shot.frames,
                width=shot.width,
                height=shot.height,
                steps=settings.steps,
                scheduler=settings.scheduler,
                batched=settings.batched,
                guidance=settings.guidance,
            ),
            self._texts[shot.full_prompt],
            self._texts[shot.negative],
            conditioning(self.adapter, _remembered(errand, history, self.adapter), backbone.device),
            on_step=on_step,
            interrupt=self.interrupt,
        )
        set_aside(latent, waiting, self.store.scratch)
        return latent, time.perf_counter() - started

    def _keep(self, errand: Errand, latent: Tensor, seconds: float) -> Take:
        """Store the latent, decode it to the clip as the frames come, and make both a take."""
        started = time.perf_counter()
        with self.store.draft() as draft:
            write_latent(latent, draft)
            _write_clip(latent, errand, self.backbone, draft, self.on_event, self.interrupt)
            rendered = {
                "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "device": str(self.backbone.device),
                "seconds_sampling": round(seconds, 3),
                "seconds_decoding": round(time.perf_counter() - started, 3),
            }
            return self.store.commit(draft, _manifest(errand, self.backbone, self._adapter_print, rendered))


def film_storyboard(
    plan: FilmPlan,
    backbone: Backbone,
    adapter: HistoryAdapter | None,
    settings: FilmSettings,
    store: TakeStore,
    *,
    only: Collection[int] | None = None,
    on_event: OnEvent = unheard,
    interrupt: Callable[[], None] | None = None,
) -> Film:
    """Film the shots that have no take of the same inputs yet, and give all takes in order (see `Filming`).

    Every finished shot is on disk before the next one starts, so that stopping at any moment, by an exception, Ctrl-C
    or a power cut, loses at most the shot in the making; calling again goes on, and gives the bytes of an undisturbed
    run.
    """
    filming = Filming(plan, backbone, adapter, settings, store, only=only, on_event=on_event, interrupt=interrupt)
    for errand in filming.errands:
        filming.shoot(errand)
    return filming.film()


def _announce(errands: Sequence[Errand], on_event: OnEvent) -> None:
    work = [errand for errand in errands if errand.action == "film"]
    on_event(FilmEvent("plan", step=len(work), steps=len(errands)))
    for errand in work:
        if not errand.asked:
            needy = next(e.shot.name for e in errands if e.action == "film" and errand.number - 1 in e.remembered)
            text = f"{shot_label(errand.shot.name)} is filmed too: it has no take, and {shot_label(needy)} remembers it"
            on_event(FilmEvent("note", errand.number, errand.shot.name, text=text))
    for errand in errands:
        if found := departures(errand):
            text = f"{shot_label(errand.shot.name)} is locked: {'; '.join(found)}"
            on_event(FilmEvent("note", errand.number, errand.shot.name, text=text))


def _describe_by(backbone: Backbone) -> Callable[[Tensor], ClipFeatures]:
    return lambda latent: backbone.describe_clip(latent.to(device=backbone.device, dtype=backbone.dtype))


def _remembered(errand: Errand, history: PromptHistory, adapter: HistoryAdapter | None) -> HistoryTokens | None:
    if adapter is None or errand.selection is None or not history:
        return None
    with torch.no_grad():
        ages = [memory.age for memory in errand.memories]
        return adapter.history_tokens(history, errand.text, errand.selection, ages)


def _write_clip(
    latent: Tensor,
    errand: Errand,
    backbone: Backbone,
    draft: Path,
    on_event: OnEvent,
    interrupt: Callable[[], None] | None,
) -> None:
    shot = errand.shot
    with VideoWriter(draft / CLIP, width=shot.width, height=shot.height, fps=shot.fps) as writer:
        chunks: Iterator[Any] = iter(backbone.decode(latent))
        for frames in chunks:
            if interrupt is not None:
                interrupt()
            writer.write(frames)
            on_event(FilmEvent("decode", errand.number, shot.name, writer.frames, shot.frames))
        if writer.frames != shot.frames:
            raise MPVGError(f"the model decoded {writer.frames} frames where {shot.frames} were planned")


def _manifest(errand: Errand, backbone: Backbone, adapter: str | None, rendered: dict[str, Any]) -> dict[str, Any]:
    shot = errand.shot
    return {
        "shot": shot.name,
        "prompt": shot.prompt,
        "inputs": dict(errand.inputs),
        "history": [memory.to_json() for memory in errand.memories],
        "model": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "adapter": adapter,
        "clip": clip_record(shot.width, shot.height),
        "versions": _versions(),
        "rendered": rendered,
    }


def _versions() -> dict[str, str]:
    versions = {"mpvg": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue  # ComfyUI may bring it by another name
    return versions


def _film_of(
    plan: FilmPlan,
    backbone: Backbone,
    adapter: str | None,
    settings: FilmSettings,
    errands: Sequence[Errand],
    takes: Mapping[int, Take],
) -> Film:
    shots = tuple(
        FilmedShot(
            number=errand.number,
            name=errand.shot.name,
            take=take,
            locked=errand.action == "locked",
            transition=errand.shot.transition,
            transition_seconds=float(errand.shot.transition_seconds or 0.0),
        )
        for errand in errands
        if (take := takes.get(errand.number - 1)) is not None
    )
    return Film(
        title=plan.title,
        fps=plan.fps,
        width=plan.width,
        height=plan.height,
        model={"name": backbone.name, "fingerprint": backbone.fingerprint},
        adapter=adapter,
        settings={**settings.text_inputs(), **settings.history_inputs()},
        shots=shots,
        left_out=tuple(e.shot.name for e in errands if e.number - 1 not in takes),
    )
