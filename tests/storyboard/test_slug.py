"""Folder names made of titles."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpvg_core.storyboard.slug import slug_of


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Die Höhle: 2/3", "die-höhle-2-3"),
        ("操场上的演员", "操场上的演员"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows", "c-windows"),
        ("NUL", "film-nul"),
        ("com1", "film-com1"),
        ("…", "untitled"),
        ("", "untitled"),
        (".hidden", "hidden"),
        ("Four shots, two actors", "four-shots-two-actors"),
        ("snake_case", "snake-case"),
        ("हिन्दी", "हिन्दी"),
        ("a" * 200, "a" * 96),
    ],
)
def test_titles_become_names_that_keep_letters_and_lose_tricks(title: str, name: str) -> None:
    assert slug_of(title) == name


@given(st.text())
def test_any_title_gives_one_portable_part_of_a_path_and_stays_the_same_when_made_again(title: str) -> None:
    name = slug_of(title)
    assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
    assert name not in (".", "..")
    assert 0 < len(name.encode()) <= 110
    assert slug_of(name) == name
