"""The way of a shot: remember, denoise, decode, keep; one shot after the other, each on disk before the next begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..backbone.interface import Backbone, ClipFeatures
from ..diffusion.guidance import Segment
from ..diffusion.inject import HistoryConditioning
from ..diffusion.sampler import StepInfo
from ..errors import InputError, MPVGError, Problem
from ..history.adapter import HistoryAdapter, require_fit
from ..history.decouple import HistoryTokens
from ..history.history import PastShot, PromptHistory
from ..methods.codenoise import PromptSpan
from ..methods.sub_histories import Parts, family
from ..methods.technique import Technique
from ..storyboard.plan import FilmPlan
from ..storyboard.words import shot_label
from .asked import Asked, Model
from .assemble import clip_record
from .events import FilmEvent, OnEvent, unheard
from .fitness import require_control, require_kept_noise
from .parts import Parted, found_files, latent_lengths
from .record import Film, FilmedShot, another_film
from .route import Errand, departures, plan_route
from .settings import FilmSettings
from .shoot import ClipRequest, OnStep, conditioning, shoot_clip
from .takes import CLIP, Take, TakeStore
from .techniques import filled_in, ways_of
from .tensors import clip_features, read_latent, set_aside, taken_up, write_latent
from .video import VideoWriter

_LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "imageio-ffmpeg", "numpy")


class Filming:
    """A film in the making: its route is known, its shots are filmed one after the other, each when asked for.

    plan, settings: what to film and how. adapter: without one no shot remembers. store: where takes are kept.
    only: numbers (from 1) of the shots to film, see `plan_route`; None = all.
    keep: the takes, by name of their shots, that stay in this film whatever changed, as locked ones do always.
    folders: where files lie that the storyboard's methods name, the first that has one; none = where the program runs.
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
        folders: Sequence[Path] = (),
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
        if any(shot.layout and not shot.method.of_layout for shot in plan.shots):
            text = "layouts are kept with the takes, but place nobody: the methods regions, control, moving_noise do"
            on_event(FilmEvent("note", text=text))
        self._adapter_print = adapter.fingerprint if adapter is not None else None
        require_control(plan.shots, backbone)
        self._files = found_files(plan, folders or (Path(),), backbone.companion)
        self.errands, self._texts = plan_route(plan, backbone, adapter, settings, store, only, keep, self._files)
        filmed = (errand.shot for errand in self.errands if errand.action == "film")
        require_kept_noise(filmed, backbone, settings.scheduler)
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
        parts = [self.errands[part] for part in errand.together]
        try:
            for part, made in self._keep(parts, *self._latent(parts)):
                self._takes[part.number - 1] = made
                self.on_event(FilmEvent("done", part.number, part.shot.name, take=made.id))
        except InputError as error:
            raise _of_shot(error, errand.shot.name) from error
        except MPVGError as error:
            raise MPVGError(f"shot {errand.shot.name!r}: {error}") from error
        return self._takes[index]

    def film(self) -> Film:
        """The film of all takes that are there by now, in order."""
        return _film_of(self.plan, self.backbone, self._adapter_print, self.settings, self.errands, self._takes)

    def _history(self, errand: Errand) -> PromptHistory:
        """The remembered shots; each clip is described when it is first remembered, and never again."""
        past = []
        for index in errand.remembered:
            take = self._take_of(index)
            clip = clip_features(take, self.backbone.fingerprint, self.store.scratch, _describe_by(self.backbone))
            remembered = self.errands[index]
            past.append(PastShot(name=remembered.shot.name, text=remembered.text, clip=clip, take_id=take.id))
        return PromptHistory(tuple(past))

    def _take_of(self, index: int) -> Take:
        """The take of an earlier shot, filmed now if it is not there."""
        take = self._takes.get(index) or self.shoot(self.errands[index])
        assert take is not None, "the route films every shot that another needs"
        return take

    def _latent(self, parts: Sequence[Errand]) -> tuple[Tensor, float, Iterator[Any]]:
        """The latent [F, C, h, w] of a continuous take, the seconds it took, and the take's frames as they come.

        A latent that waits to be decoded is not made again.
        """
        first, settings = parts[0], self.settings
        lengths = latent_lengths([part.shot.frames for part in parts], self.backbone.temporal_compression)
        asked = self._asked(parts, lengths)
        ways = ways_of(asked)
        waiting = self.store.sampled(parts[-1].id)  # it goes with the last of the takes
        for part in parts:
            self.on_event(FilmEvent("start", part.number, part.shot.name, steps=settings.steps))

        def on_step(info: StepInfo) -> None:
            if self.on_step is not None:
                self.on_step(info)
            self.on_event(FilmEvent("step", first.number, first.shot.name, info.index + 1, info.steps))

        conditioning = None if asked.spans else self._conditioning(first)
        parts_remembered, segments = self._family(first)
        guidance = replace(settings.guidance, segments=(*settings.guidance.segments, *segments))

        def shoot(seed: int, techniques: Sequence[Technique] = ()) -> Tensor:
            return shoot_clip(
                self.backbone,
                ClipRequest(
                    seed=seed,
                    frames=asked.clip_frames,
                    width=asked.width,
                    height=asked.height,
                    steps=settings.steps,
                    scheduler=settings.scheduler,
                    batched=settings.batched,
                    guidance=guidance,
                ),
                asked.text,
                self._texts[first.shot.negative],
                conditioning,
                techniques=(*ways.techniques, *techniques),
                parts=parts_remembered,
                on_step=on_step,
                interrupt=self.interrupt,
            )

        started, latent = time.perf_counter(), taken_up(waiting)
        if latent is None:
            latent = shoot(asked.seed)
            set_aside(latent, waiting, self.store.scratch)
        else:
            latent = latent.to(device=self.backbone.device, dtype=self.backbone.dtype)
            for part in parts:
                self.on_event(FilmEvent("step", part.number, part.shot.name, settings.steps, settings.steps))
        frames = filled_in(asked, latent, shoot) if asked.method.infill else self.backbone.decode(latent)
        return latent, time.perf_counter() - started, ways.finish(frames) if ways.finish else frames

    def _asked(self, parts: Sequence[Errand], lengths: Sequence[range]) -> Asked:
        """What a take's methods are built from."""
        first, backbone = parts[0], self.backbone
        spans = [
            PromptSpan(frames, part.text.embeds[None].to(backbone.device), self._conditioning(part))
            for part, frames in zip(parts, lengths, strict=True)
            if len(parts) > 1
        ]
        models, seeds = {}, {}
        for index in first.built_on:
            earlier = self.errands[index]
            latents = read_latent(self._take_of(index)).to(device=backbone.device, dtype=backbone.dtype)
            models[earlier.shot.name] = Model(earlier.shot.name, earlier.text, latents)
            seeds[earlier.shot.name] = earlier.shot.seed
        shot = first.shot
        seen = [index for index in first.built_on if self.errands[index].shot.name in shot.looks_back]
        return Asked(
            backbone=backbone,
            method=shot.method,
            label=shot.where or shot_label(shot.name),
            text=first.text,
            seed=shot.seed,
            frames=sum(part.shot.frames for part in parts),
            width=shot.width,
            height=shot.height,
            fps=shot.fps,
            layout=shot.layout,
            spans=spans,
            shots=models,
            seeds=seeds,
            past=[self.errands[index].shot.name for index in seen],
            ages=[first.number - 1 - index for index in seen],
            files=self._files,
            texts=self._texts,
        )

    def _conditioning(self, errand: Errand) -> HistoryConditioning | None:
        remembered = _remembered(errand, self._history(errand), self.adapter)
        return conditioning(self.adapter, remembered, self.backbone.device)

    def _family(self, errand: Errand) -> tuple[Parts, tuple[Segment, ...]]:
        """Parts of what a shot remembers, and the pulls towards them, where its methods ask for them."""
        how, adapter = errand.shot.method.history_parts, self.adapter
        if not how or adapter is None or errand.selection is None:
            return {}, ()
        ages = [memory.age for memory in errand.memories]
        history = self._history(errand)
        return family(adapter, history, errand.text, errand.selection, ages, how, errand.shot.seed)

    def _keep(
        self, parts: Sequence[Errand], latent: Tensor, seconds: float, chunks: Iterator[Any]
    ) -> Iterator[tuple[Errand, Take]]:
        """Store of each shot of a take the latent and, as its frames come, the clip."""
        frames = Parted(chunks)
        lengths = latent_lengths([part.shot.frames for part in parts], self.backbone.temporal_compression)
        for part, own in zip(parts, lengths, strict=True):
            shot, started = part.shot, time.perf_counter()
            with self.store.draft() as draft:
                # A later part keeps the latent frame before it: so it is a clip by itself, as others remember it.
                write_latent(latent[max(own.start - 1, 0) : own.stop], draft)
                self._write_clip(part, frames.first(shot.frames), draft)
                if part is parts[-1]:
                    frames.require_end()
                rendered = {
                    "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "device": str(self.backbone.device),
                    "seconds_sampling": round(seconds, 3),
                    "seconds_decoding": round(time.perf_counter() - started, 3),
                }
                yield part, self.store.commit(draft, _manifest(part, self.backbone, self._adapter_print, rendered))

    def _write_clip(self, errand: Errand, chunks: Iterator[Any], draft: Path) -> None:
        shot = errand.shot
        with VideoWriter(draft / CLIP, width=shot.width, height=shot.height, fps=shot.fps) as writer:
            for frames in chunks:
                if self.interrupt is not None:
                    self.interrupt()
                writer.write(frames)
                self.on_event(FilmEvent("decode", errand.number, shot.name, writer.frames, shot.frames))
            if writer.frames != shot.frames:
                raise MPVGError(f"the model decoded {writer.frames} frames where {shot.frames} were planned")


