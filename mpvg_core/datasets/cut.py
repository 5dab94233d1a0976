"""One video cut into clips, in two passes: find its scenes, then write the clips that are not there yet."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import MPVGError
from ..evaluate.cuts import CutFinder, CutSettings, Scenes
from ..evaluate.scan import working_size
from ..film.durable import written_whole
from ..film.pictures import covering
from ..film.reading import Scaling, VideoInfo, probe, read_frames
from ..film.video import VideoWriter
from .choose import Chosen, choose_scene, choose_transition, parts_between, sides_of_first_cut
from .files import CUT, VERSION, read_object
from .settings import ClipSettings

Stop = Callable[[], None]  # called often; raises when the build is to end

_LEAST_BETWEEN = 0.5  # seconds between two cuts
_AFTERWARDS = 3.0  # seconds looked at behind a transition, so that no cut in its clip is missed
_LOOKS = 256  # frames between two looks whether enough has been seen
_STRIP, _GAP, _PAPER = 120, 4, "#15171b"  # a clip's strip: height of its pictures and space between them, pixels

_ECHOES = ("Task finished", "Terminating thread", "Error opening input file")


class DamagedVideo(MPVGError):
    """A video that cannot be read to its end, or holds none."""


@dataclass(frozen=True)
class PlannedClip:
    """A clip by name, with the frames that it takes from the video."""

    name: str
    chosen: Chosen


@dataclass(frozen=True)
class CutVideo:
    """What pass one found: the video's header, and the length that was looked at in seconds.

    scenes: (start, stop) in seconds; in layout 'transitions' the two at the first cut, or the one there is. clips: what
    they give. too_short, too_long: how many scenes gave none for their length.
    """

    info: VideoInfo
    seconds: float
    scenes: tuple[tuple[float, float], ...]
    clips: tuple[PlannedClip, ...]
    too_short: int
    too_long: int


def cut_video(source: Path, home: Path, sha256: str, settings: ClipSettings, threads: int, stop: Stop) -> CutVideo:
    """The clips of a video, written into the folder `home`; what is there already is left as it is.

    Raises DamagedVideo for a file that cannot be read to its end, MPVGError where a clip cannot be written.
    """
    record = home / CUT
    if record.is_file():
        found = read_record(record)
    else:
        found = _find(source, settings, threads, stop)
        home.mkdir(parents=True, exist_ok=True)
        _write_record(record, found, sha256, settings)
    for left in home.glob(".*.part"):  # of a build that was killed
        left.unlink()
    missing = [clip for clip in found.clips if not (home / f"{clip.name}.mp4").is_file()]
    if missing:
        _write_clips(source, home, missing, found.info, settings, threads, stop)
    return found


def read_record(file: Path) -> CutVideo:
    """What pass one found, from cut.json. Raises InputError."""
    data = read_object(file, f"remove {file.parent} and build again")
    clips = tuple(
        PlannedClip(clip["name"], Chosen(tuple(clip["frames"]), clip["start"], clip["stop"], clip["cut"]))
        for clip in data["clips"]
    )
    return CutVideo(
        VideoInfo(**data["video"]),
        data["seconds"],
        tuple((start, stop) for start, stop in data["scenes"]),
        clips,
        data["too_short"],
        data["too_long"],
    )


def _write_record(file: Path, found: CutVideo, sha256: str, settings: ClipSettings) -> None:
    data = {
        "version": VERSION,
        "sha256": sha256,
        "settings": asdict(settings),
        "video": asdict(found.info),
        "seconds": found.seconds,
        "scenes": found.scenes,
        "too_short": found.too_short,
        "too_long": found.too_long,
        "clips": [{"name": clip.name, **asdict(clip.chosen)} for clip in found.clips],
    }
    with written_whole(file) as temporary:
        temporary.write_text(json.dumps(data, allow_nan=False), "utf-8")


def _find(source: Path, settings: ClipSettings, threads: int, stop: Stop) -> CutVideo:
    info, scenes = _scenes(source, settings, threads, stop)
    if settings.layout == "transitions":
        parts = sides_of_first_cut(scenes)
        choices = [("clip", choose_transition(scenes.times, *parts, settings))] if len(parts) == 2 else []
    else:
        parts = parts_between(scenes)
        choices = [
            (f"scene-{number:03d}", choose_scene(scenes.times, part, settings)) for number, part in enumerate(parts, 1)
        ]
    clips = tuple(PlannedClip(name, chosen) for name, chosen in choices if isinstance(chosen, Chosen))
    left_out = [chosen for _, chosen in choices if isinstance(chosen, str)]
    spans = tuple((round(part.start_time, 6), round(part.end_time, 6)) for part in parts)
    length = scenes.segments[-1].end_time
    return CutVideo(info, length, spans, clips, left_out.count("too short"), left_out.count("too long"))


def _scenes(source: Path, settings: ClipSettings, threads: int, stop: Stop) -> tuple[VideoInfo, Scenes]:
    """The video's header and scenes; of a transition's video no more is looked at than its clip can need."""
    info = _header(source)
    rate = info.fps or settings.fps
    finder = CutFinder(CutSettings(threshold=settings.threshold, min_frames=max(1, round(_LEAST_BETWEEN * rate))))
    size = working_size(info.width, info.height)
    smaller = None if size == (info.width, info.height) else size
    wanted = settings.frames / 2 / settings.fps + _AFTERWARDS
    count = 0
    for time, frame in _frames(source, smaller, "sparse", threads, stop):
        finder.add(frame, time)
        count += 1
        if settings.layout == "transitions" and count % _LOOKS == 0:
            cuts = [cut.time for cut in finder.certain if cut.kind == "cut"]
            if cuts and time > cuts[0] + wanted:
                break
    if not count:
        raise DamagedVideo("holds no frame that can be read")
    scenes = finder.scenes()
    times = np.maximum.accumulate(scenes.times)  # a frame that claims to come before the one before it comes with it
    return info, replace(scenes, times=times)


def _header(source: Path) -> VideoInfo:
    try:
        return probe(source)
    except MPVGError as error:
        raise DamagedVideo(_plainly(error, source)) from error


def _frames(
    source: Path, size: tuple[int, int] | None, scaling: Scaling, threads: int, stop: Stop
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """A video's frames; what goes wrong in reading them is the video's fault, and told as such."""
    stream = read_frames(source, size=size, scaling=scaling, threads=threads)
    time = 0.0
    while True:
        stop()
        try:
            item = next(stream, None)
        except MPVGError as error:
            raise DamagedVideo(f"{_plainly(error, source)} (after {time:.2f} s)") from error
        if item is None:
            return
        time = item[0]
        yield item


def _plainly(error: MPVGError, source: Path) -> str:
    """What is wrong, without the file's name, addresses in memory and what a decoder says of its own end."""
    text = re.sub(r"\[[^\]]* @ 0x[0-9a-f]+\] *", "", str(error))
    for name in (f"{source}: ", f"{source.name}: "):
        text = text.removeprefix(name)
    parts = [part for part in text.split(" / ") if not part.startswith(_ECHOES)]
    return " / ".join(dict.fromkeys(parts)) or text


