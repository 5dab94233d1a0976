"""Files that appear whole or not at all."""

from __future__ import annotations

import os

import pytest

from mpvg_core.film import durable
from mpvg_core.film.durable import move_into_place, patiently, written_whole


class Holder:
    """Another program that keeps a file open for some tries."""

    def __init__(self, tries: int) -> None:
        self.tries = tries

    def rename(self, source, target) -> None:
        self.tries -= 1
        if self.tries >= 0:
            raise PermissionError(13, "Access is denied", str(source), None, str(target))
        os.rename(source, target)


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(durable, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def two(tmp_path):
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    return tmp_path / "new", tmp_path / "old"


def test_a_file_held_for_a_moment_is_replaced_once_it_is_free(two, patient, monkeypatch):
    monkeypatch.setattr(durable.os, "replace", Holder(3).rename)
    move_into_place(*two)
    assert two[1].read_text() == "new" and not two[0].exists()


def test_a_file_that_stays_held_is_an_error_and_keeps_what_it_was(two, patient):
    with pytest.raises(PermissionError):
        patiently(Holder(4).rename, *two)
    assert two[1].read_text() == "old"


def test_other_errors_are_not_tried_again(two, patient):
    tries = []

    def rename(source, target):
        tries.append(source)
        raise FileExistsError

    with pytest.raises(FileExistsError):
        patiently(rename, *two)
    assert len(tries) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows waits")
def test_where_open_files_can_be_renamed_nothing_waits():
    assert durable.PAUSES == ()


def test_a_file_is_written_beside_its_place_and_takes_it_at_the_end(tmp_path):
    with written_whole(tmp_path / "old") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["old"] and (tmp_path / "old").read_text() == "new"


def test_a_file_that_fails_half_way_leaves_the_old_one_and_nothing_else(tmp_path):
    (tmp_path / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "old") as temporary:
        temporary.write_text("ne")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["old"] and (tmp_path / "old").read_text() == "old"
