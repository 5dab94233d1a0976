"""From bytes to text."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpvg_core.errors import InputError
from mpvg_core.storyboard import parse_storyboard, read_storyboard


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    board = parse_storyboard("\ufeffA dog.\r\nA cat.\r\n".encode())
    assert [shot.prompt for shot in board.shots] == ["A dog.", "A cat."]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the storyboard is empty"),
        (b" \n\t\n", "the storyboard is empty"),
        (b"A dog.\nA\x00cat.", "<text>:2: the text holds a NUL character"),
        (b"A dog.\n\xe9t\xe9", "<text>:2: byte 0xe9 is not UTF-8; expected UTF-8 text; save it as UTF-8"),
        ("A dog.".encode("utf-16"), "the text is UTF-16"),
        (b"A" * 1_000_001, "larger than 1 MB"),
        ("A dog.\n\ud800", "<text>:2: the text holds half a character (a lone surrogate, U+D800)"),
    ],
)
def test_what_is_no_text_is_refused_in_plain_words(data: bytes | str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_storyboard(data)
    assert says in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, Path("a\0b")):
        with pytest.raises(InputError, match="cannot be read"):
            read_storyboard(path)


def test_a_file_is_read_under_a_name_in_any_script(tmp_path: Path) -> None:
    path = tmp_path / "фильм 电影.txt"
    path.write_text("A dog.\n", encoding="utf-8")
    board = read_storyboard(str(path))
    assert board.title == "фильм 电影"
    assert board.origin.where(("shots", 0)) == f"{path}:1"


def test_an_endless_file_is_refused_without_being_read_to_its_end() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no endless file here")
    with pytest.raises(InputError, match="larger than 1 MB"):
        read_storyboard("/dev/zero")
