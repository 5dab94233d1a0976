"""The cuts of a video file, and of frames in memory measured as those of a file are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MPVGError, Problem
from ..film.reading import probe, read_frames
from .cuts import CutFinder, CutSettings, Scenes

Backend = Literal["own", "pyscenedetect"]
Watch = Callable[[int], None]  # told after every frame how many have been read; what it raises ends the reading

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
    watch: Watch | None = None,
) -> Scenes:
    """Find the cuts of a video file, in one pass and in memory that does not grow with its pictures.

    full_size: measure at the file's own size, not at 256 pixels. At 256 pixels, only the four nearest pixels of the
        file's picture count for each one, as in PySceneDetect (and decoding is then most of the work).
    backend: "pyscenedetect" lets that library read and judge the file, with its own rule for cuts that follow one
        another fast ("merge" unless the settings ask for "suppress").
    threads: of the decoder; None leaves the choice to ffmpeg.
    watch: told how far it is; backend "own" only.

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
        for number, (time, frame) in enumerate(frames, start=1):
            finder.add(frame, time)
            if watch is not None:
                watch(number)
    scenes = finder.scenes()
    if not len(scenes.times):
        raise MPVGError(f"{path}: holds no frame")
    return scenes


def scan_frames(
    frames: Iterable[NDArray[np.uint8]], settings: CutSettings, *, fps: float, watch: Watch | None = None
) -> Scenes:
    """Find the cuts of frames [H, W, 3] at `fps` a second, measured at the size at which a file's would be.

    Raises InputError for frames of changing size or type.
    """
    finder = CutFinder(settings)
    for number, frame in enumerate(frames):
        finder.add(sparsely(frame, working_size(frame.shape[1], frame.shape[0])), number / fps)
        if watch is not None:
            watch(number + 1)
    return finder.scenes()


def sparsely(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame [H, W, 3] at (width, height), bilinear between the two nearest pixels each way, so that noise stays as
    strong as it was; at its own size it is given back as it is."""
    width, height = size
    if frame.shape[:2] == (height, width):
        return frame
    top, bottom, down = _neighbours(frame.shape[0], height)
    left, right, across = _neighbours(frame.shape[1], width)
    upper, lower = (
        frame[rows][:, left] * (1 - across)[:, None] + frame[rows][:, right] * across[:, None] for rows in (top, bottom)
    )
    mixed = upper * (1 - down)[:, None, None] + lower * down[:, None, None]
    return (mixed + 0.5).astype(np.uint8)


def _neighbours(length: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `wanted` places along `length` pixels, the pixels before and after it, and how near the second is."""
    at = np.clip((np.arange(wanted) + 0.5) * length / wanted - 0.5, 0, length - 1)
    before = np.floor(at).astype(np.intp)
    return before, np.minimum(before + 1, length - 1), (at - before).astype(np.float32)
