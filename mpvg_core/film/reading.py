"""Video files as streams: each frame with its own time, whatever the rate, in memory that does not grow."""

from __future__ import annotations

import re
import subprocess
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MPVGError, Problem
from .ffmpeg import EXACT, address, failure, last_words, start

Frame = NDArray[np.uint8]  # [H, W, 3], RGB, 0..255
Scaling = Literal["smooth", "sparse"]

_TICKS = 1_000_000  # a second; ffmpeg would otherwise round times to its guess of a steady rate
_SCALERS = {"smooth": EXACT, "sparse": "fast_bilinear+accurate_rnd+bitexact"}
# A line of ffmpeg's framecrc format: stream, decoding time, presentation time, duration, bytes, checksum.
_TIME = re.compile(rb"\d+, +-?\d+, +(-?\d+), +\d+, +\d+, 0x[0-9a-f]{8}")
_REMEDY = "mend the file, or encode it anew from its source"


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video file says. `fps` is the mean rate (0 where the header tells none), `duration` is in
    seconds (0 where it tells none); width and height are those of the upright picture, as `read_frames` gives it."""

    width: int
    height: int
    fps: float
    duration: float


def read_frames(
    path: Path, *, size: tuple[int, int] | None = None, scaling: Scaling = "smooth", threads: int | None = None
) -> Generator[tuple[float, Frame], None, None]:
    """The frames of a video file one at a time, each with its time in seconds from the start of the file.

    Times are those of the file, also where its rate varies. Decoding goes on beside the reader, a few frames ahead.

    size: (width, height) to scale to; None keeps the file's own.
    scaling: "smooth" averages what a smaller picture leaves out (bicubic); "sparse" looks at the nearest two pixels
        each way only, as bilinear interpolation does: faster, and noise stays as strong as it was.
    threads: of the decoder; None leaves the choice to ffmpeg.

    Raises InputError for a file that is missing, empty or without a video stream, MPVGError where it is damaged: a
    damaged file is never read as a shorter film.
    """
    _require_bytes(path)
    scale = ["-vf", f"scale={size[0]}:{size[1]}:flags={_SCALERS[scaling]}"] if size else ["-sws_flags", EXACT]
    # One encoder feeds two pipes: a line with the frame's time, then the frame.
    outputs = "[f=framecrc:flush_packets=1]pipe:2|[f=image2pipe]pipe:1"
    process = start(
        [
            *(() if threads is None else ("-threads", str(threads))),
            *("-xerror", "-i", address(path), "-map", "0:V:0", "-fps_mode", "passthrough"),
            *("-enc_time_base", f"1/{_TICKS}", *scale, "-c:v", "ppm", "-threads", "1", "-f", "tee", outputs),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    times: SimpleQueue[float | None] = SimpleQueue()
    said: deque[str] = deque(maxlen=20)
    listener = Thread(target=_listen, args=(process.stderr, times, said), daemon=True)
    listener.start()
    try:
        while (frame := _read_ppm(process.stdout)) is not None:
            if (time := times.get()) is None:
                raise MPVGError(f"{path.name}: ffmpeg told no time for a frame: {last_words(_all(said))}")
            yield time, frame
        code = process.wait()
        listener.join()
        if code != 0 or said:
            if any("does not contain any stream" in line or "matches no streams" in line for line in said):
                raise _no_video(path)
            raise failure(path, _all(said))
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
        listener.join()
        process.stderr.close()


def read_pictures(path: Path) -> Iterator[Frame]:
    """The frames alone, at the file's own size. Raises what `read_frames` raises."""
    with closing(read_frames(path)) as frames:
        for _, frame in frames:
            yield frame


def probe(path: Path) -> VideoInfo:
    """What the header of a video file says of its first video stream; nothing is decoded.

    Raises InputError for a file that is missing, empty or without a video stream, MPVGError for one that is no video.
    """
    _require_bytes(path)
    process = start(
        ["-i", address(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        loglevel="info",
    )
    said = process.communicate()[1].decode(errors="replace")
    if "Input #0" not in said:
        raise failure(path, said)
    described = [text for text in re.findall(r"Stream #0:\d.*: Video: (.*)", said) if "(attached pic)" not in text]
    sizes = re.search(r"\b(\d{1,5})x(\d{1,5})\b", described[0]) if described else None
    if sizes is None:
        raise _no_video(path)
    width, height = int(sizes[1]), int(sizes[2])
    turned = re.search(r"display ?matrix: rotation of (-?[\d.]+)", said, re.IGNORECASE)
    if turned and round(float(turned[1]) / 90) % 2:
        width, height = height, width
    rate = re.search(r"([\d.]+)(k?) fps", described[0])
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said)
    return VideoInfo(
        width=width,
        height=height,
        fps=float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0,
        duration=int(length[1]) * 3600 + int(length[2]) * 60 + float(length[3]) if length else 0.0,
    )


def _listen(stream: IO[bytes], times: SimpleQueue[float | None], said: deque[str]) -> None:
    """Sort ffmpeg's standard error into the frames' times and what it complains of."""
    for line in stream:
        if found := _TIME.search(line):
            times.put(int(found[1]) / _TICKS)
        elif not line.startswith(b"#") and line.strip():
            said.append(line.decode(errors="replace"))
    times.put(None)


def _all(said: deque[str]) -> str:
    return "".join(said)


def _read_ppm(stream: IO[bytes]) -> Frame | None:
    if stream.readline() != b"P6\n":
        return None
    width, height = (int(word) for word in stream.readline().split())
    stream.readline()
    size = width * height * 3
    data = stream.read(size)
    return np.frombuffer(data, np.uint8).reshape(height, width, 3) if len(data) == size else None


def _require_bytes(path: Path) -> None:
    if not path.is_file():
        raise InputError(Problem(str(path), "is not there", "a video file"))
    if path.stat().st_size == 0:
        raise InputError(Problem(str(path), "is empty (0 bytes)", "a video file", _REMEDY))


def _no_video(path: Path) -> InputError:
    return InputError(Problem(str(path), "holds no video stream that can be read", "a video file"))
