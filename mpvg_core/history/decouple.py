"""Step 3, decouple: from the semantics of the prompt's tokens to history tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class HistoryTokens:
    """tokens [N, W] for the injection; N is at most the length of a prompt, however long the film."""

    tokens: Tensor


class DecouplingEncoder(nn.Module):
    """t = LN(GELU(W_t τ)), m = LN(GELU(W_m S)); o = MHA(Q = t, K = V = m); h = LN(GELU(W [o ∘ m]) + m + t).

    The product is MPVG's; the residual m lets a look pass unchanged, t says whose it is: without it two actors' looks
    cannot be told apart. Attention runs along the tokens of one sample, never across the batch.
    """

    def __init__(self, *, text_dim: int, width: int, heads: int = 4) -> None:
        super().__init__()
        self.numbers = {"text_dim": text_dim, "width": width, "heads": heads}
        self.text = nn.Sequential(nn.Linear(text_dim, width), nn.GELU(), nn.LayerNorm(width))
        self.map = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mix = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.out = nn.LayerNorm(width)

    def forward(self, text: Tensor, semantics: Tensor, mask: Tensor) -> Tensor:
        """text [B, L, D], semantics [B, L, W], mask [B, L] (True: a word the past knows something of) -> [B, L, W]."""
        query, values = self.text(text), self.map(semantics)
        hidden = ~(mask | ((torch.arange(mask.shape[1], device=mask.device) == 0) & ~mask.any(dim=1, keepdim=True)))
        seen = self.attention(query, values, values, key_padding_mask=hidden, need_weights=False)[0]
        tokens: Tensor = self.out(self.mix(seen * values) + values + query)
        return tokens
