"""Where the parts of a storyboard were written, so that every problem can name its file and line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[int | str, ...]
"""The way to a part of a board: ``("shots", 2, "prompt")``."""


@dataclass(frozen=True, eq=False)
class Origin:
    """A source's name and the line of each part in it.

    All origins are equal: a board is the same board wherever it was written.
    """

    source: str = "<storyboard>"
    lines: Mapping[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of the nearest part that holds it; None if the source has no lines."""
        while True:
            if path in self.lines:
                return self.lines[path]
            if not path:
                return None
            path = path[:-1]

    def where(self, path: Path, label: str = "") -> str:
        """``file:line: label``, as far as each is known."""
        line = self.line(path)
        place = self.source if line is None else f"{self.source}:{line}"
        return f"{place}: {label}" if label else place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0
