"""The store of takes: what was filmed, from what, by what; content-addressed, each written whole or not at all.

On disk, in a film's folder::

    takes/<id>/latent.safetensors, clip.mp4, take.json      a finished take; more files may be laid beside them later
    takes/.sampled-<id>.safetensors                         the latent of a take that is still to be decoded
    takes/.writing-<token>/                                 unfinished work of one process
    takes/.writing-<token>.lock                             held by that process as long as it lives
    locks/<shot>.json                                       "this take stays for this shot"
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, MPVGError, Problem
from ..storyboard.slug import slug_of
from .durable import (
    canonical_json,
    patiently,
    readable_json,
    remove_tree,
    sha256_file,
    sync_file,
    sync_folder,
    write_whole,
)
from .scratch import Scratch, unwritable

FORMAT = 1
LATENT, CLIP, MANIFEST = "latent.safetensors", "clip.mp4", "take.json"
_ID = re.compile("[0-9a-f]{16}")


def take_id(inputs: Mapping[str, Any]) -> str:
    """The id of the take made from `inputs`: 16 hex digits of the SHA-256 over their canonical JSON."""
    return hashlib.sha256(canonical_json(inputs)).hexdigest()[:16]


@dataclass(frozen=True)
class Take:
    """A finished take whose manifest was read; `manifest["inputs"]` is what went into it, which its id hashes."""

    id: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def shot(self) -> str:
        return str(self.manifest["shot"])

    @property
    def inputs(self) -> Mapping[str, Any]:
        return dict(self.manifest["inputs"])

    @property
    def latent(self) -> Path:
        return self.folder / LATENT

    @property
    def clip(self) -> Path:
        return self.folder / CLIP

    @property
    def created(self) -> str:
        return str(self.manifest.get("rendered", {}).get("created", ""))


class TakeStore:
    """The takes of one film. Several processes may work in one folder; none sees or sweeps another's unfinished work.

    Reading needs nothing; the first write makes this process's own scratch folder, which `close` (or leaving a `with`
    block) removes and which any later process sweeps if this one is killed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._takes = folder / "takes"
        self._locks = folder / "locks"
        self._scratch = Scratch(self._takes)

    def __enter__(self) -> TakeStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Take | None:
        """The take of this id if it is there and whole, else None."""
        return None if self.fault(id) else self._read(id)

    def fault(self, id: str) -> str | None:
        """What is wrong with a take ("is not there", "clip.mp4 is damaged"), or None when it can be used."""
        if not _ID.fullmatch(id) or not (self._takes / id).is_dir():
            return "is not there"
        try:
            take = self._read(id)
            if take.manifest["version"] != FORMAT:
                return f"has format {take.manifest['version']}, this version of MPVG reads {FORMAT}"
            if take.manifest["id"] != id or take_id(take.inputs) != id:
                return f"{MANIFEST} does not belong to it"
            if take.manifest["seal"] != _seal(take.manifest):
                return f"{MANIFEST} is damaged"
            hashes = dict(take.manifest["files"])
            for name in (LATENT, CLIP):
                if sha256_file(take.folder / name) != hashes[name]:
                    return f"{name} is damaged"
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"cannot be read ({error})"
        return None

    def list(self) -> tuple[Take, ...]:
        """All whole takes, oldest first."""
        if not self._takes.is_dir():
            return ()
        found = (self.get(entry.name) for entry in self._takes.iterdir() if _ID.fullmatch(entry.name))
        return tuple(sorted((take for take in found if take), key=lambda take: (take.created, take.id)))

    def faults(self) -> dict[str, str]:
        """What is wrong with each take that cannot be used, by id."""
        if not self._takes.is_dir():
            return {}
        ids = sorted(entry.name for entry in self._takes.iterdir() if _ID.fullmatch(entry.name))
        return {id: fault for id in ids if (fault := self.fault(id))}

    def _read(self, id: str) -> Take:
        folder = self._takes / id
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if not isinstance(manifest, dict):
            raise ValueError(f"{MANIFEST} is not an object")
        return Take(id, folder, manifest)

    # -- writing ---------------------------------------------------------------------------------------------------

    @property
    def scratch(self) -> Path:
        """This process's folder for unfinished files, on the same filesystem as the takes."""
        return self._scratch.folder

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """An empty folder to make a take in; hand it to `commit`. What is left in it afterwards is removed."""
        folder = self.scratch / uuid.uuid4().hex
        folder.mkdir()
        try:
            yield folder
        finally:
            remove_tree(folder)

    def commit(self, draft: Path, manifest: Mapping[str, Any]) -> Take:
        """Make the files in `draft` a take: complete the manifest, flush all, rename, flush again.

        If another process finished the same take first, that one is kept and returned. `manifest` must hold `shot` and
        `inputs`.
        """
        id = take_id(manifest["inputs"])
        hashes = {name: sha256_file(draft / name) for name in (LATENT, CLIP)}
        whole = {"version": FORMAT, "id": id, **manifest, "files": hashes}
        whole["seal"] = _seal(whole)
        (draft / MANIFEST).write_bytes(readable_json(whole))
        for file in draft.iterdir():
            sync_file(file)
        sync_folder(draft)
        target = self._takes / id
        for _ in range(8):
            try:
                patiently(os.rename, draft, target)
                sync_folder(self._takes)
                self._forget_sampled(id)
                return Take(id, target, whole)
            except OSError as error:
                if not target.exists():
                    raise unwritable(target, error) from error
                if finished := self.get(id):
                    self._forget_sampled(id)
                    return finished
                with suppress(OSError):  # another process may be replacing the same damaged take
                    os.rename(target, self.scratch / f"damaged-{uuid.uuid4().hex}")
        raise MPVGError(f"take {id} is there, damaged, and cannot be replaced; remove {target} by hand")

    def sampled(self, id: str) -> Path:
        """Where the latent of a take in the making waits to be decoded, should decoding fail; gone once the take is."""
        return self._takes / f".sampled-{id}.safetensors"

    def sweep(self) -> int:
        """Remove what killed processes left unfinished, and say how many there were; living ones are left alone."""
        if not self._takes.is_dir():
            return 0
        for waiting in self._takes.glob(".sampled-*.safetensors"):
            if (self._takes / waiting.stem.removeprefix(".sampled-")).exists():
                self._forget_sampled(waiting.stem.removeprefix(".sampled-"))
        return self._scratch.sweep()

    def forget_waiting(self) -> tuple[str, ...]:
        """Remove the latents that wait to be decoded, and give the ids of the takes they would have become."""
        waiting = sorted(path.stem.removeprefix(".sampled-") for path in self._takes.glob(".sampled-*.safetensors"))
        for id in waiting:
            self._forget_sampled(id)
        return tuple(id for id in waiting if not self.sampled(id).exists())

    def _forget_sampled(self, id: str) -> None:
        with suppress(OSError):  # on Windows another process may be reading it; a later sweep takes it away
            self.sampled(id).unlink()

    def close(self) -> None:
        """Remove this process's scratch folder."""
        self._scratch.close()

    # -- locks -----------------------------------------------------------------------------------------------------

    def locked(self) -> dict[str, str]:
        """The locked take's id for each locked shot, by name. Raises MPVGError when a lock cannot be read."""
        locks: dict[str, str] = {}
        for file in sorted(self._locks.glob("*.json")):
            try:
                entry = json.loads(file.read_bytes())
                locks[str(entry["shot"])] = str(entry["take"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise MPVGError(f"the lock {file} cannot be read ({error}); remove it") from error
        return locks

    def lock(self, shot: str, id: str) -> Take:
        """Keep this take for this shot whatever changes. Raises InputError when the take is missing or damaged."""
        if fault := self.fault(id):
            raise InputError(Problem(f"shot {shot!r}", f"take {id} {fault}", "a take of `mpvg takes list`"))
        self._locks.mkdir(exist_ok=True)
        write_whole(self._lock_of(shot), readable_json({"version": 1, "shot": shot, "take": id}), self.scratch)
        return self._read(id)

    def unlock(self, shot: str) -> bool:
        """Let the shot be filmed anew when it changes; False when it was not locked."""
        try:
            self._lock_of(shot).unlink()
        except FileNotFoundError:
            return False
        return True

    def require_removable(self, ids: Iterable[str]) -> None:
        """Raises InputError that names every take which is locked or not there."""
        holders = {id: shot for shot, id in self.locked().items()}
        problems = []
        for id in ids:
            if id in holders:
                problems.append(Problem(f"take {id}", f"is locked for shot {holders[id]!r}", remedy="unlock it first"))
            elif not _ID.fullmatch(id) or not (self._takes / id).exists():
                problems.append(Problem(f"take {id}", "is not there", "an id of `mpvg takes list`"))
        if problems:
            raise InputError(problems)

    def remove(self, id: str) -> None:
        """Delete a take. Raises InputError when it is locked or not there."""
        self.require_removable([id])
        doomed = self.scratch / f"removed-{uuid.uuid4().hex}"
        try:
            patiently(os.rename, self._takes / id, doomed)  # at once, so that nobody meets half a take
        except OSError as error:
            raise unwritable(self._takes / id, error) from error
        remove_tree(doomed)

    def _lock_of(self, shot: str) -> Path:
        # The digest keeps names apart that make the same file name, such as "A?" and "A!".
        return self._locks / f"{slug_of(shot)}-{hashlib.sha256(shot.encode()).hexdigest()[:8]}.json"


def _seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over all of a manifest but its seal."""
    unsealed = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(canonical_json(unsealed)).hexdigest()
