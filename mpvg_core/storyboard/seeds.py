"""Every shot's seed, from the board's seed and the shot's name: for ever the same, whatever other shots do."""

from __future__ import annotations

import hashlib


def shot_seed(board_seed: int, name: str) -> int:
    """The first four bytes, big-endian, of sha256 over "mpvg shot seed 1", the seed and the name, a line each."""
    digest = hashlib.sha256(f"mpvg shot seed 1\n{board_seed}\n{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
