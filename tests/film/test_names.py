"""Folder names made of titles."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpvg_core.film.names import folder_name


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Die Höhle: 2/3", "Die-Höhle-2-3"),
        ("操场上的演员", "操场上的演员"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows", "C-Windows"),
        ("NUL", "film-NUL"),
        ("com1", "film-com1"),
        ("…", "film"),
        ("", "film"),
        (".hidden", "hidden"),
    ],
)
def test_titles_become_names_that_keep_letters_and_lose_tricks(title, name):
    assert folder_name(title) == name


@given(st.text())
def test_any_title_gives_one_portable_part_of_a_path_and_stays_the_same_when_made_again(title):
    name = folder_name(title)
    assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
    assert name not in (".", "..")
    assert 0 < len(name.encode()) <= 110
    assert folder_name(name) == name
