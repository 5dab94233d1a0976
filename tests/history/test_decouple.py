"""The decoupler: along the tokens of a sample, never across the batch."""

from __future__ import annotations

import pytest
import torch
from word_shots import LENGTH, TEXT_DIM, WIDTH, small_adapter

MODES = pytest.mark.parametrize("learning", [False, True])


def drawn(seed: int = 0, batch: int = 3):
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(batch, LENGTH, TEXT_DIM, generator=generator)
    semantics = torch.randn(batch, LENGTH, WIDTH, generator=generator)
    mask = torch.arange(LENGTH).expand(batch, -1) < torch.tensor([[4], [1], [7]])
    return text, semantics, mask


def run(text, semantics, mask, learning=False):
    with torch.set_grad_enabled(learning):
        return small_adapter().decoupler(text, semantics, mask).detach()


@MODES
def test_other_samples_of_the_batch_change_nothing(learning):
    text, semantics, mask = drawn()
    before = run(text, semantics, mask, learning)
    others = drawn(1)
    text[1], semantics[1] = others[0][1], others[1][1]
    after = run(text, semantics, mask, learning)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert not torch.allclose(after[1], before[1], atol=1e-2)


@MODES
def test_tokens_of_the_same_sample_do_see_each_other(learning):
    """Attention along the batch axis would leave token 0 as it is."""
    text, semantics, mask = drawn()
    before = run(text, semantics, mask, learning)
    semantics[0, 2] = -semantics[0, 2]
    after = run(text, semantics, mask, learning)
    assert (after[0, 0] - before[0, 0]).abs().max() > 1e-4


@MODES
def test_masked_places_have_no_effect_on_the_others(learning):
    text, semantics, mask = drawn()
    before = run(text, semantics, mask, learning)
    semantics[~mask] = 30.0
    text[~mask] = -30.0
    assert torch.equal(run(text, semantics, mask, learning)[mask], before[mask])


def test_nothing_known_gives_numbers():
    text, semantics, mask = drawn()
    assert torch.isfinite(run(text, semantics, torch.zeros_like(mask))).all()


def test_both_the_word_and_its_look_shape_a_history_token():
    text, semantics, mask = drawn()
    before = run(text, semantics, mask)
    assert (run(text.roll(1, dims=1), semantics, mask) - before).abs().max() > 1e-2
    assert (run(text, semantics.roll(1, dims=1), mask) - before).abs().max() > 1e-2
