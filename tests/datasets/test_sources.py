"""Videos and captions among files and folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mpvg_core.datasets.sources import find_sources
from mpvg_core.errors import InputError


@pytest.fixture
def place(tmp_path):
    def touch(*names):
        for name in names:
            file = tmp_path / "in" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
        return tmp_path / "in"

    return touch


def names(found):
    return {Path(video.name).name: [file.name for file in video.captions] for video in found.videos}


def test_a_folder_gives_all_its_videos_with_the_captions_beside_them(place):
    folder = place("b.MP4", "a.v2.mov", "a.v2.txt", "deep/c.mkv", "deep/c.srt", "b.txt")
    found = find_sources([folder], folder / "out")
    assert names(found) == {"a.v2.mov": ["a.v2.txt"], "b.MP4": ["b.txt"], "c.mkv": ["c.srt"]} and not found.others


def test_of_two_videos_of_one_name_each_may_have_captions_of_its_own(place):
    found = find_sources([place("a.mov", "a.mp4", "a.mov.txt", "a.mp4.srt")], Path("out"))
    assert names(found) == {"a.mov": ["a.mov.txt"], "a.mp4": ["a.mp4.srt"]}


def test_other_files_are_told_and_not_passed_over(place):
    found = find_sources([place("a.mp4", "notes.pdf", "lonely.txt")], Path("out"))
    assert [(Path(name).name, why) for name, why in found.others] == [
        ("lonely.txt", "has no video of its name beside it"),
        ("notes.pdf", "is no video"),
    ]


def test_hidden_files_and_the_data_set_itself_are_no_sources(place):
    folder = place("a.mp4", ".b.mp4", ".cache/c.mp4", "out/stories/x/scene-001.mp4")
    assert names(find_sources([folder], folder / "out")) == {"a.mp4": []}


def test_a_file_named_twice_is_one_source(place):
    folder = place("a.mp4", "a.txt")
    assert len(find_sources([folder, folder / "a.mp4", folder / "a.mp4"], Path("out")).videos) == 1
    assert names(find_sources([folder / "a.mp4"], Path("out"))) == {"a.mp4": ["a.txt"]}


def test_nothing_to_cut_is_an_error(place, tmp_path):
    with pytest.raises(InputError, match="holds no video"):
        find_sources([place("a.txt")], Path("out"))
    with pytest.raises(InputError, match=r"x: is not there[\s\S]*y: is not there"):
        find_sources([tmp_path / "x", tmp_path / "y"], Path("out"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf_8_can_be_told(place):
    folder = place("a.mp4")
    (folder / os.fsdecode(b"b\xff.mp4")).write_text("b")
    found = find_sources([folder], Path("out"))
    assert [video.name.encode() for video in found.videos][1].endswith("b\N{REPLACEMENT CHARACTER}.mp4".encode())


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_to_folders_are_followed_once(place, tmp_path):
    folder = place("a.mp4")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "b.mp4").write_text("b")
    (folder / "far").symlink_to(tmp_path / "far")
    (folder / "round").symlink_to(folder)
    assert names(find_sources([folder], Path("out"))) == {"a.mp4": [], "b.mp4": []}


def test_a_folder_that_cannot_be_read_is_an_error(place, monkeypatch):
    folder, scandir = place("a.mp4", "shut/b.mp4"), os.scandir

    def refusing(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match=r"shut: cannot be read \(Permission denied\)"):
        find_sources([folder], Path("out"))
