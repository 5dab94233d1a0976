"""A space in which the same word is near itself whatever stands around it.

A text encoder's states mix a word with its context; with a small encoder so much that an actor's name is nearer to
another name in its place than to itself elsewhere. Linear discriminant analysis (Fisher 1936, Rao 1948) divides by the
spread that words have around their own mean and keeps only the directions in which the words' means differ: what varies
with the context alone is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 1e-2


@dataclass(frozen=True)
class TokenSpace:
    """centre [D] and turn [D, K]: a state e becomes (e - centre) @ turn."""

    centre: Tensor
    turn: Tensor

    def __call__(self, embeds: Tensor) -> Tensor:
        """embeds [n, D] -> [n, K]."""
        return (embeds.float().cpu() - self.centre) @ self.turn


def fit_token_space(embeds: Tensor, words: Sequence[str]) -> TokenSpace:
    """The space of states [n, D] of tokens with these words, as many prompts as there are say them.

    centre = mean of the words' means; turn = U diag((λ + ridge)^-1/2) V, where U, λ are of the covariance within the
    words and V are the principal directions of the means, so divided: one fewer than there are words, or D. Raises
    ValueError when no word is there twice.
    """
    index = {word: number for number, word in enumerate(dict.fromkeys(words))}
    if len(index) == len(words):
        raise ValueError("a token space needs prompts in which words recur")
    own = torch.tensor([index[word] for word in words])
    states = embeds.double().cpu()
    counts = torch.bincount(own).double()[:, None]
    means = torch.zeros(len(index), states.shape[1], dtype=torch.double).index_add_(0, own, states) / counts
    spread = states - means[own]
    within = spread.T @ spread / len(words)
    values, vectors = torch.linalg.eigh(within)
    scale = (values.clamp(min=0) + RIDGE * values.mean()).rsqrt()
    whiten, centre = vectors * scale, means.mean(dim=0)
    kept = min(len(index) - 1, states.shape[1])
    directions = torch.linalg.svd((means - centre) @ whiten, full_matrices=False).Vh[:kept]
    return TokenSpace(centre.float(), (whiten @ directions.T).float())
