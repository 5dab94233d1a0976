"""Decoupled attention, rotary positions and the choice of a kernel."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend
from torch.nn.functional import scaled_dot_product_attention

from mpvg_core.diffusion.attention import attention_backend, decoupled_attention, rotate
from mpvg_core.errors import InputError, MPVGError


@pytest.fixture
def states(normal):
    """query [2, 4, 5, 16], key and value [2, 4, 3, 16]."""
    return normal(1, 2, 4, 5, 16), normal(2, 2, 4, 3, 16), normal(3, 2, 4, 3, 16)


def test_each_head_is_gated_by_the_hyperbolic_tangent_of_its_gate(states):
    query, key, value = states
    gate = torch.tensor([0.0, 0.5, -1.0, 30.0])
    plain = torch.softmax(query @ key.transpose(-1, -2) / 4, dim=-1) @ value
    found = decoupled_attention(query, key, value, gate)
    for head, factor in enumerate(gate.tanh()):
        assert torch.allclose(found[:, head], factor * plain[:, head], atol=1e-6)
    assert torch.equal(found[:, 0], torch.zeros_like(found[:, 0]))


def test_a_row_that_may_see_nothing_gets_zero_and_finite_gradients(states):
    query, key, value = (tensor.requires_grad_() for tensor in states)
    mask = torch.tensor([[False, False, False], [True, False, True]])
    found = decoupled_attention(query, key, value, torch.ones(4), mask)
    assert torch.equal(found[0], torch.zeros_like(found[0]))
    kept = decoupled_attention(query[1:], key[1:, :, [0, 2]], value[1:, :, [0, 2]], torch.ones(4))
    assert torch.allclose(found[1:], kept, atol=1e-6)
    found.sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (query, key, value))


def test_rotation_is_that_of_the_stock_processor(states, normal):
    from diffusers.models.embeddings import apply_rotary_emb

    angles = normal(4, 5, 8).repeat_interleave(2, dim=1)
    rotary = (angles.cos(), angles.sin())
    for dtype in (torch.float32, torch.bfloat16):
        query = states[0].to(dtype)
        assert torch.equal(rotate(query, rotary), apply_rotary_emb(query, rotary))


def enabled():
    return {
        SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled(),
        SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled(),
    }


def test_the_chosen_kernel_holds_within_the_block_only(states):
    before = enabled()
    with attention_backend("math"):
        assert enabled() == {SDPBackend.MATH: True, SDPBackend.FLASH_ATTENTION: False}
        math = scaled_dot_product_attention(*states)
    with attention_backend("flash"):
        assert enabled() == {SDPBackend.MATH: False, SDPBackend.FLASH_ATTENTION: True}
        flash = scaled_dot_product_attention(*states)
    with attention_backend("auto"):
        assert enabled() == before
    assert enabled() == before
    assert torch.allclose(math, flash, atol=1e-6)


def test_a_kernel_this_machine_lacks_is_refused_in_words_and_nothing_stays_set():
    before = enabled()
    with pytest.raises(MPVGError, match="'cudnn' cannot run on cpu in float32"), attention_backend("cudnn"):
        pytest.fail("the block must not run")
    assert enabled() == before


def test_an_error_within_the_block_is_not_taken_for_a_missing_kernel():
    with pytest.raises(RuntimeError, match="boom"), attention_backend("math"):
        raise RuntimeError("boom")


def test_an_unknown_kernel_is_an_error_that_lists_the_known():
    with pytest.raises(InputError, match="auto, math, flash, cudnn, efficient"), attention_backend("xformers"):
        pass
