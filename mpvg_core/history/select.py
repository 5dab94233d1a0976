"""Step 1, select: which tokens of the past prompts matter for the current one. Forgetting on purpose.

Needs only texts, so what a film will remember is known before a single frame is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from ..backbone.interface import TextEmbedding
from ..errors import InputError, Problem
from .budget import share_budget
from .space import TokenSpace

# Words without a look of their own; punctuation is left out by its own rule.
_STOP_WORDS = """
a an the and or of in on at to by for from with is are was were be been it its this that these those there here then
next we see he she they his her their as into over under up down out off not no
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
_T = TypeVar("_T")
ReferenceName = Literal["newest", "oldest"]
REFERENCES: tuple[str, ...] = get_args(ReferenceName)
_WORD_START = "▁"  # of a SentencePiece piece; vocabularies of whole words do without


@dataclass(frozen=True)
class SelectionSettings:
    """threshold: least cosine similarity of a kept token to a token it serves, in -1..1 (above 1 nothing is kept).

    budget: most tokens kept of all past shots together, shared out from the reference shots on (see budget.py).
    reference: which shot speaks for a thing that several showed. `newest` follows what changes, but copies copies, so
    that faults add up over a long film; `oldest` goes back to where the thing was first seen.
    Raises InputError for a threshold below -1, a negative budget or an unknown reference.
    """

    threshold: float = 0.6
    budget: int = 64
    reference: ReferenceName = "newest"

    def __post_init__(self) -> None:
        problems = []
        if math.isnan(self.threshold) or self.threshold < -1:
            problems.append(Problem("selection", f"a threshold of {self.threshold}", "-1 or more"))
        if self.budget < 0:
            problems.append(Problem("selection", f"a budget of {self.budget} tokens", "0 or more"))
        if self.reference not in REFERENCES:
            expected = f"one of {', '.join(REFERENCES)}"
            problems.append(Problem("selection", f"a reference {self.reference!r}", expected))
        if problems:
            raise InputError(problems)


@dataclass(frozen=True)
class TokenSelection:
    """What is kept of each past shot, oldest first.

    masks [L] bool: True for kept tokens; scores [L]: each token's best similarity to a token of the current prompt
    (-inf for tokens never chosen); serves [L] int64: the current token it serves best (-1: none); reaches [L, L_now]
    bool: all current tokens of which it tells something ("actor" tells of every actor in the prompt).
    """

    masks: tuple[Tensor, ...]
    scores: tuple[Tensor, ...]
    serves: tuple[Tensor, ...]
    reaches: tuple[Tensor, ...]

    @property
    def count(self) -> int:
        """How many tokens are kept in all."""
        return sum(int(mask.sum()) for mask in self.masks)

    @property
    def served(self) -> tuple[int, ...]:
        """The tokens of the current prompt of which the past knows something, in order."""
        reached = [reach[mask].any(dim=0) for mask, reach in zip(self.masks, self.reaches, strict=True)]
        return tuple(torch.stack(reached).any(dim=0).nonzero().flatten().tolist()) if reached else ()

    def restricted(self, positions: Sequence[int]) -> TokenSelection:
        """Only these past shots."""
        parts = (self.masks, self.scores, self.serves, self.reaches)
        return TokenSelection(*(tuple(part[p] for p in positions) for part in parts))


