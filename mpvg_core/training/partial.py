"""Training on a part of the video tokens: cheaper steps, the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def only_tokens(transformer: Any, kept: Tensor) -> Iterator[None]:
    """Within, a stock CogVideoX transformer computes the video tokens `kept` [n] (indices) alone; the others come out
    as zero.

    Every token knows its place, so that dropping some shortens the sequence and changes nothing else (masked training
    of diffusion transformers: Zheng et al. 2023). Which tokens are kept must not depend on the sample, or their places
    would tell of its contents.
    """
    total = 0
    kept = kept.to(next(transformer.parameters()).device)

    def drop(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        nonlocal total
        text = inputs[0].shape[1]
        total = output.shape[1] - text
        return torch.cat([output[:, :text], output[:, text:][:, kept]], dim=1)

    def restore(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        whole = output.new_zeros(len(output), total, output.shape[2])
        return whole.index_copy(1, kept, output)

    hooks = [
        transformer.patch_embed.register_forward_hook(drop),
        transformer.proj_out.register_forward_hook(restore),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def kept_cells(kept: Tensor, frames: int, height: int, width: int, patch: int) -> Tensor:
    """The latent cells [1, F, 1, H, W] that the tokens `kept` cover: 1.0, the others 0.0; H and W in cells."""
    tokens = torch.zeros(frames * (height // patch) * (width // patch))
    tokens[kept] = 1.0
    grid = tokens.view(1, frames, 1, height // patch, width // patch)
    return grid.repeat_interleave(patch, dim=3).repeat_interleave(patch, dim=4)
