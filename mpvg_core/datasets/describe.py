"""What the clips show, in words: from the text beside the video, or from a model that looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MPVGError
from ..film.durable import readable_json, written_whole
from .cut import CutVideo, PlannedClip, Stop
from .files import CAPTIONS, VERSION, read_object
from .prompts import tidy_caption
from .read import Clip
from .settings import ClipSettings
from .sidecar import read_captions

PICTURES = 3  # of a scene that a model is shown
EARLIER = 10  # captions of earlier scenes that a model is told


class Captioner(Protocol):
    """A model that says what pictures show."""

    @property
    def name(self) -> str:
        """Who speaks: other names, other captions. Holds no address and no key."""

    @property
    def at_once(self) -> int:
        """How many videos may be described at the same time."""

    def describe(self, pictures: Sequence[NDArray[np.uint8]], earlier: Sequence[str]) -> str:
        """One sentence for pictures [H, W, 3] of one scene in order; `earlier` says what the scenes before it show.

        Raises CaptionRefused when there is none for these pictures, MPVGError when there can be none at all.
        """

    def stop(self) -> None:
        """The build ends: whoever waits in `describe` need not wait any longer, and raises Stopped."""


class CaptionRefused(MPVGError):
    """The model says nothing about this clip, and may about others."""


@dataclass(frozen=True)
class Captions:
    """By part - a scene's clip, or 'before' and 'after' a cut - what it shows; parts without a caption are left out.
    faults: why a caption that was to be had is not there."""

    words: dict[str, str]
    faults: tuple[str, ...]


def caption_video(
    home: Path,
    found: CutVideo,
    sidecars: Sequence[Path],
    captioner: Captioner | None,
    settings: ClipSettings,
    stop: Stop,
) -> Captions:
    """The captions of a video's clips. Text beside the video comes first, for the rest the captioner is asked.

    What a captioner said is kept in captions.json at once, and never asked for again as long as the captioner is the
    same. Raises what `stop` raises, which is called before every question.
    """
    faults: list[str] = []
    given: dict[str, str] = {}
    if sidecars and found.clips:
        try:
            given = _by_part(read_captions(sidecars, found.scenes, settings.layout), settings)
        except InputError as error:
            faults.extend(str(problem) for problem in error.problems)
    book = _Book(home / CAPTIONS)
    words: dict[str, str] = {}
    for clip in found.clips:
        for part in _parts(clip):
            if given.get(part):
                words[part] = given[part]
            elif captioner is not None:
                text = book.said(part, captioner.name)
                if text is None:
                    stop()
                    pictures = _pictures(home, clip, part, settings)
                    try:
                        text = tidy_caption(captioner.describe(pictures, [*words.values()][-EARLIER:]))
                    except CaptionRefused as error:
                        faults.append(f"{part}: {error}")
                        continue
                    if not text:
                        faults.append(f"{part}: {captioner.name} said nothing")
                        continue
                    book.write(part, captioner.name, text)
                words[part] = text
    return Captions(words, tuple(faults))


def _by_part(captions: Sequence[str], settings: ClipSettings) -> dict[str, str]:
    if settings.layout == "transitions":
        return dict(zip(("before", "after"), captions, strict=False))
    return {f"scene-{number:03d}": caption for number, caption in enumerate(captions, start=1)}


def _parts(clip: PlannedClip) -> tuple[str, ...]:
    return (clip.name,) if clip.chosen.cut is None else ("before", "after")


def _pictures(home: Path, clip: PlannedClip, part: str, settings: ClipSettings) -> list[NDArray[np.uint8]]:
    """Pictures from inside a part, evenly spread; the middle one is in the middle of them."""
    count = len(clip.chosen.frames)
    first, end = {"before": (0, clip.chosen.cut), "after": (clip.chosen.cut, count)}.get(part, (0, count))
    assert first is not None and end is not None
    wanted = {first + (2 * index + 1) * (end - first) // (2 * PICTURES) for index in range(PICTURES)}
    pictures = Clip(home / f"{clip.name}.mp4", count, settings.fps, settings.size).pictures()
    return [picture for index, picture in enumerate(pictures) if index in wanted]


class _Book:
    """captions.json: what was said of each part, and by whom."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries: dict[str, dict[str, str]] = {}
        if file.is_file():
            self._entries = read_object(file, f"remove {file} and build again").get("captions", {})

    def said(self, part: str, by: str) -> str | None:
        entry = self._entries.get(part, {})
        return entry.get("text") if entry.get("by") == by else None

    def write(self, part: str, by: str, text: str) -> None:
        self._entries[part] = {"text": text, "by": by}
        with written_whole(self._file) as temporary:
            temporary.write_bytes(readable_json({"version": VERSION, "captions": self._entries}))
