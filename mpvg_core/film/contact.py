"""The contact sheet: a row a shot, a column a moment, each row under its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .durable import move_into_place
from .pictures import evenly
from .reading import Frame, read_pictures
from .record import Film, FilmedShot

COLUMNS = 6
_MARGIN, _GAP = 28, 10
_LARGEST = (240, 192)  # pixels of one picture; 192 is three times the pocket model's 64
_PAPER, _INK, _FAINT, _LINE = "#15171b", "#f2f2ef", "#9aa0a8", "#2b2f36"
_TITLE, _CAPTION, _NOTE = 30, 19, 14  # font sizes in pixels

# Fonts of the usual systems with more scripts than Pillow's own, tried in turn when a caption needs them.
_WIDER_FONTS = (
    *(
        "NotoSansCJK-Regular.ttc",
        "NotoSansSC-Regular.otf",
        "NotoSansCJKsc-Regular.otf",
        "wqy-microhei.ttc",
        "wqy-zenhei.ttc",
    ),
    *("msyh.ttc", "simsun.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "STHeiti Medium.ttc", "Arial Unicode.ttf"),
    *("DejaVuSans.ttf", "segoeui.ttf", "arial.ttf"),
)


def draw_contact_sheet(film: Film, target: Path, scratch: Path, columns: int = COLUMNS) -> None:
    """Draw the sheet of a film's takes to a PNG; equal takes give equal bytes."""
    clip = film.shots[0].take.manifest["clip"]
    cell = _fitted(clip["width"], clip["height"])
    width = max(2 * _MARGIN + columns * cell[0] + (columns - 1) * _GAP, 720)
    text = _Text("".join([film.title, *(shot.prompt + shot.name for shot in film.shots)]))
    rows = [_caption(shot, text, width - 2 * _MARGIN) for shot in film.shots]
    header = text.wrap(film.title, _TITLE, width - 2 * _MARGIN)
    top = _MARGIN + len(header) * (_TITLE + 8) + _NOTE + 22
    height = top + sum(row.height + cell[1] + _NOTE + 38 for row in rows) + _MARGIN - 20

    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    y = _MARGIN
    for line in header:
        pen.text((_MARGIN, y), line, fill=_INK, font=text.font(_TITLE))
        y += _TITLE + 8
    pen.text((_MARGIN, y), _summary(film), fill=_FAINT, font=text.font(_NOTE))
    y = top
    for shot, row in zip(film.shots, rows, strict=True):
        pen.line((_MARGIN, y - 10, width - _MARGIN, y - 10), fill=_LINE)
        for line in row.prompt:
            pen.text((_MARGIN, y), line, fill=_INK, font=text.font(_CAPTION))
            y += _CAPTION + 6
        for line in row.note:
            pen.text((_MARGIN, y), line, fill=_FAINT, font=text.font(_NOTE))
            y += _NOTE + 5
        y += 6
        for column, (index, frame) in enumerate(_moments(shot, columns)):
            x = _MARGIN + column * (cell[0] + _GAP)
            sheet.paste(Image.fromarray(frame).resize(cell, Image.Resampling.LANCZOS), (x, y))
            pen.text((x, y + cell[1] + 4), f"{index / film.fps:.2f} s", fill=_FAINT, font=text.font(_NOTE))
        y += cell[1] + _NOTE + 32
    temporary = scratch / f"{target.name}.part"
    sheet.save(temporary, format="PNG")
    move_into_place(temporary, target)


def _moments(shot: FilmedShot, columns: int) -> list[tuple[int, Frame]]:
    wanted = set(evenly(shot.frames, columns))
    return [(index, frame) for index, frame in enumerate(read_pictures(shot.take.clip)) if index in wanted]


def _summary(film: Film) -> str:
    seconds = sum(shot.frames for shot in film.shots) / film.fps
    count = f"{len(film.shots)} shot{'s' if len(film.shots) > 1 else ''}"
    left_out = f"   without {', '.join(film.left_out)}" if film.left_out else ""
    return f"{count}   {seconds:.1f} s of takes   {film.fps} fps   model {film.model['name']}{left_out}"


@dataclass(frozen=True)
class _Caption:
    prompt: list[str]
    note: list[str]

    @property
    def height(self) -> int:
        return len(self.prompt) * (_CAPTION + 6) + len(self.note) * (_NOTE + 5)


def _caption(shot: FilmedShot, text: _Text, width: int) -> _Caption:
    remembered = "   ".join(f"{memory.shot}: {_words(memory.pieces)}" for memory in shot.history)
    note = f"{shot.name}   seed {shot.seed}   take {shot.take.id}{'   locked' if shot.locked else ''}"
    lines = text.wrap(f"{note}   {'remembers ' + remembered if remembered else 'remembers nothing'}", _NOTE, width)
    return _Caption(text.wrap(f"{shot.number}  {shot.prompt}", _CAPTION, width), lines)


def _words(pieces: Sequence[str]) -> str:
    """Word pieces as text; a piece that begins a word starts with the mark U+2581 in SentencePiece vocabularies."""
    joined = "".join(pieces) if any(piece.startswith("▁") for piece in pieces) else " ".join(pieces)
    return joined.replace("▁", " ").strip()


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = min(_LARGEST[0] / width, _LARGEST[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


class _Text:
    """Measures, wraps and draws with one font face that shows as many of the needed letters as any at hand."""

    def __init__(self, needed: str) -> None:
        self._face = _face_for("".join(sorted(set(needed) - {" ", "\n"})))

    def font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return _font(self._face, size)

    def wrap(self, text: str, size: int, width: int) -> list[str]:
        """Lines no wider than `width` pixels, broken between words, or anywhere in text without spaces."""
        font, lines, line = self.font(size), [], ""
        for word in _breakable(" ".join(text.split("\n"))):
            if line and font.getlength((line + word).rstrip()) > width:
                lines.append(line.rstrip())
                line = word.lstrip()
            else:
                line += word
            while font.getlength(line.rstrip()) > width:
                fits = max(n for n in range(1, len(line) + 1) if n == 1 or font.getlength(line[:n]) <= width)
                lines.append(line[:fits])
                line = line[fits:]
        return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _breakable(text: str) -> list[str]:
    """The text cut where a line may end: after a space, and around letters of scripts written without spaces."""
    parts: list[str] = []
    for letter in text:
        joins = parts and not parts[-1].endswith(" ") and ord(letter) < 0x2E80 and ord(parts[-1][-1]) < 0x2E80
        if joins:
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


@lru_cache(maxsize=16)
def _face_for(letters: str) -> str:
    """The file name of the first font that shows all letters, else of the one that shows most; '' is Pillow's own."""
    best, most = "", -1
    for face in ("", *_WIDER_FONTS):
        try:
            font = _font(face, _CAPTION)
        except OSError:
            continue  # not on this machine
        missing = bytes(font.getmask("\U0010fffd"))
        shown = sum(bytes(font.getmask(letter)) != missing for letter in letters)
        if shown > most:
            best, most = face, shown
        if shown == len(letters):
            break
    return best


@lru_cache(maxsize=64)
def _font(face: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.truetype(face, size) if face else ImageFont.load_default(size)
