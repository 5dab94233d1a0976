"""Files that are written whole or not at all: flushed to the disk, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Seconds between tries to rename. On Windows a virus scanner, an indexer or a player may hold a file for a moment.
PAUSES: tuple[float, ...] = (0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.4) if os.name == "nt" else ()


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values, equal bytes. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def readable_json(value: Any) -> bytes:
    """UTF-8 JSON for people: indented, keys in the order given."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read a megabyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on the disk. Windows cannot flush a folder, and does not need to."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_into_place(temporary: Path, target: Path) -> None:
    """Flush a finished file and rename it over `target`, on the same filesystem: readers see the old or the new one."""
    sync_file(temporary)
    patiently(os.replace, temporary, target)
    sync_folder(target.parent)


def patiently(rename: Callable[[Path, Path], None], source: Path, target: Path) -> None:
    """`os.rename` or `os.replace`, tried again after each of `PAUSES` while another program holds a file open."""
    for pause in PAUSES:
        try:
            return rename(source, target)
        except PermissionError:
            time.sleep(pause)
    rename(source, target)


def write_whole(target: Path, data: bytes, scratch: Path) -> None:
    """Write `data` to `target` by way of a file of the same name in `scratch`, which lies on the same filesystem."""
    temporary = scratch / f"{target.name}.part"
    temporary.write_bytes(data)
    move_into_place(temporary, target)


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A hidden file beside `target` to be written within the block: afterwards it is `target`; after an error, gone."""
    temporary = target.with_name(f".{target.name}.part")
    try:
        yield temporary
        move_into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_tree(folder: Path) -> bool:
    """Remove a folder and all that is in it; False when something in it is still held open by another program."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return not folder.exists()
    return True
