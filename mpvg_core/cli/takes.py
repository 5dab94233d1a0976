"""`mpvg takes`: the takes of a film; look at them, lock them, remove them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, Problem
from ..film.record import takes_in_use
from ..film.takes import Take, TakeStore
from ..storyboard.choice import chosen_shots
from .outcome import with_exit_codes

app = typer.Typer(help="The takes of a film: list, lock, unlock, remove.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a film, as out/four-shots.")]
ShotChoice = Annotated[str, typer.Argument(metavar="SHOT", help="A shot's number or name.")]


@app.command("list")
@with_exit_codes
def list_takes(
    context: typer.Context,
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """Print every take: its shot, its seed, whether the film uses it, whether it is locked."""
    store = _store(folder)
    used, locked = takes_in_use(folder), store.locked()
    rows = [
        {
            "take": take.id,
            "shot": take.shot,
            "prompt": str(take.manifest["prompt"]),
            "seed": take.inputs["seed"],
            "frames": take.inputs["frames"],
            "created": take.created,
            "in_film": take.id in used.values(),
            "locked": take.id in locked.values(),
        }
        for take in store.list()
    ]
    faults = store.faults()
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        for row in rows:
            marks = f"{'film' if row['in_film'] else '':4}  {'locked' if row['locked'] else '':6}"
            made = f"seed {row['seed']}, {row['frames']} frames"
            typer.echo(f"{row['take']}  {marks}  {row['shot']}: {made}: {row['prompt']}")
    for id, fault in faults.items():
        typer.echo(f"take {id} cannot be used: {fault}", err=True)


@app.command("lock")
@with_exit_codes
def lock_take(
    context: typer.Context,
    folder: Folder,
    shot: ShotChoice,
    take: Annotated[str, typer.Argument(help="The take's id; by default the one the film uses.")] = "",
) -> None:
    """Keep a take for a shot, whatever changes on the board."""
    with _store(folder) as store:
        name = _shot_name(store, shot)
        id = take or takes_in_use(folder).get(name, "")
        if not id:
            raise InputError(Problem(f"shot {name!r}", "the film has no take of it", remedy="name the take"))
        store.lock(name, id)
        typer.echo(f"shot {name!r} keeps take {id}")


@app.command("unlock")
@with_exit_codes
def unlock_take(context: typer.Context, folder: Folder, shot: ShotChoice) -> None:
    """Let a shot be filmed anew when it changes."""
    with _store(folder) as store:
        name = _shot_name(store, shot)
        typer.echo(f"shot {name!r} {'is unlocked' if store.unlock(name) else 'was not locked'}")


@app.command("remove")
@with_exit_codes
def remove_takes(
    context: typer.Context,
    folder: Folder,
    takes: Annotated[list[str] | None, typer.Argument(metavar="[TAKE]...", help="Ids of takes.")] = None,
    unused: Annotated[
        bool,
        typer.Option(
            "--unused", help="All takes that neither the film nor a lock uses, and latents that wait to be decoded."
        ),
    ] = False,
) -> None:
    """Delete takes; locked ones are refused, and then none is deleted."""
    with _store(folder) as store:
        doomed = [*dict.fromkeys(takes or [])]
        if unused:
            held = {*takes_in_use(folder).values(), *store.locked().values()}
            doomed += [take.id for take in store.list() if take.id not in held and take.id not in doomed]
        elif not doomed:
            raise InputError(Problem("mpvg takes remove", "no take is named", "ids of takes, or --unused"))
        store.require_removable(doomed)
        for id in doomed:
            store.remove(id)
            typer.echo(f"removed take {id}")
        for id in store.forget_waiting() if unused else ():
            typer.echo(f"removed latent {id}")


def _store(folder: Path) -> TakeStore:
    if not (folder / "takes").is_dir():
        remedy = "film the board first, or name its folder inside the output folder"
        raise InputError(Problem(str(folder), "holds no takes", "the folder of a film", remedy))
    return TakeStore(folder)


def _shot_name(store: TakeStore, text: str) -> str:
    """A shot by number in the film, or by the name of a shot that the film, a take or a lock knows."""
    in_film = [*takes_in_use(store.folder)]
    takes: tuple[Take, ...] = store.list()
    if text in {*in_film, *(take.shot for take in takes), *store.locked()}:
        return text
    return in_film[chosen_shots(text, in_film, "SHOT")[0] - 1]
