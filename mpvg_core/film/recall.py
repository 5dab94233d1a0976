"""What a shot remembers, chosen by comparing prompts: no picture is needed for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..history.select import select_tokens

if TYPE_CHECKING:
    from ..backbone.interface import TextEmbedding
    from ..history.select import SelectionSettings, TokenSelection
    from ..history.space import TokenSpace


@dataclass(frozen=True)
class Kept:
    """The tokens kept of one earlier shot; `position` is its place among the shots compared, oldest first."""

    position: int
    tokens: tuple[int, ...]
    pieces: tuple[str, ...]
    serves: tuple[str, ...]  # for each token, the piece of the current prompt it serves


@dataclass(frozen=True)
class Recall:
    """The shots of which words were kept, and the selection restricted to them; both empty when nothing was."""

    kept: tuple[Kept, ...] = ()
    selection: TokenSelection | None = None


def recall(
    texts: Sequence[TextEmbedding],
    current: TextEmbedding,
    settings: SelectionSettings,
    space: TokenSpace | None = None,
) -> Recall:
    """Choose what of earlier prompts (oldest first) matters for the current one, compared in `space`."""
    if not texts:
        return Recall()
    selection = select_tokens(texts, current, settings, space)
    kept = []
    for position, (text, mask, serves) in enumerate(zip(texts, selection.masks, selection.serves, strict=True)):
        tokens = tuple(int(index) for index in mask.nonzero().flatten())
        if tokens:
            pieces = tuple(text.pieces[index] for index in tokens)
            kept.append(Kept(position, tokens, pieces, tuple(current.pieces[int(serves[index])] for index in tokens)))
    if not kept:
        return Recall()
    return Recall(tuple(kept), selection.restricted([entry.position for entry in kept]))
