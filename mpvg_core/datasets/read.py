"""Reads a built data set, story by story or transition by transition; pixels are decoded only when they are asked for.

for story in iter_stories("dataset"):
    for shot in story.shots:
        train(shot.prompt, shot.clip.read())
for transition in iter_transitions("dataset"):
    train(transition.explicit, transition.clip.read(), cut=transition.cut_frame)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MPVGError, Problem
from ..film.reading import read_pictures
from ..film.video import as_given, written_size
from ..storyboard.read import read_storyboard
from ..storyboard.slug import slug_of
from .files import FOLDERS, MANIFEST, TRANSITION, read_object

_BUILD = "run `mpvg dataset build` again"


@dataclass(frozen=True)
class Clip:
    """A training clip on disk: `frames` pictures of `size` (width, height), `fps` a second."""

    path: Path
    frames: int
    fps: int
    size: tuple[int, int]

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """The frames one by one, uint8 [H, W, 3], RGB. Raises MPVGError for a file that is not as it was written."""
        width, height = self.size
        wide, high = written_size(width, height)
        count = 0
        for frame in read_pictures(self.path):
            if frame.shape != (high, wide, 3):
                raise MPVGError(f"{self.path}: a frame of {frame.shape[1]}x{frame.shape[0]}; expected {wide}x{high}")
            count += 1
            yield as_given(frame, width, height)
        if count != self.frames:
            raise MPVGError(f"{self.path}: {count} frames; expected {self.frames}; {_BUILD}")

    def read(self) -> NDArray[np.uint8]:
        """All frames, uint8 [frames, H, W, 3], RGB. Raises MPVGError like `pictures`."""
        return np.stack([*self.pictures()])


@dataclass(frozen=True)
class StoryShot:
    """A scene of a story: what it shows in words, and its clip."""

    name: str
    prompt: str
    clip: Clip


@dataclass(frozen=True)
class Story:
    """The scenes of one video in order; `source` is the video as the build was given it."""

    title: str
    source: str
    shots: tuple[StoryShot, ...]


@dataclass(frozen=True)
class Transition:
    """A clip with one cut: frames 0 … cut_frame - 1 show what `before` says, frames cut_frame … what `after` says.

    explicit: both captions as "Previous scene: …; then next scene: …"; implicit: "…; …".
    """

    clip: Clip
    cut_frame: int
    before: str
    after: str
    explicit: str
    implicit: str
    source: str


def iter_stories(folder: str | Path) -> Iterator[Story]:
    """The stories of a data set in layout 'scenes', in the manifest's order.

    Raises InputError for a folder that holds no such data set, and for one with a file missing: a story with a gap
    would teach a wrong history.
    """
    for video in _videos(Path(folder), "scenes"):
        home = Path(folder) / video["folder"]
        for name in video.get("stories", ()):
            file = home / name
            board = read_storyboard(file)
            if board.fps is None or board.size is None or any(shot.frames is None for shot in board.shots):
                raise InputError(Problem(str(file), "lacks fps, size or a shot's frames", remedy=_BUILD))
            shots = tuple(
                StoryShot(
                    shot.name,
                    shot.prompt,
                    _clip(home / f"{slug_of(shot.name)}.mp4", shot.frames or 0, board.fps, board.size),
                )
                for shot in board.shots
            )
            yield Story(board.title, video["source"], shots)


def iter_transitions(folder: str | Path) -> Iterator[Transition]:
    """The transitions of a data set in layout 'transitions', in the manifest's order. Raises InputError."""
    for video in _videos(Path(folder), "transitions"):
        if not video.get("transition"):
            continue
        file = Path(folder) / video["folder"] / TRANSITION
        data = read_object(file, _BUILD)
        try:
            width, height = data["size"]
            clip = _clip(file.with_name(data["clip"]), data["frames"], data["fps"], (width, height))
            cut = data["cut_frame"]
            words = (data["before"], data["after"], data["explicit"], data["implicit"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(Problem(str(file), f"does not fit ({error!r})", remedy=_BUILD)) from error
        if not isinstance(cut, int) or not 0 < cut < clip.frames or not all(isinstance(word, str) for word in words):
            what = f"the cut is at frame {cut!r} of {clip.frames}, or a caption is no text"
            raise InputError(Problem(str(file), what, "a cut inside the clip, captions as text", _BUILD))
        yield Transition(clip, cut, *words, source=video["source"])


def _videos(folder: Path, layout: str) -> list[dict[str, Any]]:
    """The manifest's videos that gave clips with captions."""
    file = folder / MANIFEST
    data = read_object(file, "name the folder of a finished `mpvg dataset build`")
    if data.get("layout") != layout:
        remedy = f"build one with --layout {layout}"
        raise InputError(Problem(str(file), f"holds {data.get('layout')!r}", f"the layout {layout!r}", remedy))
    videos = [video for video in data.get("videos", ()) if video.get("folder")]
    for video in videos:
        if Path(video["folder"]).parts[:1] != (FOLDERS[layout],) or ".." in Path(video["folder"]).parts:
            what = f"names the folder {video['folder']!r}"
            raise InputError(Problem(str(file), what, f"one inside {FOLDERS[layout]}", _BUILD))
    return videos


def _clip(path: Path, frames: int, fps: int, size: tuple[int, int]) -> Clip:
    if not path.is_file():
        raise InputError(Problem(str(path), "the clip is not there", remedy=_BUILD))
    return Clip(path, frames, fps, size)
