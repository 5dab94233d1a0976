"""Videos with known cuts, of the toy world, and data sets laid out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mpvg_core.film.video import VideoWriter
from mpvg_core.pocket.world import COLOURS, PLACES, SHAPES, Look, Role, Scene, draw_scene

PLACE_NAMES = tuple(PLACES)


def scene(place: str, frames: int) -> np.ndarray:
    """uint8 [frames, 64, 64, 3]: an actor dances in a place."""
    index = PLACE_NAMES.index(place)
    look = Look(tuple(COLOURS)[index % 6], SHAPES[index % 4])
    return draw_scene(Scene((Role(0, look, "dancing"),), place), frames)


_MADE: dict[tuple, bytes] = {}  # the same video is encoded once for all tests


def write_video(path: Path, places: str, lengths: list[int], *, fps: int = 8, size: tuple[int, int] = (64, 64)) -> Path:
    """A video that shows the places (words) for so many frames each, hard cuts between them; returns its path."""
    width, height = size
    path.parent.mkdir(parents=True, exist_ok=True)
    asked = (places, *lengths, fps, size)
    if asked in _MADE:
        path.write_bytes(_MADE[asked])
        return path
    with VideoWriter(path, width=width, height=height, fps=fps) as writer:
        for place, length in zip(places.split(), lengths, strict=True):
            frames = scene(place, length)
            rows, columns = (np.arange(side) * 64 // side for side in (height, width))
            writer.write(frames[:, rows][:, :, columns])
    _MADE[asked] = path.read_bytes()
    return path


def lay_out(folder: Path, layout: str, videos: list[dict]) -> Path:
    """A manifest of these videos."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"version": 1, "layout": layout, "videos": videos}
    (folder / "dataset.json").write_text(json.dumps(data), "utf-8")
    return folder
