"""Folder names made of titles: letters of any script stay, path tricks and names reserved by Windows do not."""

from __future__ import annotations

import re
import unicodedata

_RESERVED = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)), *(f"lpt{i}" for i in range(10))}
_LONGEST_IN_BYTES = 96  # a name may hold 255 bytes on ext4 and 143 under eCryptfs; the rest of the path needs room too


def slug_of(title: str) -> str:
    """A portable folder name for `title`: "Die Höhle: 2/3" gives "die-höhle-2-3"; applying it twice changes nothing.

    Letters, marks and digits of every script are kept, in lower case (NFKC); everything else becomes a hyphen. Never
    empty, never begins with a dot or hyphen, never a device name of Windows, at most 96 bytes of UTF-8.
    """
    plain = _lower(title)
    kept = "".join(letter if unicodedata.category(letter)[0] in "LMN" else "-" for letter in plain)
    name = _shortened(re.sub("-{2,}", "-", kept).strip("-")) or "untitled"
    return f"film-{name}" if name in _RESERVED else name


def _lower(text: str) -> str:
    """Lower case in NFKC; a few letters need more than one pass to come to rest."""
    while text != (text := unicodedata.normalize("NFKC", text).lower()):
        pass
    return text


def _shortened(name: str) -> str:
    cut = name.encode("utf-8", "ignore")[:_LONGEST_IN_BYTES].decode("utf-8", "ignore")
    return cut.strip("-")
