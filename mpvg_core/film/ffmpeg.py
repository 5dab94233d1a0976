"""The ffmpeg that imageio-ffmpeg brings: how it is started, how it is told a file, what it says when it fails."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ..errors import MPVGError

EXACT = "bicubic+accurate_rnd+full_chroma_int+bitexact"  # equal input, equal pixels on every machine


def start(
    arguments: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes] | int, loglevel: str = "error"
) -> subprocess.Popen[bytes]:
    """Start ffmpeg with the given ends of its three streams. Raises MPVGError where there is no ffmpeg."""
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise MPVGError("no ffmpeg was found; reinstall imageio-ffmpeg, which brings one") from error
    # Its own process group: Ctrl-C is for us to handle, the encoder must not die first.
    return subprocess.Popen(
        [program, "-hide_banner", "-loglevel", loglevel, "-nostdin", "-y", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=os.name != "nt",
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def address(path: Path) -> str:
    """A file as ffmpeg is to understand it: a colon or a leading hyphen in its name is nothing but a name."""
    return f"file:{path.absolute()}"


def failure(path: Path, said: IO[bytes] | str) -> MPVGError:
    """The error for a file that ffmpeg could not read or write; `said` is its standard error."""
    return MPVGError(f"{path.name}: ffmpeg failed: {last_words(said)}")


def last_words(said: IO[bytes] | str) -> str:
    """The last lines of what ffmpeg said, in one line and without its internal addresses."""
    if not isinstance(said, str):
        said.seek(0)
        said = said.read().decode(errors="replace")
    text = re.sub(r"^\[[^\]]* @ 0x[0-9a-f]+\] *", "", said, flags=re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it said nothing"
