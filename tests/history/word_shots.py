"""Texts whose words have vectors of their own, shots to remember, and small adapters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from mpvg_core.backbone.interface import ClipFeatures, TextEmbedding
from mpvg_core.diffusion.inject import ConcatInjection
from mpvg_core.history.adapter import HistoryAdapter
from mpvg_core.history.decouple import DecouplingEncoder
from mpvg_core.history.history import PastShot, PromptHistory
from mpvg_core.history.semantics import VideoSemanticExtractor

LENGTH, TEXT_DIM, VISUAL_DIM, WIDTH = 12, 48, 8, 16


def word_vector(word: str) -> Tensor:
    """The same for the same word, nearly at right angles to those of others; all share a large common part."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return torch.randn(TEXT_DIM, generator=torch.Generator().manual_seed(seed)) + 3


def embed(prompt: str | Sequence[str], length: int = LENGTH) -> TextEmbedding:
    """A hashing embedder: words, an end token, padding."""
    words = prompt.split() if isinstance(prompt, str) else list(prompt)
    pieces = [*words, "</s>", *["<pad>"] * (length - len(words) - 1)]
    assert len(pieces) == length, "the test's prompt is too long"
    return TextEmbedding(
        ids=torch.tensor([int(hashlib.sha256(piece.encode()).hexdigest()[:6], 16) for piece in pieces]),
        embeds=torch.stack([word_vector(piece) for piece in pieces]),
        mask=torch.tensor([index < len(words) for index in range(length)]),
        pieces=tuple(pieces),
    )


def clip(seed: int, tokens: int = 6) -> ClipFeatures:
    generator = torch.Generator().manual_seed(seed)
    return ClipFeatures(
        tokens=torch.randn(tokens, VISUAL_DIM, generator=generator),
        positions=torch.rand(tokens, 3, generator=generator),
    )


def past_of(prompts: Sequence[str], first_seed: int = 0) -> PromptHistory:
    shots = (PastShot(f"shot {i}", embed(prompt), clip(first_seed + i)) for i, prompt in enumerate(prompts))
    return PromptHistory(tuple(shots))


def small_adapter(seed: int = 0) -> HistoryAdapter:
    torch.manual_seed(seed)
    numbers = {"text_dim": TEXT_DIM, "width": WIDTH}
    return HistoryAdapter(
        VideoSemanticExtractor(visual_dim=VISUAL_DIM, max_tokens=LENGTH, heads=2, layers=2, **numbers),
        DecouplingEncoder(heads=2, **numbers),
        ConcatInjection(history_dim=WIDTH, inner_width=8),
    ).eval()