def film_storyboard(
    plan: FilmPlan,
    backbone: Backbone,
    adapter: HistoryAdapter | None,
    settings: FilmSettings,
    store: TakeStore,
    *,
    only: Collection[int] | None = None,
    folders: Sequence[Path] = (),
    on_event: OnEvent = unheard,
    interrupt: Callable[[], None] | None = None,
) -> Film:
    """Film the shots that have no take of the same inputs yet, and give all takes in order (see `Filming`).

    Every finished shot is on disk before the next one starts, so that stopping at any moment, by an exception, Ctrl-C
    or a power cut, loses at most the shot in the making; calling again goes on, and gives the bytes of an undisturbed
    run.
    """
    filming = Filming(
        plan, backbone, adapter, settings, store, only=only, folders=folders, on_event=on_event, interrupt=interrupt
    )
    for errand in filming.errands:
        filming.shoot(errand)
    return filming.film()


def _announce(errands: Sequence[Errand], on_event: OnEvent) -> None:
    work = [errand for errand in errands if errand.action == "film"]
    on_event(FilmEvent("plan", step=len(work), steps=len(errands)))
    for errand in work:
        if not errand.asked:
            text = f"{shot_label(errand.shot.name)} is filmed too: it has no take, and {_why(errand, errands)}"
            on_event(FilmEvent("note", errand.number, errand.shot.name, text=text))
    for errand in errands:
        if found := departures(errand):
            text = f"{shot_label(errand.shot.name)} is locked: {'; '.join(found)}"
            on_event(FilmEvent("note", errand.number, errand.shot.name, text=text))


