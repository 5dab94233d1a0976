"""`mpvg assemble`: film, contact sheet and record once more, from stored takes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .outcome import with_exit_codes
from .takes import Folder

Audio = Annotated[Path | None, typer.Option(metavar="FILE", help="A sound file to lay under the film.")]


@with_exit_codes
def assemble(context: typer.Context, folder: Folder, audio: Audio = None) -> None:
    """Put a film together again from its takes: no model is loaded, nothing is filmed."""
    from ..film.assemble import finish_film
    from ..film.record import read_film
    from ..film.takes import TakeStore

    with TakeStore(folder) as store:
        files = finish_film(read_film(store), store, audio)
    typer.echo(f"{files.film}\n{files.contact}\n{files.record}")
