"""The cuts of a video file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Literal, get_args

from ..errors import InputError, MPVGError, Problem
from ..film.reading import probe, read_frames
from .cuts import CutFinder, CutSettings, Scenes

Backend = Literal["own", "pyscenedetect"]

WORKING_SIZE = 256  # pixels of the longer side


def working_size(width: int, height: int) -> tuple[int, int]:
    """The size at which a film's changes are measured: its longer side brought down to 256 pixels, as PySceneDetect
    does; smaller films keep their own."""
    scale = max(max(width, height) / WORKING_SIZE, 1.0)
    return max(1, round(width / scale)), max(1, round(height / scale))


def scan_film(
    path: Path,
    settings: CutSettings | None = None,
    *,
    full_size: bool = False,
    backend: Backend = "own",
    threads: int | None = None,
) -> Scenes:
    """Find the cuts of a video file, in one pass and in memory that does not grow with its pictures.

    full_size: measure at the file's own size, not at 256 pixels. At 256 pixels, only the four nearest pixels of the
        file's picture count for each one, as in PySceneDetect (and decoding is then most of the work).
    backend: "pyscenedetect" lets that library read and judge the file, with its own rule for cuts that follow one
        another fast ("merge" unless the settings ask for "suppress").
    threads: of the decoder; None leaves the choice to ffmpeg.

    Raises InputError or MPVGError, with the file's name, for a file that is missing, empty, damaged or no video.
    """
    settings = settings or CutSettings()
    if backend not in get_args(Backend):
        raise InputError(Problem("backend", f"is {backend!r}", f"one of {', '.join(get_args(Backend))}"))
    if backend == "pyscenedetect":
        from .pyscenedetect import scan_with_pyscenedetect

        return scan_with_pyscenedetect(path, settings, full_size=full_size)
    info = probe(path)
    size = working_size(info.width, info.height)
    smaller = None if full_size or size == (info.width, info.height) else size
    finder = CutFinder(settings)
    with closing(read_frames(path, size=smaller, scaling="sparse", threads=threads)) as frames:
        for time, frame in frames:
            finder.add(frame, time)
    scenes = finder.scenes()
    if not len(scenes.times):
        raise MPVGError(f"{path}: holds no frame")
    return scenes