def _why(errand: Errand, errands: Sequence[Errand]) -> str:
    """For whose sake a shot is filmed that was not asked for."""
    index = errand.number - 1
    for other in errands:
        name = shot_label(other.shot.name)
        if other.action == "film" and index in other.remembered:
            return f"{name} remembers it"
        if other.action == "film" and index in other.built_on:
            return f"{name} builds on it"
    return f"{shot_label(errands[errand.together.start].shot.name)} is made in one take with it"


def _describe_by(backbone: Backbone) -> Callable[[Tensor], ClipFeatures]:
    return lambda latent: backbone.describe_clip(latent.to(device=backbone.device, dtype=backbone.dtype))


def _remembered(errand: Errand, history: PromptHistory, adapter: HistoryAdapter | None) -> HistoryTokens | None:
    if adapter is None or errand.selection is None or not history:
        return None
    with torch.no_grad():
        ages = [memory.age for memory in errand.memories]
        return adapter.history_tokens(history, errand.text, errand.selection, ages)


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


def _of_shot(error: InputError, name: str) -> InputError:
    """The error with the shot in each of its problems."""

    def told(problem: Problem) -> Problem:
        label = shot_label(name)
        return problem if label in problem.where else replace(problem, where=f"{label}: {problem.where}")

    return InputError(told(problem) for problem in error.problems)
