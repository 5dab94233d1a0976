"""The space in which a word is near itself whatever stands around it."""

from __future__ import annotations

import pytest
import torch
from word_shots import LENGTH, TEXT_DIM, embed, small_adapter, word_vector

from mpvg_core.backbone.interface import TextEmbedding
from mpvg_core.history.adapter import HistoryAdapter, load_adapter, save_adapter
from mpvg_core.history.select import SelectionSettings, select_tokens
from mpvg_core.history.space import TokenSpace, fit_token_space

NAMES = ["cat", "dog", "bird", "fish", "boat"]
CONTEXT = torch.randn(3, TEXT_DIM, generator=torch.Generator().manual_seed(1)) * 4


def in_context(prompt: str, seed: int) -> TextEmbedding:
    """Words whose states vary, all in the same few directions, far more than they differ."""
    text = embed(prompt)
    mood = torch.randn(LENGTH, 3, generator=torch.Generator().manual_seed(seed))
    return TextEmbedding(text.ids, text.embeds + mood @ CONTEXT, text.mask, text.pieces)


def fitted() -> TokenSpace:
    words = NAMES * 30
    mood = torch.randn(len(words), 3, generator=torch.Generator().manual_seed(2))
    return fit_token_space(torch.stack([word_vector(word) for word in words]) + mood @ CONTEXT, words)


def kept_words(space, seed):
    past = [in_context("cat fish", seed), in_context("boat dog", seed + 1)]
    found = select_tokens(past, in_context("bird cat boat", seed + 2), SelectionSettings(), space)
    return [[t.pieces[i] for i in m.nonzero().flatten().tolist()] for t, m in zip(past, found.masks, strict=True)]


def test_words_are_known_again_in_other_contexts_only_in_a_space_of_their_own():
    space = fitted()
    wanted = [["cat"], ["boat"]]
    assert [kept_words(space, seed) for seed in range(0, 30, 3)] == [wanted] * 10
    assert sum(kept_words(None, seed) == wanted for seed in range(0, 30, 3)) < 5


def test_a_space_needs_words_that_recur():
    with pytest.raises(ValueError, match="in which words recur"):
        fit_token_space(torch.randn(3, 4), ["a", "b", "c"])


def test_an_adapter_keeps_its_space_in_its_file(tmp_path):
    base, space = small_adapter(), fitted()
    adapter = HistoryAdapter(base.extractor, base.decoupler, base.injection, space=space)
    save_adapter(adapter, tmp_path / "a", dtype=torch.float32)
    loaded = load_adapter(tmp_path / "a")
    assert loaded.space is not None
    assert torch.equal(loaded.space.turn, space.turn) and torch.equal(loaded.space.centre, space.centre)
    assert loaded.fingerprint == adapter.fingerprint != base.fingerprint
    assert base.space is None
    save_adapter(base, tmp_path / "b")
    assert load_adapter(tmp_path / "b").space is None
