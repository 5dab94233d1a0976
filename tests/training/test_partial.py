"""Training on a part of the video tokens."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.backbone.construct import new_transformer
from mpvg_core.pocket.base import TRANSFORMER, token_subset
from mpvg_core.training.partial import kept_cells, only_tokens


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    return new_transformer({**TRANSFORMER, "num_layers": 2}).eval()


def call(transformer, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    clip = torch.randn(2, 5, 16, 16, 16, generator=generator)
    text = torch.randn(2, 40, 96, generator=generator)
    with torch.no_grad():
        return transformer(clip, text, torch.tensor([10, 900]), return_dict=False)[0]


def test_with_all_tokens_kept_the_transformer_is_the_stock_one(transformer) -> None:
    stock = call(transformer)
    with only_tokens(transformer, torch.arange(320)):
        assert torch.equal(call(transformer), stock)
    assert torch.equal(call(transformer), stock)  # and no hook is left behind


def test_dropped_tokens_are_zero_and_their_cells_marked(transformer) -> None:
    kept = token_subset(torch.Generator().manual_seed(3))
    with only_tokens(transformer, kept):
        out = call(transformer)
    cells = kept_cells(kept, 5, 16, 16, 2).expand_as(out)
    assert (out[cells == 0] == 0).all()
    assert (out[cells == 1] != 0).float().mean() > 0.99


def test_kept_tokens_do_not_see_dropped_ones(transformer) -> None:
    kept = torch.arange(64, 128)  # the second of five latent frames
    generator = torch.Generator().manual_seed(0)
    clip, text = torch.randn(1, 5, 16, 16, 16, generator=generator), torch.randn(1, 40, 96, generator=generator)
    other = clip.clone()
    other[:, [0, 2, 3, 4]] += 1
    with only_tokens(transformer, kept), torch.no_grad():
        first, second = (transformer(c, text, torch.tensor([500]), return_dict=False)[0] for c in (clip, other))
    assert torch.equal(first, second)


def test_which_tokens_are_kept_depends_on_the_draw_alone_and_leaves_whole_frames() -> None:
    kept = token_subset(torch.Generator().manual_seed(1))
    grid = torch.zeros(320).index_fill(0, kept, 1.0).view(5, 8, 8)
    assert torch.equal(kept, token_subset(torch.Generator().manual_seed(1)))
    assert sorted(grid[:, 2:].mean(dim=(1, 2)).tolist()) == [0, 0, 1, 1, 1]
    assert 0 < grid[:, :2].sum() < 40
