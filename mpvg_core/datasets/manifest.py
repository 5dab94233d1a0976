"""The manifest of a data set: what became of every file that was named, and how much there is of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

from .files import MANIFEST, VERSION
from .settings import ClipSettings

Status = Literal["built", "too short", "no cut", "without captions", "duplicate", "damaged", "no video"]


@dataclass(frozen=True)
class VideoReport:
    """What became of one file.

    scenes: how many were found (in layout 'transitions' the two at the first cut). clips: how many were cut.
    without_caption: clips that are not part of the data set for want of words. repeated: frames that stand twice in a
    clip because the video has fewer a second. seconds: of clips in the data set. enlarged: whether the video is
    smaller than its clips.
    """

    source: str
    status: Status
    problems: tuple[str, ...] = ()
    same_as: str = ""
    sha256: str = ""
    folder: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    enlarged: bool = False
    length: float = 0.0
    scenes: int = 0
    clips: int = 0
    too_short: int = 0
    too_long: int = 0
    without_caption: int = 0
    repeated: int = 0
    seconds: float = 0.0
    stories: tuple[str, ...] = ()
    transition: bool = False


@dataclass(frozen=True)
class Manifest:
    """A built data set: its settings, who captioned what lay without text, and a report of every file."""

    settings: ClipSettings
    captioner: str
    videos: tuple[VideoReport, ...]

    def counts(self) -> dict[str, int | float]:
        """How much there is of what, in words for people and programs."""
        videos = self.videos

        def having(status: Status) -> int:
            return sum(video.status == status for video in videos)

        return {
            "videos": len(videos) - having("no video"),
            "built": having("built"),
            "scenes": sum(video.scenes for video in videos),
            "clips": sum(video.clips for video in videos),
            "stories": sum(len(video.stories) for video in videos),
            "transitions": sum(video.transition for video in videos),
            "seconds": round(sum(video.seconds for video in videos), 3),
            "too short": sum(video.too_short for video in videos),
            "too long": sum(video.too_long for video in videos),
            "without caption": sum(video.without_caption for video in videos),
            "without cut": having("no cut"),
            "duplicates": having("duplicate"),
            "enlarged": sum(video.enlarged for video in videos),
            "repeated frames": sum(video.repeated for video in videos),
            "damaged": having("damaged"),
            "no video": having("no video"),
        }

    def faulty(self) -> tuple[VideoReport, ...]:
        """The files that did not give what was to be had of them."""
        return tuple(v for v in self.videos if v.status in ("damaged", "no video") or v.without_caption or v.problems)

    def faults(self, most: int) -> list[str]:
        """A line for each of them, up to `most`, and one that says how many more there are."""
        faulty, lines = self.faulty(), []
        for video in faulty[:most]:
            lacking = f"{video.without_caption} of {video.clips} clips without caption" if video.without_caption else ""
            said = "; ".join([*([lacking] if lacking else []), *video.problems]) or video.status
            lines.append(f"{video.source}: {said}")
        left = len(faulty) - most
        return [*lines, *([f"and {left} more files, see {MANIFEST}"] if left > 0 else [])]

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "layout": self.settings.layout,
            "settings": asdict(self.settings),
            "captioner": self.captioner,
            "counts": self.counts(),
            "videos": [_without_defaults(video) for video in self.videos],
        }


def _without_defaults(video: VideoReport) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for field in fields(VideoReport):
        value = getattr(video, field.name)
        if field.default is MISSING or value != field.default:
            given[field.name] = value
    return given


def summary(counts: dict[str, int | float], layout: str) -> Sequence[str]:
    """The counts as a few lines for the screen; what is nought is left out but for the first."""
    made = "stories" if layout == "scenes" else "transitions"
    first = (
        f"{counts['built']} of {counts['videos']} videos gave {counts[made]} {made}: "
        f"{counts['clips'] - counts['without caption']} clips, {counts['seconds']:.1f} s"
    )
    rest = ("too short", "too long", "without cut", "without caption", "duplicates", "enlarged", "repeated frames")
    left = [f"{counts[name]} {name}" for name in rest if counts[name]]
    bad = [f"{counts[name]} {name}" for name in ("damaged", "no video") if counts[name]]
    return [first, *([", ".join(left)] if left else []), *([f"files: {', '.join(bad)}"] if bad else [])]
