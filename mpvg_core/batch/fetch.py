"""Finished films brought home: all files of a film, written whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..film.durable import move_into_place
from .failures import FilmFailed
from .messages import MadeFile
from .server import Server


async def fetch_films(server: Server, files: tuple[MadeFile, ...], folder: Path, scratch: Path) -> tuple[Path, ...]:
    """Download `files` into `scratch`, on the same filesystem as `folder`, and move them to `folder` once all are here.

    Raises what `Server.download` does, FilmFailed for a file without a usable name, and OSError.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as here:
        names = _own_names(files)
        for file, name in zip(files, names, strict=True):
            await server.download(file, Path(here) / name)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            move_into_place(Path(here) / name, folder / name)
    return tuple(folder / name for name in names)


def _own_names(files: tuple[MadeFile, ...]) -> list[str]:
    """A name in one folder for each: two films of one name are numbered, and no name leads out of the folder."""
    names: list[str] = []
    for file in files:
        plain = PureWindowsPath(PurePosixPath(file.name).name)
        if not plain.name or plain.name.startswith("."):
            raise FilmFailed(f"the server names a file {file.name!r}, which is no file name")
        name, number = plain.name, 1
        while name.casefold() in (taken.casefold() for taken in names):
            number += 1
            name = f"{plain.stem}-{number}{plain.suffix}"
        names.append(name)
    return names
