"""Losses that teach the extractor: what a token looks like, before any picture is made from it.

Learning history end to end from the denoising loss alone fails: the reward for remembering is too faint at first. So
the extractor first learns to see: a remembered token should know how its thing looks, and a token of the current
prompt how its thing will look in the shot to come.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..history.semantics import VideoSemanticExtractor


class Teacher:
    """A slowly moving copy of the extractor that looks at the *current* clip: the target of the prediction.

    MPVG's original took the trained layers themselves as the target, which rewards collapse.
    """

    def __init__(self, extractor: VideoSemanticExtractor, decay: float = 0.99) -> None:
        self.extractor = copy.deepcopy(extractor).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def follow(self, extractor: nn.Module) -> None:
        for own, new in zip(self.extractor.parameters(), extractor.parameters(), strict=True):
            own.lerp_(new, 1 - self.decay)

    @torch.no_grad()
    def target(self, text: Tensor, clip: Tensor, positions: Tensor) -> Tensor:
        """What the current prompt's tokens [B, L, D] see in their own clip [B, T, D_v], [B, L, W]."""
        places = torch.arange(text.shape[1], device=text.device).expand(text.shape[:2])
        return self.extractor.look(text, places, clip, positions)


def prediction_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 - cos, token by token, over the masked tokens of [B, L, W]; both centred on their mean over those tokens.

    Without centring, the large common part of all targets makes any prediction look good.
    """
    own, wanted = predicted[mask], target[mask]
    if len(own) < 2:
        return predicted.sum() * 0.0
    own, wanted = own - own.mean(dim=0), wanted - wanted.mean(dim=0)
    return (1 - functional.cosine_similarity(own, wanted, dim=-1)).mean()


def grounding_loss(read: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error between what a probe reads off tokens [..., C] and what is known of their thing, under
    `mask`."""
    if not bool(mask.any()):
        return read.sum() * 0.0
    return (read[mask] - known[mask]).square().mean()
