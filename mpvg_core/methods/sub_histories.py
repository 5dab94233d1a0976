"""Sub-histories for the history guidance family: one shot each (HG-t), or all shots in less detail (HG-f)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..backbone.interface import ClipFeatures, TextEmbedding
from ..diffusion.guidance import Segment
from ..diffusion.inject import HistoryConditioning
from ..errors import InputError, Problem
from ..history.adapter import HistoryAdapter
from ..history.history import PromptHistory
from ..history.select import TokenSelection
from ..storyboard.method import HistoryParts

LESS_DETAIL = "in less detail"
Parts = dict[str, HistoryConditioning | None]


def in_spans(
    adapter: HistoryAdapter,
    history: PromptHistory,
    current: TextEmbedding,
    selection: TokenSelection,
    spans: Sequence[Sequence[int]],
    ages: Sequence[int] | None = None,
) -> Parts:
    """One sub-history for each span of past shots (HG-t): long and short ones, or overlapping short ones.

    spans: positions in `history`, oldest first. The same shots twice are one sub-history. ages: how many shots ago each
    of the history was, which it keeps (None: the last was 1, the one before 2, …). What nothing was selected of is
    None. Raises InputError for a shot that is not there.
    """
    ages = list(range(len(history), 0, -1)) if ages is None else ages
    parts: Parts = {}
    for span in spans:
        chosen = sorted(set(span))
        if not chosen or not 0 <= chosen[0] <= chosen[-1] < len(history):
            expected = f"positions from 0 to {len(history) - 1}"
            raise InputError(Problem("sub-history", f"shots {list(span)}", expected))
        part = PromptHistory(tuple(history.shots[position] for position in chosen))
        name = span_name(part)
        if name not in parts:
            years = [ages[position] for position in chosen]
            parts[name] = _conditioning(adapter, part, current, selection.restricted(chosen), years)
    return parts


def span_name(history: PromptHistory) -> str:
    """The name of a sub-history of these shots, for a guidance `Segment`."""
    return " + ".join(shot.name for shot in history)


def in_less_detail(
    adapter: HistoryAdapter,
    history: PromptHistory,
    current: TextEmbedding,
    selection: TokenSelection,
    *,
    noise: float = 0.0,
    pool: int = 1,
    seed: int = 0,
    ages: Sequence[int] | None = None,
) -> HistoryConditioning | None:
    """The whole history without its fine detail (HG-f): guidance towards it strengthens what is coarse alone, so that
    motion survives strong guidance.

    noise: the level k of 0 (clean) to 1 (pure noise): features sqrt(1 - k) f + sqrt(k) spread ε, ε from `seed`; pool:
    features are averaged over pool x pool neighbours of a frame. Raises InputError for values out of range.
    """
    problems = []
    if not 0.0 <= noise <= 1.0:
        problems.append(Problem("noise of the history", f"{noise}", "a number from 0 to 1"))
    if pool < 1:
        problems.append(Problem("pooling of the history", f"{pool}", "1 or more"))
    if problems:
        raise InputError(problems)
    generator = torch.Generator().manual_seed(seed)
    shots = tuple(replace(shot, clip=_coarse(shot.clip, noise, pool, generator)) for shot in history)
    return _conditioning(adapter, PromptHistory(shots), current, selection, None if ages is None else list(ages))


def family(
    adapter: HistoryAdapter,
    history: PromptHistory,
    current: TextEmbedding,
    selection: TokenSelection,
    ages: Sequence[int],
    how: HistoryParts,
    seed: int,
) -> tuple[Parts, tuple[Segment, ...]]:
    """The sub-histories that a storyboard asks for, and the pulls towards them."""
    newest = list(range(len(history)))[::-1]
    spans = [newest[start : start + how.shots_each] for start in range(0, len(newest), how.shots_each)]
    parts = in_spans(adapter, history, current, selection, spans, ages) if how.scale else {}
    segments = [Segment(how.scale, name, interval=how.interval) for name in parts]
    if how.coarse:
        coarse = in_less_detail(
            adapter, history, current, selection, noise=how.noise, pool=how.pool, seed=seed, ages=ages
        )
        parts[LESS_DETAIL] = coarse
        segments.append(Segment(how.coarse, LESS_DETAIL, interval=how.interval))
    return parts, tuple(segments)


def _coarse(clip: ClipFeatures, noise: float, pool: int, generator: torch.Generator) -> ClipFeatures:
    tokens = clip.tokens.float()
    if noise > 0.0:
        drawn = torch.randn(tokens.shape, generator=generator).to(tokens)
        tokens = (1.0 - noise) ** 0.5 * tokens + noise**0.5 * tokens.std() * drawn
    if pool > 1:
        tokens = tokens.clone()
        for cell in _neighbourhoods(clip.positions, pool):
            tokens[cell] = tokens[cell].mean(dim=0)
    return ClipFeatures(tokens.to(clip.tokens), clip.positions)


def _neighbourhoods(positions: Tensor, pool: int) -> Iterator[Tensor]:
    """Indices of the features of each pool x pool cell of each frame; `positions` [T, 3] are time, row, column."""
    places = torch.stack([positions[:, d].unique(return_inverse=True)[1] for d in range(3)], dim=1)
    places[:, 1:] = places[:, 1:].div(pool, rounding_mode="floor")
    cells, inverse = places.unique(dim=0, return_inverse=True)
    for cell in range(len(cells)):
        yield (inverse == cell).nonzero().flatten()


@torch.no_grad()
def _conditioning(
    adapter: HistoryAdapter,
    history: PromptHistory,
    current: TextEmbedding,
    selection: TokenSelection,
    ages: list[int] | None,
) -> HistoryConditioning | None:
    tokens = adapter.history_tokens(history, current, selection, ages)
    return None if tokens is None else HistoryConditioning(adapter.injection, tokens.tokens[None])
