"""`mpvg film`: from a storyboard to a film that plays, a contact sheet and a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, Problem
from ..film.record import takes_in_use
from ..film.scratch import require_writable
from ..film.takes import TakeStore
from ..film.video import sound_fault
from ..storyboard.choice import chosen_shots
from ..storyboard.plan import require_known_words
from .assemble import Audio
from .board import Board, Model, Seed, plan_board
from .outcome import with_exit_codes
from .progress import Watcher

if TYPE_CHECKING:
    import torch

    from ..backbone.folder import ModelDefaults
    from ..film.settings import FilmSettings
    from ..history.adapter import HistoryAdapter


@with_exit_codes
def film(
    context: typer.Context,
    board: Board,
    model: Model = "pocket",
    adapter: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The history adapter; by default the model's own, if any.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the film's folder is made.")] = Path("out"),
    shots: Annotated[
        str | None, typer.Option(help="Film only these (3 or 2,5-7 or names), and what depends on them.")
    ] = None,
    lock: Annotated[str | None, typer.Option(help="Keep the takes of these shots from now on.")] = None,
    seed: Seed = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps a shot.")] = None,
    text_scale: Annotated[float | None, typer.Option(help="How strongly the prompt pulls (w1).")] = None,
    history_scale: Annotated[float | None, typer.Option(help="How strongly the earlier shots pull (w2).")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ddim|dpm", help="The noise scheduler; by default the model's own.")
    ] = None,
    audio: Audio = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Film a storyboard. Finished takes are kept: stop at any time, run again and it goes on."""
    plan, limits = plan_board(board, model, seed)
    require_known_words(plan, limits)
    names = [shot.name for shot in plan.shots]
    only = chosen_shots(shots, names, "--shots") if shots is not None else None
    to_lock = [names[number - 1] for number in chosen_shots(lock, names, "--lock")] if lock is not None else []
    if audio is not None and (fault := sound_fault(audio)):
        raise InputError(Problem("--audio", f"{audio} {fault}", "a sound file"))
    if adapter is not None and not adapter.is_file():
        raise InputError(Problem("--adapter", f"{adapter} is not there", "a history adapter's safetensors file"))
    folder = out / plan.slug
    require_writable(folder)  # before anything heavy is imported
    settings = _settings(_defaults(model), steps, text_scale, history_scale, scheduler)

    with TakeStore(folder) as store, Watcher(settings.steps) as watch:
        _ = store.scratch  # what only writing can tell is told before the model is loaded
        not_yet = _lock_last_takes(store, to_lock)

        from ..backbone.load import load_backbone
        from ..backbone.memory import settle_threads
        from ..film.assemble import finish_film
        from ..film.chain import film_storyboard

        backbone = load_backbone(model, device=device, dtype=dtype, control=True)
        settle_threads(backbone.transformer, backbone.device)
        history = _adapter(adapter, model, backbone.device)
        filmed = film_storyboard(
            plan, backbone, history, settings, store, only=only, folders=[Path(board).parent], on_event=watch
        )
        for shot in filmed.shots:
            if shot.name in not_yet:
                store.lock(shot.name, shot.take.id)
        kept = (replace(shot, locked=shot.locked or shot.name in not_yet) for shot in filmed.shots)
        files = finish_film(replace(filmed, shots=tuple(kept)), store, audio)
    typer.echo(f"{files.film}\n{files.contact}\n{files.record}")


def _adapter(file: Path | None, model: str, device: torch.device) -> HistoryAdapter | None:
    """The adapter of the option, else the one that lies with the model, else none."""
    from ..backbone.folder import find_model
    from ..history.adapter import load_adapter

    path = file or find_model(model, control=True).adapter
    return load_adapter(path, device=device) if path is not None else None


def _defaults(model: str) -> ModelDefaults:
    from ..backbone.folder import find_model

    return find_model(model, control=True).defaults()


def _settings(
    defaults: ModelDefaults,
    steps: int | None,
    text_scale: float | None,
    history_scale: float | None,
    scheduler: str | None,
) -> FilmSettings:
    from ..diffusion.guidance import HistoryGuidance
    from ..film.settings import FilmSettings

    how = defaults.told(steps=steps, text_scale=text_scale, history_scale=history_scale, scheduler=scheduler or None)
    return FilmSettings(steps=how.steps, guidance=HistoryGuidance(**how.guidance()), scheduler=how.scheduler)


def _lock_last_takes(store: TakeStore, names: list[str]) -> set[str]:
    """Lock the takes the film has of these shots; gives the shots it has none of, to be locked once they are filmed."""
    used = takes_in_use(store.folder)
    for name in names:
        if name in used and name not in store.locked():
            store.lock(name, used[name])
    return {name for name in names if name not in store.locked()}
