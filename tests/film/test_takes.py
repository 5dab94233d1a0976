"""The store of takes."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.film import durable, takes, tensors
from mpvg_core.film.takes import TakeStore, take_id


def keep(store, shot="dawn", latent=b"latent", **inputs):
    """Commit a take of made-up bytes."""
    with store.draft() as draft:
        (draft / "latent.safetensors").write_bytes(latent)
        (draft / "clip.mp4").write_bytes(b"clip")
        return store.commit(draft, {"shot": shot, "prompt": "…", "inputs": {"seed": 1, **inputs}})


@pytest.fixture
def store(tmp_path):
    with TakeStore(tmp_path / "möwe 海鸥") as store:
        yield store


def test_the_id_depends_on_what_went_in_and_not_on_the_order_it_was_told():
    assert take_id({"a": 1, "b": [2.5, None]}) == take_id({"b": [2.5, None], "a": 1})
    assert take_id({"a": 1}) != take_id({"a": 1.5})
    assert len(take_id({})) == 16
    with pytest.raises(ValueError):
        take_id({"scale": float("nan")})


def test_a_committed_take_is_found_whole_by_its_id(store):
    take = keep(store)
    again = TakeStore(store.folder).get(take.id)
    assert again == take
    assert again.latent.read_bytes() == b"latent"
    assert again.shot == "dawn"
    assert take.id == take_id({"seed": 1})


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda folder: (folder / "clip.mp4").write_bytes(b"cli"), "clip.mp4 is damaged"),
        (lambda folder: (folder / "latent.safetensors").unlink(), "latent.safetensors is missing"),
        (lambda folder: (folder / "take.json").unlink(), "take.json is missing"),
        (lambda folder: (folder / "take.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "take.json").write_text("[]"), "cannot be read"),
        (lambda folder: (folder / "take.json").write_bytes(b"\xff\xfe"), "cannot be read"),
    ],
)
def test_a_take_that_is_not_whole_is_not_there(store, damage, fault):
    take = keep(store)
    damage(take.folder)
    assert store.get(take.id) is None
    assert fault in store.fault(take.id)
    assert list(store.faults()) == [take.id]
    assert store.list() == ()


def test_a_manifest_with_a_changed_seed_does_not_pass_for_another_take(store):
    take = keep(store)
    manifest = json.loads((take.folder / "take.json").read_text("utf-8"))
    manifest["inputs"]["seed"] = 2
    (take.folder / "take.json").write_text(json.dumps(manifest))
    assert "does not belong" in store.fault(take.id)


def test_a_take_of_a_later_format_is_refused_by_its_version(store):
    take = keep(store)
    manifest = json.loads((take.folder / "take.json").read_text("utf-8"))
    (take.folder / "take.json").write_text(json.dumps({**manifest, "version": 9}))
    assert "format 9" in store.fault(take.id)


@pytest.mark.parametrize("id", ["..", "../../x", "", "0" * 15, "G" * 16, "0" * 16])
def test_an_id_that_is_no_id_finds_nothing(store, id):
    keep(store)
    assert store.get(id) is None


def test_a_second_commit_of_the_same_take_keeps_the_first(store):
    first = keep(store)
    inode = first.latent.stat().st_ino
    assert keep(store).id == first.id
    assert first.latent.stat().st_ino == inode


def test_a_damaged_take_is_replaced_by_a_new_commit(store):
    take = keep(store)
    take.latent.write_bytes(b"?")
    keep(store)
    assert store.get(take.id) is not None


def test_an_abandoned_draft_leaves_nothing(store):
    with pytest.raises(RuntimeError), store.draft() as draft:
        (draft / "clip.mp4").write_bytes(b"half")
        raise RuntimeError
    store.close()
    assert [*(store.folder / "takes").iterdir()] == []


def test_leftovers_of_the_dead_are_swept_and_the_work_of_the_living_is_not(store):
    living = TakeStore(store.folder)
    with living.draft() as draft:
        dead = store.folder / "takes" / ".writing-dead"
        dead.mkdir(parents=True)
        (dead / "clip.mp4").write_bytes(b"half")
        (store.folder / "takes" / ".writing-dead.lock").touch()
        (store.folder / "takes" / ".writing-alone.lock").touch()
        assert store.sweep() == 1
        assert draft.is_dir()
    living.close()
    store.close()
    assert [*(store.folder / "takes").iterdir()] == []


def test_takes_are_listed_oldest_first(store):
    ids = []
    for second in (3, 1, 2):
        with store.draft() as draft:
            for name in ("latent.safetensors", "clip.mp4"):
                (draft / name).write_bytes(b"x")
            rendered = {"created": f"2025-01-01T00:00:0{second}+00:00"}
            ids.append(store.commit(draft, {"shot": "a", "inputs": {"seed": second}, "rendered": rendered}).id)
    assert [take.id for take in store.list()] == [ids[1], ids[2], ids[0]]


def test_locks_hold_per_shot_until_they_are_undone(store):
    take, other = keep(store), keep(store, seed=2)
    store.lock("dawn: 1/2?", take.id)
    store.lock("dawn: 1/2!", other.id)
    assert TakeStore(store.folder).locked() == {"dawn: 1/2?": take.id, "dawn: 1/2!": other.id}
    store.lock("dawn: 1/2?", other.id)
    assert store.unlock("dawn: 1/2!") and not store.unlock("dawn: 1/2!")
    assert store.locked() == {"dawn: 1/2?": other.id}


def test_a_missing_take_cannot_be_locked(store):
    keep(store)
    with pytest.raises(InputError, match="is not there"):
        store.lock("dawn", "0" * 16)


def test_a_damaged_lock_is_an_error_not_an_unlocked_shot(store):
    store.lock("dawn", keep(store).id)
    [file] = (store.folder / "locks").iterdir()
    file.write_text("{")
    with pytest.raises(MPVGError, match=r"lock .* cannot be read"):
        store.locked()


def test_a_take_is_removed_unless_it_is_locked(store):
    take, other = keep(store), keep(store, seed=2)
    store.lock("dawn", take.id)
    with pytest.raises(InputError, match=r"locked for shot 'dawn'; unlock"):
        store.remove(take.id)
    store.remove(other.id)
    assert [left.id for left in store.list()] == [take.id]
    with pytest.raises(InputError, match="is not there"):
        store.remove("..")


def test_a_take_is_committed_once_another_program_lets_go_of_it(store, monkeypatch):
    tries = []

    def rename(source, target):
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(13, "Access is denied")
        os.replace(source, target)

    monkeypatch.setattr(durable, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(takes.os, "rename", rename)
    assert store.get(keep(store).id) is not None
    assert len(tries) == 3


@pytest.mark.parametrize(("system", "raised"), [("posix", True), ("nt", False)])
def test_tensors_that_cannot_be_laid_down_are_forgiven_on_windows_only(store, monkeypatch, system, raised):
    def held(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tensors, "move_into_place", held)
    monkeypatch.setattr(tensors, "os", SimpleNamespace(name=system))
    with pytest.raises(PermissionError) if raised else nullcontext():
        tensors.set_aside(torch.zeros(1), store.sampled("0" * 16), store.scratch)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="needs a user who may not write everywhere")
def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot be written: Permission denied; .*--out"):
        _ = TakeStore(tmp_path / "film").scratch


def test_a_file_in_the_place_of_the_folder_is_said_in_one_line(tmp_path):
    (tmp_path / "film").write_text("")
    with pytest.raises(InputError, match=r"cannot be written: Not a directory; .*--out"):
        _ = TakeStore(tmp_path / "film").scratch
