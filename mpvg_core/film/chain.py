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
from ..backbone.interface import Backbone, ClipFeatures, TextEmbedding
from ..diffusion.frames import latent_frames
from ..diffusion.inject import HistoryConditioning
from ..diffusion.noise import shot_noise, step_generator
from ..diffusion.sampler import StepInfo, sample
from ..errors import InputError, MPVGError
from ..history.adapter import HistoryAdapter, require_fit
from ..history.history import PastShot, PromptHistory
from ..storyboard.plan import FilmPlan, ShotPlan
from ..storyboard.words import shot_label
from .assemble import clip_record
from .events import FilmEvent, OnEvent, unheard
from .record import Film, FilmedShot, another_film
from .route import Errand, departures, plan_route
from .settings import FilmSettings
from .takes import CLIP, Take, TakeStore
from .tensors import clip_features, set_aside, taken_up, write_latent
from .video import VideoWriter

_LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "imageio-ffmpeg", "numpy")


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
    """Film the shots that have no take of the same inputs yet, and give all takes in order.

    Every finished shot is on disk before the next one starts, so that stopping at any moment, by an exception, Ctrl-C
    or a power cut, loses at most the shot in the making; calling again goes on, and gives the bytes of an undisturbed
    run.

    only: numbers (from 1) of the shots to film, see `plan_route`; None = all. Without `adapter` no shot remembers.
    interrupt: called before every transformer call; stops the film by raising.

    Raises InputError for what the artist can mend, MPVGError, naming the shot, for what went wrong on the way.
    """
    store.sweep()
    if other := another_film(plan, store.folder):
        on_event(FilmEvent("note", text=other))
    if adapter is None and any(shot.looks_back for shot in plan.shots):
        on_event(FilmEvent("note", text="no history adapter: every shot is filmed from its prompt alone"))
    adapter_print = adapter.fingerprint if adapter is not None else None
    errands, texts = plan_route(plan, backbone, adapter, settings, store, only)
    if adapter is not None:
        length, width = errands[0].text.embeds.shape
        require_fit(adapter, text_dim=width, max_tokens=length, transformer=backbone.transformer)
    _announce(errands, on_event)
    takes: list[Take | None] = []
    for errand in errands:
        take = errand.take
        if errand.action == "film":
            history = _history(errand, errands, takes, backbone, store)
            try:
                latent, seconds = _latent(
                    errand, history, texts, backbone, adapter, settings, store, on_event, interrupt
                )
                take = _keep(errand, latent, seconds, backbone, adapter_print, store, on_event)
            except InputError:
                raise
            except MPVGError as error:
                raise MPVGError(f"shot {errand.shot.name!r}: {error}") from error
            on_event(FilmEvent("done", errand.number, errand.shot.name, take=take.id))
        else:
            on_event(FilmEvent(errand.action, errand.number, errand.shot.name, take=take.id if take else ""))
        takes.append(take)
    return _film_of(plan, backbone, adapter_print, settings, errands, takes)


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


def _history(
    errand: Errand, errands: Sequence[Errand], takes: Sequence[Take | None], backbone: Backbone, store: TakeStore
) -> PromptHistory:
    """The remembered shots; each clip is described when it is first remembered, and never again."""
    past = []
    for index in errand.remembered:
        take = takes[index]
        assert take is not None, "the route films every shot that is remembered"
        clip = clip_features(take, backbone.fingerprint, store.scratch, _describe_by(backbone))
        past.append(PastShot(name=errands[index].shot.name, text=errands[index].text, clip=clip, take_id=take.id))
    return PromptHistory(tuple(past))


def _describe_by(backbone: Backbone) -> Callable[[Tensor], ClipFeatures]:
    return lambda latent: backbone.describe_clip(latent.to(device=backbone.device, dtype=backbone.dtype))


def _latent(
    errand: Errand,
    history: PromptHistory,
    texts: Mapping[str, TextEmbedding],
    backbone: Backbone,
    adapter: HistoryAdapter | None,
    settings: FilmSettings,
    store: TakeStore,
    on_event: OnEvent,
    interrupt: Callable[[], None] | None,
) -> tuple[Tensor, float]:
    """The shot's latent [F, C, h, w], and the seconds it took; one that waits to be decoded is not sampled again."""
    waiting = store.sampled(errand.id)
    if (latent := taken_up(waiting)) is not None:
        on_event(FilmEvent("start", errand.number, errand.shot.name, settings.steps, settings.steps))
        return latent.to(device=backbone.device, dtype=backbone.dtype), 0.0
    shot, started = errand.shot, time.perf_counter()
    steps = settings.steps
    on_event(FilmEvent("start", errand.number, shot.name, steps=steps))

    def on_step(info: StepInfo) -> None:
        on_event(FilmEvent("step", errand.number, shot.name, info.index + 1, info.steps))

    latent = sample(
        backbone,
        noise=shot_noise(shot.seed, _latent_shape(shot, backbone), backbone.device, backbone.dtype),
        positive=texts[shot.full_prompt].embeds[None].to(backbone.device),
        negative=texts[shot.negative].embeds[None].to(backbone.device),
        history=_conditioning(errand, history, adapter, backbone),
        guidance=settings.guidance,
        scheduler=backbone.new_scheduler(settings.scheduler),
        steps=steps,
        batched=settings.batched,
        generator=step_generator(shot.seed),
        on_step=on_step,
        interrupt=interrupt,
    )[0]
    set_aside(latent, waiting, store.scratch)
    return latent, time.perf_counter() - started


def _keep(
    errand: Errand,
    latent: Tensor,
    seconds: float,
    backbone: Backbone,
    adapter: str | None,
    store: TakeStore,
    on_event: OnEvent,
) -> Take:
    """Store the latent, decode it to the clip as the frames come, and make both a take."""
    started = time.perf_counter()
    with store.draft() as draft:
        write_latent(latent, draft)
        _write_clip(latent, errand, backbone, draft, on_event)
        rendered = {
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "device": str(backbone.device),
            "seconds_sampling": round(seconds, 3),
            "seconds_decoding": round(time.perf_counter() - started, 3),
        }
        return store.commit(draft, _manifest(errand, backbone, adapter, rendered))


def _latent_shape(shot: ShotPlan, backbone: Backbone) -> tuple[int, int, int, int, int]:
    frames = latent_frames(shot.frames, backbone.temporal_compression)
    side = backbone.spatial_compression
    return (1, frames, backbone.latent_channels, shot.height // side, shot.width // side)


def _conditioning(
    errand: Errand, history: PromptHistory, adapter: HistoryAdapter | None, backbone: Backbone
) -> HistoryConditioning | None:
    if adapter is None or errand.selection is None or not history:
        return None
    with torch.no_grad():
        ages = [memory.age for memory in errand.memories]
        remembered = adapter.history_tokens(history, errand.text, errand.selection, ages)
    if remembered is None:
        return None
    return HistoryConditioning(adapter.injection, remembered.tokens[None].to(backbone.device))


def _write_clip(latent: Tensor, errand: Errand, backbone: Backbone, draft: Path, on_event: OnEvent) -> None:
    shot = errand.shot
    with VideoWriter(draft / CLIP, width=shot.width, height=shot.height, fps=shot.fps) as writer:
        chunks: Iterator[Any] = iter(backbone.decode(latent))
        for frames in chunks:
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
    takes: Sequence[Take | None],
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
        for errand, take in zip(errands, takes, strict=True)
        if take is not None
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
        left_out=tuple(e.shot.name for e, take in zip(errands, takes, strict=True) if take is None),
    )
