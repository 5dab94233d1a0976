"""Captions that lie beside a video as text: a line a scene, or subtitles with times.

    a.txt   one line for each scene, in order; or a single one for all of them
    a.srt   each cue's text belongs to the scenes in which it is shown for the most part

In layout 'transitions' the first two lines say what is before and after the first cut; a single line may be a prompt
such as "Previous scene: …; then next scene: …".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, Problem
from ..storyboard.readers.numbering import without_numbers
from ..storyboard.readers.transition import split_explicit, split_implied
from .prompts import tidy_caption
from .settings import Layout
from .sources import printable

_CUE = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
_MARKUP = re.compile(r"<[^<>\n]{1,40}>|\{\\[^{}\n]{1,40}\}")


def read_captions(files: Sequence[Path], scenes: Sequence[tuple[float, float]], layout: Layout) -> tuple[str, ...]:
    """A caption for each of the video's scenes, given by (start, stop) in seconds; '' where a file has none for it.

    In layout 'transitions' it is two captions, whatever comes behind the second scene.
    Raises InputError for more files than one, for lines that are not as many as scenes, and for text that is no UTF-8.
    """
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise InputError(Problem(names, "are both captions of one video", "one of them", "remove or rename the other"))
    (file,) = files
    text = _text(file)
    if file.suffix.lower() == ".srt":
        captions = _of_cues(_cues(text, file), scenes)
    else:
        captions = _of_lines(text, file, len(scenes), layout)
    return captions[:2] if layout == "transitions" else captions


def _of_lines(text: str, file: Path, scenes: int, layout: Layout) -> tuple[str, ...]:
    lines = [line for line in text.splitlines() if tidy_caption(line)]
    if len(lines) == 1:
        if parts := split_explicit(lines[0]) or (split_implied(lines[0]) if layout == "transitions" else ()):
            lines = [*parts]
        elif layout == "scenes":
            return (tidy_caption(lines[0]),) * scenes
    captions = tuple(tidy_caption(line) for line in without_numbers(lines))
    fits = len(captions) >= 2 if layout == "transitions" else len(captions) == scenes
    if not fits:
        what = f"has {len(captions)} line{'s' if len(captions) != 1 else ''}"
        expected = "a line for each side of the cut" if layout == "transitions" else f"{scenes}, a line a scene"
        remedy = "index.html shows the scenes; subtitles with times (.srt) fit however many there are"
        raise InputError(Problem(printable(file), what, expected, remedy))
    return captions


def _of_cues(cues: Sequence[tuple[float, float, str]], scenes: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    captions = []
    for start, stop in scenes:
        said = [
            words
            for begins, ends, words in cues
            if min(ends, stop) - max(begins, start) >= 0.5 * min(ends - begins, stop - start)
        ]
        captions.append(tidy_caption(" ".join(dict.fromkeys(said))))
    return tuple(captions)


def _cues(text: str, file: Path) -> list[tuple[float, float, str]]:
    """(begins, ends, words) of each cue. Raises InputError for a cue that ends before it begins, and for no cue."""
    marks = [*_CUE.finditer(text)]
    if not marks:
        raise InputError(Problem(printable(file), "holds no cue", "subtitles: 00:00:01,000 --> 00:00:04,000 and text"))
    cues = []
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        numbers = [*map(int, mark.groups())]
        begins, ends = (
            hours * 3600 + minutes * 60 + seconds + int(f"{parts:03d}") / 1000
            for hours, minutes, seconds, parts in (numbers[:4], numbers[4:])
        )
        line = text.count("\n", 0, mark.start()) + 1
        if ends <= begins:
            raise InputError(Problem(f"{printable(file)}:{line}", f"the cue {mark[0]!r} ends before it begins"))
        words = text[mark.end() : after.start() if after else len(text)].strip()
        if after:
            words = re.sub(r"\n\s*\d+\s*$", "", words)  # the number of the next cue
        cues.append((begins, ends, _MARKUP.sub("", words)))
    return cues


def _text(file: Path) -> str:
    where = printable(file)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(Problem(where, f"cannot be read ({error.strerror or error})")) from error
    except UnicodeDecodeError as error:
        raise InputError(Problem(where, "is no UTF-8", "UTF-8 text", "save it as UTF-8")) from error
    if not text.strip():
        raise InputError(Problem(where, "is empty", "a line a scene", "write captions, or remove it"))
    return text.replace("\r\n", "\n").replace("\r", "\n")
