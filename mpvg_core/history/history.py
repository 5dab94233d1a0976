"""The film so far, as later shots see it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ..backbone.interface import ClipFeatures, TextEmbedding


@dataclass(frozen=True)
class PastShot:
    """A finished shot: its prompt as the model read it, what its clip shows, and the take that it is.

    It is encoded once in its life: both parts are kept, and no later shot computes them again.
    """

    name: str
    text: TextEmbedding
    clip: ClipFeatures
    take_id: str = ""


@dataclass(frozen=True)
class PromptHistory:
    """{(P_1, V_1), …, (P_{i-1}, V_{i-1})}, oldest first. Immutable: `append` gives a new one."""

    shots: tuple[PastShot, ...] = ()

    def append(self, shot: PastShot) -> PromptHistory:
        return PromptHistory((*self.shots, shot))

    def restricted(self, names: Collection[str]) -> PromptHistory:
        """Only the shots with these names, in their order."""
        return PromptHistory(tuple(shot for shot in self.shots if shot.name in names))

    def __len__(self) -> int:
        return len(self.shots)

    def __iter__(self) -> Iterator[PastShot]:
        return iter(self.shots)
