"""Every shot's seed, from the board's seed and the shot's name: for ever the same, whatever other shots do."""

from __future__ import annotations

import hashlib


def shot_seed(board_seed: int, name: str) -> int:
    """The first four bytes, big-endian, of ``sha256("mpvg shot seed 1\\n" board_seed "\\n" name)``: 0 <= seed < 2**32."""
    digest = hashlib.sha256(f"mpvg shot seed 1\n{board_seed}\n{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