def _write_clips(
    source: Path,
    home: Path,
    clips: list[PlannedClip],
    info: VideoInfo,
    settings: ClipSettings,
    threads: int,
    stop: Stop,
) -> None:
    width, height = settings.size
    scale = max(width / info.width, height / info.height)
    covers = (max(width, round(info.width * scale)), max(height, round(info.height * scale)))
    stream = enumerate(_frames(source, covers, "smooth", threads, stop))
    at, frame = -1, np.zeros((height, width, 3), np.uint8)
    for clip in clips:
        wanted = clip.chosen.frames
        shown = _shown(clip.chosen)
        strip: list[NDArray[np.uint8]] = []
        with VideoWriter(home / f"{clip.name}.mp4", width=width, height=height, fps=settings.fps) as writer:
            for place, index in enumerate(wanted):
                while at < index:
                    try:
                        at, (_, whole) = next(stream)
                    except StopIteration:
                        raise DamagedVideo(f"ended at frame {at} when it was read again") from None
                    frame = whole
                picture = covering(frame, width, height)
                writer.write(picture)
                if place in shown:
                    strip.append(picture)
            # Before the clip appears: a clip that is there has its strip.
            _write_strip(home / f"{clip.name}.jpg", strip)


def _shown(chosen: Chosen) -> set[int]:
    """The frames of a clip's strip: first, middle and last, or first, both sides of the cut, and last."""
    last = len(chosen.frames) - 1
    return {0, last // 2, last} if chosen.cut is None else {0, chosen.cut - 1, chosen.cut, last}


def _write_strip(file: Path, pictures: list[NDArray[np.uint8]]) -> None:
    high, wide, _ = pictures[0].shape
    cell = (max(1, round(wide * _STRIP / high)), _STRIP)
    strip = Image.new("RGB", ((cell[0] + _GAP) * len(pictures) - _GAP, cell[1]), _PAPER)
    for place, picture in enumerate(pictures):
        strip.paste(Image.fromarray(picture).resize(cell, Image.Resampling.LANCZOS), (place * (cell[0] + _GAP), 0))
    with written_whole(file) as temporary:
        strip.save(temporary, format="JPEG", quality=85)
