"""Builds a data set: every video cut in a process of its own, described, and written down; goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import InputError, Problem
from ..film.durable import readable_json, sha256_file, written_whole
from ..film.scratch import unwritable
from ..storyboard.dump import dump_storyboard
from ..storyboard.model import Shot, Storyboard
from ..storyboard.slug import slug_of
from .cut import CutVideo, DamagedVideo, cut_video
from .describe import Captioner, Captions, caption_video
from .files import FOLDERS, MANIFEST, PAGE, STORY, TRANSITION, VERSION, read_object
from .manifest import Manifest, VideoReport
from .page import write_page
from .pool import Stopped, Workers, stop_if_told
from .prompts import tidy_caption, transition_prompts
from .settings import ClipSettings
from .sources import Found, Source

STORY_SHOTS = 100  # shots of a story file; a longer video gives several

Say = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """Progress: `kind` is 'read', 'cut' or 'described'; `done` of `total` videos; `name` is the one just done."""

    kind: str
    name: str
    done: int
    total: int
    text: str = ""


def build_dataset(
    found: Found,
    out: Path,
    settings: ClipSettings,
    captioner: Captioner | None = None,
    *,
    jobs: int = 1,
    say: Say = lambda step: None,
    interrupt: Callable[[], None] | None = None,
) -> Manifest:
    """Cut the videos, describe their clips and write manifest and page into `out`.

    What is there of an earlier build is taken as it is: clips by the bytes of their video and the settings, captions
    of a model by clip and model. The data set is what this manifest lists.

    jobs: how many videos are cut at once, each in a process of its own; with `interrupt` in a thread. interrupt: called
    a few times a second while videos are read and cut; what it raises ends the build.
    Raises InputError when `out` cannot be written or holds another layout, MPVGError when the disk or the captioner
    fails; what is done by then is kept.
    """
    with _alone(out):
        _require_layout(out, settings)
        with Workers(min(jobs, max(1, len(found.videos))), interrupt) as workers:
            hashes = _hashes(found.videos, workers, say)
            reports, calls, owners = _plan(found.videos, hashes, out, settings, workers.jobs)
            with _Describing(captioner, settings, len(calls), say) as describing:
                for done, (number, outcome) in enumerate(workers.map(_cut, calls), start=1):
                    index = owners[number]
                    source, home = found.videos[index], Path(calls[number][1])
                    say(Step("cut", source.name, done, len(calls), outcome if isinstance(outcome, str) else ""))
                    if isinstance(outcome, str):
                        reports[index] = VideoReport(source.name, "damaged", (outcome,), sha256=hashes[index][0])
                    else:
                        describing.add(index, source, home, hashes[index][0], outcome)
                reports.update(describing.reports())
        others = [VideoReport(name, "no video", (why,)) for name, why in found.others]
        videos = (*(reports[index] for index in range(len(found.videos))), *others)
        manifest = Manifest(settings, captioner.name if captioner else "", videos)
        _write(out / MANIFEST, readable_json(manifest.as_json()))
        write_page(manifest, out, out / PAGE)
        return manifest


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """The folder, made if need be, for this build alone."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            Problem(str(out), "another build is writing here", remedy="wait, or choose another --out")
        ) from None
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        yield
    finally:
        lock.release()


def _require_layout(out: Path, settings: ClipSettings) -> None:
    if (out / MANIFEST).is_file():
        layout = read_object(out / MANIFEST, "choose another --out").get("layout")
        if layout != settings.layout:
            what = f"holds a data set of layout {layout!r}"
            raise InputError(Problem(str(out), what, repr(settings.layout), "choose another --out"))


def _hashes(videos: Sequence[Source], workers: Workers, say: Say) -> dict[int, tuple[str, str]]:
    """(hash, '') of each video by its number, or ('', why it cannot be read)."""
    hashes = {}
    for done, (number, result) in enumerate(workers.map(_hash, [(video.path,) for video in videos]), start=1):
        hashes[number] = result
        say(Step("read", videos[number].name, done, len(videos)))
    return hashes


def _hash(path: Path) -> tuple[str, str]:
    stop_if_told()
    try:
        if path.stat().st_size == 0:
            return "", "is empty (0 bytes)"
        return sha256_file(path), ""
    except OSError as error:
        return "", f"cannot be read ({error.strerror or error})"


def _plan(
    videos: Sequence[Source], hashes: dict[int, tuple[str, str]], out: Path, settings: ClipSettings, jobs: int
) -> tuple[dict[int, VideoReport], list[tuple[Any, ...]], list[int]]:
    """Reports of what need not be cut, the calls of `_cut` for the rest, and the video of each call."""
    reports: dict[int, VideoReport] = {}
    calls: list[tuple[Any, ...]] = []
    owners: list[int] = []
    first: dict[str, str] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    shelf = out / FOLDERS[settings.layout]
    there = {path.name[-16:]: path for path in sorted(shelf.glob("*-" + "?" * 16)) if path.is_dir()}
    for index, video in enumerate(videos):
        sha256, fault = hashes[index]
        if fault:
            reports[index] = VideoReport(video.name, "damaged", (fault,))
        elif sha256 in first:
            reports[index] = VideoReport(video.name, "duplicate", same_as=first[sha256], sha256=sha256)
        else:
            first[sha256] = video.name
            key = settings.key(sha256)
            home = there.get(key, shelf / f"{slug_of(video.path.stem)[:40].strip('-') or 'video'}-{key}")
            calls.append((video.path, home, sha256, settings, threads))
            owners.append(index)
    return reports, calls, owners


