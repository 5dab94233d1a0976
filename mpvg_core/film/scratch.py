"""A process's own folder for unfinished files: left alone while the process lives, swept by others afterwards.

<parent>/.writing-<token>/ holds the files; <parent>/.writing-<token>.lock is locked by the process, and the system lets
go of it when the process dies, however it dies.
"""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import InputError, Problem
from .durable import remove_tree

_WRITING = ".writing-"


class Scratch:
    """A folder inside `parent`, made when it is first asked for, removed by `close`."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._claimed: tuple[Path, FileLock] | None = None

    @property
    def folder(self) -> Path:
        """The folder. Raises InputError when it cannot be made."""
        if self._claimed is None:
            self._claimed = self._claim()
        return self._claimed[0]

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        if self._claimed is not None:
            folder, alive = self._claimed
            remove_tree(folder)
            _drop(alive)
        self._claimed = None

    def sweep(self) -> int:
        """Remove the folders of dead processes, and say how many there were."""
        found = {path.with_suffix("") for path in self._parent.glob(f"{_WRITING}*")}
        own = self._claimed[0] if self._claimed else None
        return sum(_swept(folder) for folder in sorted(found) if folder != own)

    def _claim(self) -> tuple[Path, FileLock]:
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            while True:
                folder = self._parent / f"{_WRITING}{uuid.uuid4().hex[:12]}"
                alive = FileLock(_lock_file(folder))
                alive.acquire()
                if _lock_file(folder).exists():  # a sweeper may have taken the file in between for a dead one
                    folder.mkdir()
                    return folder, alive
                alive.release()
        except OSError as error:
            raise unwritable(self._parent.parent, error) from error


def require_writable(folder: Path) -> None:
    """Raises InputError when a folder cannot be made or written, as far as can be told without making it."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    code = errno.ENOTDIR if not nearest.is_dir() else 0 if os.access(nearest, os.W_OK | os.X_OK) else errno.EACCES
    if code:
        raise unwritable(folder, OSError(code, os.strerror(code)))


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a folder that cannot be written."""
    what = f"cannot be written: {error.strerror or error}"
    return InputError(Problem(str(path), what, "a folder you may write to", "choose another --out"))


def _swept(folder: Path) -> bool:
    owner = FileLock(_lock_file(folder))
    try:
        owner.acquire(timeout=0)
    except (Timeout, OSError):
        return False  # its process lives, or it is not ours to touch
    existed = folder.exists()
    gone = remove_tree(folder)
    if gone:
        _drop(owner)
    else:
        owner.release()
    return existed and gone


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _drop(lock: FileLock) -> None:
    if os.name != "nt":
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is still held, so that no one can claim the old file
    lock.release(force=True)
    with suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)
