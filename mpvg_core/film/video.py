"""H.264 written as a stream: frames go to the encoder one at a time, nothing accumulates. `reading.py` reads videos."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import MPVGError
from .durable import move_into_place
from .ffmpeg import EXACT, address, failure, last_words, start
from .pictures import shrunk

Frames = NDArray[np.uint8]  # [H, W, 3] or [n, H, W, 3], RGB, 0..255

_WATCHABLE = 256  # pixels on the short side; smaller clips are enlarged by a whole factor
_QUALITY = 14  # x264's constant rate factor: visually lossless, so that a crossfade may encode a second time

# One thread and no B-frames: equal frames give equal bytes, and clips can be joined without a second compression.
_H264 = (
    *("-c:v", "libx264", "-preset", "medium", "-crf", str(_QUALITY), "-bf", "0", "-threads", "1"),
    *("-pix_fmt", "yuv420p", "-profile:v", "high"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
)
_REPEATABLE = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
_TAGS = "setparams=color_primaries=bt709:color_trc=bt709"
_PLAYS_WHILE_LOADING = ("-movflags", "+faststart")


@lru_cache(maxsize=1)
def encoder() -> str:
    """The encoder and its settings in a line; clips with the same line can be joined without encoding again."""
    import imageio_ffmpeg

    return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()} {' '.join(_H264)}"


def written_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the file for frames of this size: enlarged until the short side is watchable, and even."""
    factor = _factor(width, height)
    return tuple(size * factor + size * factor % 2 for size in (width, height))  # type: ignore[return-value]


def as_given(frame: Frames, width: int, height: int) -> Frames:
    """A frame of a file that `VideoWriter` wrote, as it was given: no longer enlarged, without what was padded."""
    factor = _factor(width, height)
    return shrunk(frame[: height * factor, : width * factor], factor)


class VideoWriter:
    """Writes one H.264 mp4 (yuv420p, fast start) frame by frame; the file appears under its name only when it is whole.

    Small frames are enlarged by a whole factor without smoothing, so that a tiny model's 64-pixel film can be watched.
    Use it in a `with` block: leaving it normally finishes the file, leaving it by an exception leaves nothing behind.

    Raises MPVGError, with what the encoder said, when the encoder fails or no frame was written.
    """

    def __init__(self, path: Path, *, width: int, height: int, fps: int) -> None:
        self.path = path
        self.frames = 0
        self._shape = (height, width, 3)
        self._temporary = path.with_name(f".{path.name}.part")
        self._factor = _factor(width, height)
        wide, high = written_size(width, height)
        self._padding = ((0, high - height * self._factor), (0, wide - width * self._factor), (0, 0))
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        arguments = [
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{wide}x{high}", "-r", str(fps), "-i", "pipe:0"),
            *("-an", "-vf", f"scale=out_color_matrix=bt709:out_range=tv:flags={EXACT},{_TAGS}"),
            *(*_H264, *_REPEATABLE, *_PLAYS_WHILE_LOADING, "-f", "mp4", address(self._temporary)),
        ]
        self._process = start(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said)

    def write(self, frames: Frames) -> None:
        """Send one frame [H, W, 3] or several [n, H, W, 3] to the encoder."""
        for frame in frames if frames.ndim == 4 else frames[None]:
            if frame.shape != self._shape or frame.dtype != np.uint8:
                raise MPVGError(
                    f"{self.path.name}: a frame of {frame.shape} {frame.dtype} cannot be written; "
                    f"expected {self._shape} uint8"
                )
            large = frame.repeat(self._factor, axis=0).repeat(self._factor, axis=1) if self._factor > 1 else frame
            if any(after for _, after in self._padding):
                large = np.pad(large, self._padding, mode="edge")
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(np.ascontiguousarray(large).data)
            except OSError as error:
                self._abandon()
                raise failure(self.path, self._said) from error
            self.frames += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._abandon()
            self._said.close()

    def _finish(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # the encoder may be gone; its exit status, read next, says so
            self._process.stdin.close()
        if self._process.wait() != 0:
            raise failure(self.path, self._said)
        if self.frames == 0:
            raise MPVGError(f"{self.path.name}: no frame was written")
        move_into_place(self._temporary, self.path)

    def _abandon(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):  # bytes still buffered for a dead encoder
                self._process.stdin.close()
        self._temporary.unlink(missing_ok=True)


def join_clips(clips: Sequence[Path], target: Path, scratch: Path) -> None:
    """Join clips of equal size, rate and encoder one after the other without encoding again."""
    listing = scratch / f"{target.name}.txt"
    quoted = (path.resolve().as_posix().replace("'", "'\\''") for path in clips)
    listing.write_text("ffconcat version 1.0\n" + "".join(f"file 'file:{path}'\n" for path in quoted), encoding="utf-8")
    _write_by_ffmpeg(
        ["-f", "concat", "-safe", "0", "-i", address(listing), "-map", "0:v:0", "-c", "copy"], target, scratch
    )


def sound_fault(audio: Path) -> str | None:
    """Why no sound can be read from a file ("is not there"), or None when it can."""
    if not audio.is_file():
        return "is not there"
    with tempfile.TemporaryFile() as said:
        beginning = ["-i", address(audio), "-map", "0:a:0", "-t", "0.1", "-f", "null", "-"]
        process = start(beginning, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        return f"holds no sound that can be read ({last_words(said)})" if process.wait() != 0 else None


def add_audio(film: Path, audio: Path, target: Path, scratch: Path, *, seconds: float) -> None:
    """Lay a sound file under a film; the sound is cut, or filled up with silence, to the film's `seconds`.

    The picture is copied as it is, so this step can be repeated with other sound at no cost.
    """
    _write_by_ffmpeg(
        [
            *("-i", address(film), "-i", address(audio), "-map", "0:v:0", "-map", "1:a:0"),
            *("-c:v", "copy", "-c:a", "aac", "-b:a", "192k", "-af", "apad", "-t", f"{seconds:.6f}"),
        ],
        target,
        scratch,
    )


def _write_by_ffmpeg(arguments: Sequence[str], target: Path, scratch: Path) -> None:
    temporary = scratch / f"{target.name}.part"
    with tempfile.TemporaryFile() as said:
        output = [*_REPEATABLE, *_PLAYS_WHILE_LOADING, "-f", "mp4", address(temporary)]
        process = start([*arguments, *output], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        try:
            if process.wait() != 0:
                raise failure(target, said)
            move_into_place(temporary, target)
        finally:
            process.kill()
            process.wait()
            temporary.unlink(missing_ok=True)


def _factor(width: int, height: int) -> int:
    return -(-_WATCHABLE // min(width, height)) if min(width, height) < _WATCHABLE else 1