def _cut(path: Path, home: Path, sha256: str, settings: ClipSettings, threads: int) -> CutVideo | str:
    """Runs in a worker: the video's clips, or why it gives none."""
    try:
        return cut_video(path, home, sha256, settings, threads, stop_if_told)
    except DamagedVideo as error:
        return str(error)


class _Describing:
    """Describes videos while others are cut, as many at once as the captioner takes."""

    def __init__(self, captioner: Captioner | None, settings: ClipSettings, total: int, say: Say) -> None:
        self._captioner, self._settings, self._total, self._say = captioner, settings, total, say
        self._threads = ThreadPoolExecutor(captioner.at_once if captioner else 1)
        self._waiting: dict[int, Future[VideoReport]] = {}
        self._done = count(1)
        self._ended = False

    def add(self, index: int, source: Source, home: Path, sha256: str, found: CutVideo) -> None:
        self._waiting[index] = self._threads.submit(self._describe, source, home, sha256, found)
        for future in self._waiting.values():
            if future.done() and (error := future.exception()) is not None:
                raise error

    def reports(self) -> dict[int, VideoReport]:
        return {index: future.result() for index, future in self._waiting.items()}

    def _describe(self, source: Source, home: Path, sha256: str, found: CutVideo) -> VideoReport:
        captions = caption_video(home, found, source.captions, self._captioner, self._settings, self._stop_if_ended)
        report = _report(source, home, sha256, found, captions, self._settings)
        self._say(Step("described", source.name, next(self._done), self._total))
        return report

    def _stop_if_ended(self) -> None:
        if self._ended:
            raise Stopped

    def __enter__(self) -> _Describing:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        if self._captioner is not None:
            self._captioner.stop()
        self._threads.shutdown(cancel_futures=True)


def _report(
    source: Source, home: Path, sha256: str, found: CutVideo, captions: Captions, settings: ClipSettings
) -> VideoReport:
    """Write the story or the transition, and say what became of the video."""
    width, height = settings.size
    report = VideoReport(
        source.name,
        "built",
        captions.faults,
        sha256=sha256,
        folder=f"{home.parent.name}/{home.name}",
        width=found.info.width,
        height=found.info.height,
        fps=found.info.fps,
        enlarged=max(width / found.info.width, height / found.info.height) > 1,
        length=round(found.seconds, 3),
        scenes=len(found.scenes),
        clips=len(found.clips),
        too_short=found.too_short,
        too_long=found.too_long,
        repeated=sum(len(clip.chosen.frames) - len(set(clip.chosen.frames)) for clip in found.clips),
    )
    if not found.clips:
        return replace(
            report, status="no cut" if settings.layout == "transitions" and len(found.scenes) < 2 else "too short"
        )
    if settings.layout == "scenes":
        files, frames = _write_stories(home, source, found, captions, settings)
        used = len([clip for clip in found.clips if clip.name in captions.words])
        report = replace(report, stories=files, without_caption=len(found.clips) - used)
    else:
        try:
            frames = _write_transition(home, found, captions, settings)
        except InputError as error:
            report, frames = replace(report, problems=(*report.problems, str(error))), 0
        report = replace(report, transition=frames > 0, without_caption=int(frames == 0))
    report = replace(report, seconds=round(frames / settings.fps, 3))
    return report if frames else replace(report, status="without captions")


def _write_stories(
    home: Path, source: Source, found: CutVideo, captions: Captions, settings: ClipSettings
) -> tuple[tuple[str, ...], int]:
    """The story files' names, and how many frames their clips have."""
    shots = [
        Shot(name=clip.name.replace("-", " "), prompt=captions.words[clip.name], frames=len(clip.chosen.frames))
        for clip in found.clips
        if clip.name in captions.words
    ]
    title = tidy_caption(source.path.stem.replace("_", " ")) or "Untitled"
    names = []
    for part, start in enumerate(range(0, len(shots), STORY_SHOTS), start=1):
        board = Storyboard(
            title=title, fps=settings.fps, size=settings.size, shots=tuple(shots[start : start + STORY_SHOTS])
        )
        names.append(STORY if part == 1 else STORY.replace(".", f"-{part}."))
        _write(home / names[-1], dump_storyboard(board).encode())
    return tuple(names), sum(shot.frames or 0 for shot in shots)


def _write_transition(home: Path, found: CutVideo, captions: Captions, settings: ClipSettings) -> int:
    """How many frames the transition's clip has; 0 when a caption is missing. Raises InputError for unfit captions."""
    (clip,) = found.clips
    if not {"before", "after"} <= set(captions.words):
        return 0
    before, after = captions.words["before"], captions.words["after"]
    explicit, implicit = transition_prompts(before, after)
    data = {
        "version": VERSION,
        "clip": f"{clip.name}.mp4",
        "frames": len(clip.chosen.frames),
        "fps": settings.fps,
        "size": settings.size,
        "cut_frame": clip.chosen.cut,
        "start": round(clip.chosen.start, 6),
        "stop": round(clip.chosen.stop, 6),
        "before": before,
        "after": after,
        "explicit": explicit,
        "implicit": implicit,
    }
    _write(home / TRANSITION, readable_json(data))
    return len(clip.chosen.frames)


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all, and only what is new."""
    if file.is_file() and file.read_bytes() == data:
        return
    with written_whole(file) as temporary:
        temporary.write_bytes(data)