def select_tokens(
    past: Sequence[TextEmbedding],
    current: TextEmbedding,
    settings: SelectionSettings | None = None,
    space: TokenSpace | None = None,
) -> TokenSelection:
    """Choose tokens of the past prompts (oldest first) by their similarity to the current prompt's tokens.

    Token vectors e (past) and c (current) are centred on the mean of all of them, since text encoders' states share a
    large common part, and normalised; s(k, j) = max_i <e_j^k, c_i>. With `space`, an adapter's own, they are turned
    into that space instead of centred. Shots are visited from the newest to the oldest ("keep only the last clip"), or
    the other way round if the reference is the oldest: a token is kept if s >= threshold for some current token that no
    shot visited before has covered. What is over a shot's share of the budget is dropped, lowest s first. Padding,
    specials, punctuation and stop words are never chosen.
    """
    settings = settings or SelectionSettings()
    usable = [telling_tokens(text) for text in past]
    goal = telling_tokens(current)
    vectors, aims = _unit_vectors(
        [text.embeds[keep] for text, keep in zip(past, usable, strict=True)], current.embeds[goal], space
    )
    goal_index = goal.nonzero().flatten()
    covered = torch.zeros(len(aims), dtype=torch.bool)
    masks, scores, serves, reaches = [], [], [], []
    for text, keep, own in _in_order(list(zip(past, usable, vectors, strict=True)), settings):
        # (past tokens, current tokens); rounded, so that equal vectors have a similarity of exactly 1
        similarity = (own @ aims.T).round(decimals=5).clamp(-1, 1)
        score = torch.full((len(text.ids),), -torch.inf)
        serve = torch.full((len(text.ids),), -1)
        reach = torch.zeros(len(text.ids), len(current.ids), dtype=torch.bool)
        if similarity.numel():
            score[keep] = similarity.amax(dim=1)
            near = (similarity >= settings.threshold) & ~covered
            chosen = keep.nonzero().flatten()[near.any(dim=1)]
            best = similarity.masked_fill(covered, -torch.inf).argmax(dim=1)
            serve[chosen] = goal_index[best[near.any(dim=1)]]
            reach[chosen[:, None], goal_index] = near[near.any(dim=1)]
            covered = covered | near.any(dim=0)
        masks.append(serve >= 0)
        scores.append(score)
        serves.append(serve)
        reaches.append(reach)
    found = TokenSelection(*(tuple(_in_order(part, settings)) for part in (masks, scores, serves, reaches)))
    return _within_budget(found, settings)


def _in_order(shots: Sequence[_T], settings: SelectionSettings) -> list[_T]:
    """From the order of the film to that of the visits, and back."""
    return list(shots) if settings.reference == "oldest" else list(shots)[::-1]


def telling_tokens(text: TextEmbedding) -> Tensor:
    """Which tokens belong to words that tell something, bool [L]: no stop words, no signs alone, no padding."""
    mask = text.mask.cpu()
    telling = torch.zeros(len(text.pieces), dtype=torch.bool)
    for word in _words(text.pieces, mask.tolist()):
        spelling = "".join(text.pieces[index] for index in word).replace(_WORD_START, "").casefold()
        telling[word] = any(sign.isalnum() for sign in spelling) and spelling not in STOP_WORDS
    return mask & telling


def _words(pieces: Sequence[str], mask: Sequence[bool]) -> list[list[int]]:
    """The indices of the pieces of each word; a sign is a word of its own: "▁the" is one, "▁the", "sis" are another."""
    parted = any(piece.startswith(_WORD_START) for piece in pieces)
    words: list[list[int]] = []
    joins = False
    for index, piece in enumerate(pieces):
        letters = mask[index] and any(sign.isalnum() for sign in piece)
        if joins and letters and not piece.startswith(_WORD_START):
            words[-1].append(index)
        else:
            words.append([index])
        joins = parted and letters
    return words


def _unit_vectors(past: Sequence[Tensor], current: Tensor, space: TokenSpace | None) -> tuple[list[Tensor], Tensor]:
    everything = torch.cat([*past, current]).float().cpu()
    if not len(everything):
        return [vectors.float().cpu() for vectors in past], current.float().cpu()
    centred = everything - everything.mean(dim=0) if space is None else space(everything)
    size = centred.norm(dim=1, keepdim=True)
    # A vector that *is* the mean has no direction left: it is like its equals, and like nothing else.
    lost = (size <= 1e-5 * everything.norm(dim=1, keepdim=True).clamp(min=1e-20)).float()
    units = torch.cat([centred / size.clamp(min=1e-20) * (1 - lost), lost], dim=1)
    parts = list(units.split([*(len(vectors) for vectors in past), len(current)]))
    return parts[:-1], parts[-1]


def _within_budget(found: TokenSelection, settings: SelectionSettings) -> TokenSelection:
    # share_budget favours the last of its list; the favourites here are the shots visited first.
    counts = _in_order([int(mask.sum()) for mask in found.masks], settings)[::-1]
    shares = _in_order(share_budget(counts, settings.budget)[::-1], settings)
    masks, serves = [], []
    for share, mask, score, serve in zip(shares, found.masks, found.scores, found.serves, strict=True):
        order = score.masked_fill(~mask, -torch.inf).argsort(descending=True, stable=True)[:share]
        kept = torch.zeros_like(mask)
        kept[order] = True
        masks.append(kept & mask)
        serves.append(serve.masked_fill(~masks[-1], -1))
    return TokenSelection(tuple(masks), found.scores, tuple(serves), found.reaches)
