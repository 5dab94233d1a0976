"""From bytes to text: a storyboard is UTF-8 of bounded size, and anything else is refused in plain words."""

from __future__ import annotations

from ..errors import InputError, Problem

MAX_BYTES = 1_000_000


def decode(data: str | bytes, source: str) -> str:
    """The text of a storyboard, lines ending in newlines, without a byte order mark.

    Raises `InputError` for more than `MAX_BYTES`, other encodings than UTF-8, NULs, and no text at all.
    """

    def refuse(line: int | None, what: str, expected: str, remedy: str) -> InputError:
        return InputError(Problem(source if line is None else f"{source}:{line}", what, expected, remedy))

    if isinstance(data, str):
        words = data
        try:
            data = words.encode("utf-8")
        except UnicodeEncodeError as error:
            line = words.count("\n", 0, error.start) + 1
            what = f"the text holds half a character (a lone surrogate, U+{ord(words[error.start]):04X})"
            raise refuse(line, what, "whole characters", "remove it") from None
    if len(data) > MAX_BYTES:
        what = "the storyboard is larger than 1 MB"
        raise refuse(None, what, f"at most {MAX_BYTES} bytes", "is this a storyboard? if so, split the film")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse(None, "the text is UTF-16", "UTF-8", "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse(line, f"byte 0x{data[error.start]:02x} is not UTF-8", "UTF-8 text", "save it as UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise refuse(line, "the text holds a NUL character", "plain text", "is this a storyboard?")
    if not text.strip():
        raise refuse(None, "the storyboard is empty", "at least one shot", "write a prompt a line, or see the README")
    return text
