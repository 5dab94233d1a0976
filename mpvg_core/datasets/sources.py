"""The videos among files and folders, and the captions that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, Problem

ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "m2ts", "mts"),
        *("wmv", "flv", "ogv", "3gp", "gif", "vob", "mxf", "y4m"),
    )
)
SIDECARS = (".txt", ".srt")


@dataclass(frozen=True)
class Source:
    """A video to be cut; `name` is how reports call it, `captions` the text files beside it."""

    path: Path
    name: str
    captions: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was named: videos, and files that are none with the reason."""

    videos: tuple[Source, ...]
    others: tuple[tuple[str, str], ...]


def find_sources(paths: Sequence[Path], out: Path) -> Found:
    """The videos of `paths`: files, and folders with all that is in them; `out`, hidden files and doubles left out.

    Captions of `a.mov` are in `a.txt` or `a.srt`, or, where `a.mp4` lies there too, in `a.mov.txt` or `a.mov.srt`.
    Raises InputError for a path that is not there, and when there is no video at all.
    """
    missing = [
        Problem(str(path), "is not there", "a video, or a folder of videos") for path in paths if not path.exists()
    ]
    if missing:
        raise InputError(missing)
    files: dict[Path, str] = {}
    for path in paths:
        for file in _walk(path, out.resolve()) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), printable(file))
    videos = {file: name for file, name in files.items() if file.suffix.lower() in ENDINGS}
    beside: dict[Path, list[Path]] = {}
    others = []
    for file, name in files.items():
        if file in videos:
            continue
        owners = _owners(file, videos) if file.suffix.lower() in SIDECARS else []
        for owner in owners:
            beside.setdefault(owner, []).append(file)
        if not owners:
            lonely = "has no video of its name beside it" if file.suffix.lower() in SIDECARS else "is no video"
            others.append((name, lonely))
    for video in videos:  # captions of a video that was named by itself
        for file in _captions_beside(video):
            if file not in beside.get(video, ()):
                beside.setdefault(video, []).append(file)
    if not videos:
        named = ", ".join(printable(path) for path in paths[:3])
        raise InputError(Problem(named, "holds no video", f"files ending in {', '.join(sorted(ENDINGS))}"))
    return Found(
        tuple(Source(file, name, tuple(sorted(beside.get(file, ())))) for file, name in videos.items()), tuple(others)
    )


def printable(path: Path) -> str:
    """A path as text that every file can hold; bytes that are no UTF-8 show as a mark."""
    return os.fsencode(path).decode("utf-8", "replace")


def _walk(folder: Path, out: Path) -> list[Path]:
    """All files below a folder, by name; links to folders are followed, each folder is entered once.

    Raises InputError for a folder that cannot be read.
    """
    found: list[Path] = []
    entered = {out, folder.resolve()}
    for place, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        kept = []
        for name in sorted(folders):
            inner = (Path(place) / name).resolve()
            if not name.startswith(".") and inner not in entered:
                entered.add(inner)
                kept.append(name)
        folders[:] = kept
        found += [Path(place) / file for file in sorted(files) if not file.startswith(".")]
    return found


def _unreadable(error: OSError) -> None:
    raise InputError(Problem(str(error.filename), f"cannot be read ({error.strerror or error})", "a folder")) from error


def _owners(sidecar: Path, videos: dict[Path, str]) -> list[Path]:
    """The videos whose captions a file may hold: a.mov for a.mov.txt, else the one video called a for a.txt."""
    whole = sidecar.with_suffix("")
    if whole in videos:
        return [whole]
    return [video for video in videos if video.parent == sidecar.parent and video.stem == sidecar.stem]


def _captions_beside(video: Path) -> list[Path]:
    exact = [Path(f"{video}{ending}") for ending in SIDECARS]
    found = [file for file in exact if file.is_file()]
    return found or [file for ending in SIDECARS if (file := video.with_suffix(ending)).is_file()]
