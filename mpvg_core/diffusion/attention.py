"""Attention: to the history, the steps of CogVideoX's own, which kernel torch uses, and layers that work otherwise for
a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from ..errors import InputError, MPVGError, Problem

_KERNELS: dict[str, SDPBackend] = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
ATTENTION_BACKENDS: tuple[str, ...] = ("auto", *_KERNELS)


def decoupled_attention(query: Tensor, key: Tensor, value: Tensor, gate: Tensor, mask: Tensor | None = None) -> Tensor:
    """tanh(g) SDPA(q, K_h, V_h): what the history adds to a block's own attention (as in IP-Adapter, gated per head).

    query [B, H, S, d], key and value [B, H, N, d], gate [H], mask [B, N] bool (True: may be seen) -> [B, H, S, d].
    A row of the batch whose mask is all False gets exactly zero.
    """
    if mask is None:
        seen = scaled_dot_product_attention(query, key, value)
    else:
        some = mask.any(dim=1)
        # A softmax over nothing is NaN: such rows look at everything and are then multiplied by zero.
        visible = mask | ~some[:, None]
        seen = scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None, :])
        seen = seen * some.to(seen.dtype)[:, None, None, None]
    return torch.tanh(gate).to(seen.dtype)[None, :, None, None] * seen


def rotate(states: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions, RoFormer: (x_2k, x_2k+1) turned by its angle, x cos + (-x_2k+1, x_2k) sin, in float32.

    states [B, H, S, d], rotary = (cos, sin), each [S, d] -> [B, H, S, d].
    """
    cos, sin = (table.to(states.device, torch.float32) for table in rotary)
    even, odd = states.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return (states.float() * cos + turned * sin).to(states.dtype)


def heads(attn: Any, states: Tensor) -> Tensor:
    """States [B, S, H d] as the heads of the layer `attn` see them: [B, H, S, d]."""
    return states.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


def normed(norm: Any, states: Tensor) -> Tensor:
    """Queries or keys through their layer's norm, if it has one."""
    found: Tensor = states if norm is None else norm(states)
    return found


def written(attn: Any, states: Tensor) -> Tensor:
    """What the heads have seen [B, H, S, d] through the layer's own output projection: [B, S, D]."""
    found: Tensor = attn.to_out[1](attn.to_out[0](states.transpose(1, 2).flatten(2)))
    return found


def projected(
    attn: Any, text: Tensor, video: Tensor, rotary: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [B, H, L + S, d] of [text | video], text [B, L, D] and video [B, S, D], as CogVideoX's
    own attention has them: queries and keys normed, those of the video turned by their rotary positions."""
    states, length = torch.cat([text, video], dim=1), text.shape[1]
    query, key = (
        normed(norm, heads(attn, project(states)))
        for norm, project in ((attn.norm_q, attn.to_q), (attn.norm_k, attn.to_k))
    )
    if rotary is not None:
        query, key = (
            torch.cat([part[:, :, :length], rotate(part[:, :, length:], rotary)], dim=2) for part in (query, key)
        )
    return query, key, heads(attn, attn.to_v(states))


def key_mask(attn: Any, mask: Tensor | None, keys: Tensor, method: str) -> Tensor | None:
    """A call's mask over `keys` [B, H, K, d], made for the layer `attn`: [B, H, 1, K]; None for none.

    Raises MPVGError, naming the method, for a mask that hides a key from some queries only.
    """
    if mask is None:
        return None
    batch, _, count, _ = keys.shape
    made: Tensor = attn.prepare_attention_mask(mask, count, batch).view(batch, attn.heads, -1, count)
    if made.shape[2] != 1:
        name = method[0].upper() + method[1:]
        raise MPVGError(f"{name} goes with masks that hide keys from all queries alike, and no others.")
    return made


@contextmanager
def attention_backend(
    name: str = "auto", device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Iterator[None]:
    """Within the block torch's attention uses the named kernel: auto (torch chooses), math, flash, cudnn or efficient.

    The kernel is tried on a few numbers of `dtype` on `device` first. Raises InputError for an unknown name, MPVGError
    when this machine cannot run the kernel.
    """
    if name == "auto":
        yield
        return
    if name not in _KERNELS:
        raise InputError(
            Problem("attention backend", f"{name!r} is unknown", f"one of {', '.join(ATTENTION_BACKENDS)}")
        )
    with sdpa_kernel(_KERNELS[name]):
        probe = torch.zeros(1, 1, 16, 64, device=device, dtype=dtype)
        try:
            scaled_dot_product_attention(probe, probe, probe)
        except RuntimeError as error:
            precision = str(dtype).removeprefix("torch.")
            raise MPVGError(
                f"The attention backend {name!r} cannot run on {device} in {precision}; choose 'auto' or another dtype."
            ) from error
        yield


class Replacement:
    """An attention processor that a method puts in place of a layer's own for a while; `method` names it."""

    method: str


@contextmanager
def replaced(attn: Any, processor: Replacement) -> Iterator[None]:
    """Within the block the layer `attn` works by `processor`; afterwards, come what may, by its own again.

    Raises MPVGError where another method has replaced it already: the one within would undo the one around it.
    """
    own = attn.processor
    if isinstance(own, Replacement):
        raise MPVGError(
            f"{own.method} and {processor.method} both replace the attention of the same layers; leave one out, or "
            "give them different layers."
        )
    attn.set_processor(processor)
    try:
        yield
    finally:
        attn.set_processor(own)
