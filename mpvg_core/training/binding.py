"""Words find their place: the attention of chosen blocks learns which words speak of which part of the picture.

Denoising alone teaches a small model late *whose* look a word tells: "a red star" is right somewhere in the picture,
whoever it belongs to. So the attention from the video tokens of an actor to the words of all actors is told to end at
its own (token-level supervision of attention maps: TokenCompose, Wang et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Heads:
    """Queries and keys [B, heads, S, d] of the chosen blocks' joint attention, in the order of the blocks."""

    queries: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)


@contextmanager
def watched(transformer: Any, blocks: Sequence[int]) -> Iterator[Heads]:
    """Within, each call of a stock CogVideoX transformer leaves the normalised queries and keys of `blocks`, without
    rotary positions."""
    heads = Heads()
    handles = []
    for index in blocks:
        attention = transformer.transformer_blocks[index].attn1
        handles.append(attention.norm_q.register_forward_hook(lambda *call: heads.queries.append(call[2])))
        handles.append(attention.norm_k.register_forward_hook(lambda *call: heads.keys.append(call[2])))
    try:
        yield heads
    finally:
        for handle in handles:
            handle.remove()


def attention_binding_loss(heads: Heads, words: Tensor, video: Tensor, *, head: int = 0) -> Tensor:
    """How little of the attention of a named part of the picture goes to the words of its name.

    words [B, L], video [B, V]: numbers of what a text token or a video token shows, -1 for nothing. Joint sequences are
    [text | … | video]. loss = −log Σ_{i: same name} softmax_i(q·k_i / √d), the softmax over the whole sequence, a mean
    over video tokens and blocks; only `head` is taught, the others stay free. Zero where no clip has named words.
    """
    length, count = words.shape[1], video.shape[1]
    same = (video[:, :, None] == words[:, None, :]) & (words >= 0)[:, None]
    counts = same.any(dim=2)
    total = heads.queries[0].sum() * 0.0
    if not bool(counts.any()):
        return total
    for query, key in zip(heads.queries, heads.keys, strict=True):
        scores = query[:, head, -count:].float() @ key[:, head].float().transpose(1, 2) / key.shape[-1] ** 0.5
        share = scores.log_softmax(dim=2)[..., :length].masked_fill(~same, -1e4).logsumexp(dim=2)
        total = total - share[counts].mean()
    return total / len(heads.queries)
