"""The contact sheet."""

from __future__ import annotations

import pytest
from fake_film import make_film, story_plan
from PIL import Image

from mpvg_core.film.contact import _Text, _words


def test_a_row_a_shot_shows_the_takes_own_frames(tmp_path):
    _, files = make_film(tmp_path)
    sheet = Image.open(files.contact)
    assert sheet.mode == "RGB" and sheet.width == 2 * 28 + 6 * 192 + 5 * 10
    two, _ = make_film(tmp_path / "two", plan=story_plan({"a": "a red boat", "b": "a green wave"}))
    shorter = Image.open(tmp_path / "two" / "contact.png")
    assert shorter.height < sheet.height * 0.6
    from mpvg_core.film.reading import read_pictures

    colour = next(read_pictures(two.shots[1].take.clip))[128, 200]
    column = [shorter.getpixel((28 + 150, y)) for y in range(shorter.height)]
    assert sum(max(abs(int(a) - int(b)) for a, b in zip(seen, colour, strict=True)) <= 2 for seen in column) >= 180


def test_captions_wrap_within_the_width_and_lose_no_word():
    text = "A red boat leaves the harbour " * 12
    face = _Text(text)
    lines = face.wrap(text, 19, 500)
    assert " ".join(lines).split() == text.split()
    assert all(face.font(19).getlength(line) <= 500 for line in lines) and len(lines) > 3


@pytest.mark.parametrize("text", ["前一场景：演员在操场上跑步。" * 8, "x" * 300])
def test_text_without_spaces_wraps_too(text):
    face = _Text(text)
    lines = face.wrap(text, 19, 400)
    assert "".join(lines) == text
    assert all(face.font(19).getlength(line) <= 400 for line in lines)


def test_word_pieces_are_shown_as_words():
    assert _words(["▁play", "ground", "▁red"]) == "play ground red".replace("play ground", "playground")
    assert _words(["actor", "1"]) == "actor 1"
