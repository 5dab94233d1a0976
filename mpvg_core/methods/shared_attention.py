"""Keep the look of an anchor shot without any training: the new shot's attention also sees tokens of the anchor.

The anchor's finished latents are noised to the level of each step with one fixed noise and run through the transformer
as a reference pass; keys and values of chosen tokens in chosen layers are kept, for that step only, and the new shot's
queries look at them beside their own. The noise level must be the same, since one timestep steers all tokens of a call
and a clean clip among noisy ones is nothing the model knows. Keys are kept after their norm and before their rotary
positions, which they get anew for where they are to stand in the new shot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..diffusion.attention import Replacement, heads, key_mask, normed, projected, replaced, rotate, written
from ..diffusion.predict import Call, Denoiser
from ..diffusion.schedule import Stepper, in_interval, interval_problems
from ..errors import InputError, MPVGError, Problem
from .technique import Technique

Mode = Literal["append", "replace"]
MODES: tuple[str, ...] = get_args(Mode)


class Reference(Denoiser, Protocol):
    """What a reference pass needs of a backbone besides a call: its noise levels."""

    def new_scheduler(self, name: str = "ddim") -> Any: ...


@dataclass(frozen=True)
class Anchor:
    """A finished shot whose look is kept.

    latents: clean, [F, C, h, w] (or [B, F, C, h, w] for B new clips in one call, each with its own). embeds: its own
    prompt, [1, L, D] or [B, L, D]. noise: fixed, like latents; the noise it was made from suits best.
    tokens: which of its tokens are seen, int64 [N] or [B, N], places in (frame, row, column) order; None: all.
    """

    latents: Tensor
    embeds: Tensor
    noise: Tensor
    tokens: Tensor | None = None

    def __post_init__(self) -> None:
        if self.latents.shape != self.noise.shape:
            raise MPVGError(f"An anchor's noise is {list(self.noise.shape)}, its latents {list(self.latents.shape)}.")


@dataclass(frozen=True)
class Sharing:
    """How the anchors are seen.

    strength: 0 not at all (bit for bit the stock model), 1 as the new shot's own tokens; the keys get a bias of
    log(strength), so that a query's attention for the anchors is s A / (B + s A), A and B being what anchors and own
    tokens would get: it grows with s from exactly 0. Beyond 1 anchors count more than the shot's own tokens.
    mode: `append` to the own keys, or `replace` those of the video (no bias then; strength blends the outputs).
    layers: numbers of blocks; None for all. interval: the part of the way from 0 (noise) to 1 (picture).
    text_looks: whether the prompt's tokens see the anchors, too, and not only the video's.
    frame: the latent frame of the new shot at which 5b's rotary positions put all anchor tokens; None: their own.

    Raises InputError naming every field that is wrong.
    """

    strength: float = 1.0
    mode: Mode = "append"
    layers: tuple[int, ...] | None = None
    interval: tuple[float, float] = (0.0, 1.0)
    text_looks: bool = False
    frame: int | None = None

    def __post_init__(self) -> None:
        problems = []
        most = 1.0 if self.mode == "replace" else math.inf
        if not (0.0 <= self.strength <= most and math.isfinite(self.strength)):
            expected = "a number from 0 to 1" if self.mode == "replace" else "0 or more; 1 counts as the shot's own"
            problems.append(Problem("strength of the anchor", f"{self.strength}", expected))
        if self.mode not in MODES:
            problems.append(Problem("shared attention", f"mode {self.mode!r}", f"one of {', '.join(MODES)}"))
        problems += interval_problems("interval of steps", self.interval)
        if problems:
            raise InputError(problems)


def shared_attention(backbone: Reference, anchors: Sequence[Anchor], sharing: Sharing) -> Technique:
    """The new shot sees the anchors as `sharing` says; one more transformer call for each anchor and step.

    Every branch of the guidance sees the same tokens, of the anchor under its own prompt, without history. Kept: the
    chosen layers of one step. Strength 0, no anchor, and steps outside the interval are the stock model bit for bit.
    """
    if not anchors or sharing.strength == 0.0:
        return Technique("shared attention")
    return Technique(
        "shared attention", around=_Sharer(backbone, tuple(anchors), sharing).around, attention=sharing.interval
    )


@dataclass(frozen=True)
class Bank:
    """One layer's keys (normed, not rotated) and values [B, H, N, d] of anchor tokens, and where these stood.

    places [B, N]: in (frame, row, column) order; cells: tokens of a frame.
    """

    key: Tensor
    value: Tensor
    places: Tensor
    cells: int

    def joined(self, other: Bank) -> Bank:
        return Bank(
            torch.cat([self.key, other.key], 2),
            torch.cat([self.value, other.value], 2),
            torch.cat([self.places, other.places], 1),
            self.cells,
        )


@contextmanager
def recorded(
    transformer: Any, layers: Sequence[int], tokens: Tensor | None, cells: int, banks: dict[int, Bank]
) -> Iterator[None]:
    """Within the block each call writes the keys and values of its video `tokens` (None: all) in `layers` to `banks`.

    The call itself is the stock one: hooks read what the attention is given, and are gone afterwards.
    """

    def reader(layer: int) -> Any:
        def read(attn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states = kwargs["hidden_states"]  # [B, S, D]
            rows, count, width = states.shape
            places = torch.arange(count)[None] if tokens is None else torch.atleast_2d(tokens)
            places = places.to(states.device).expand(rows, -1)
            if tokens is not None:
                states = states.gather(1, places[..., None].expand(-1, -1, width))
            key = normed(attn.norm_k, heads(attn, attn.to_k(states)))
            banks[layer] = Bank(key, heads(attn, attn.to_v(states)), places, cells)

        return read

    with ExitStack() as stack:
        for layer in layers:
            attn = transformer.transformer_blocks[layer].attn1
            stack.callback(attn.register_forward_pre_hook(reader(layer), with_kwargs=True).remove)
        yield


@contextmanager
def shown(transformer: Any, banks: dict[int, Bank], sharing: Sharing) -> Iterator[None]:
    """Within the block the attention of these layers sees the banks; afterwards each has its own processor again."""
    with ExitStack() as stack:
        for layer, bank in banks.items():
            stack.enter_context(replaced(transformer.transformer_blocks[layer].attn1, _Looking(bank, sharing)))
        yield


class _Looking(Replacement):
    """An attention processor that does what CogVideoX's own does, and also sees a bank."""

    method = "shared attention"

    def __init__(self, bank: Bank, sharing: Sharing) -> None:
        self.bank, self.sharing = bank, sharing

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        sharing, length = self.sharing, encoder_hidden_states.shape[1]
        query, key, value = projected(attn, encoder_hidden_states, hidden_states, image_rotary_emb)
        rows, _, total, _ = key.shape
        bank_key, bank_value = _for_rows(self.bank.key, rows), _for_rows(self.bank.value, rows)
        if image_rotary_emb is not None:
            stand = self._stand(hidden_states.shape[1]).to(key.device)  # [B, N]
            cos, sin = (_for_rows(table.to(key.device)[stand][:, None], rows) for table in image_rotary_emb)
            bank_key = rotate(bank_key, (cos, sin))
        mask = key_mask(attn, attention_mask, key, self.method)
        own = slice(0, length) if sharing.mode == "replace" else slice(0, total)
        bias = math.log(sharing.strength) if sharing.mode == "append" else 0.0
        seen = scaled_dot_product_attention(
            query if sharing.text_looks else query[:, :, length:],
            torch.cat([key[:, :, own], bank_key], dim=2),
            torch.cat([value[:, :, own], bank_value], dim=2),
            attn_mask=_mask(mask, own, bank_key, bias),
        )
        if not sharing.text_looks:
            text = scaled_dot_product_attention(query[:, :, :length], key, value, attn_mask=mask)
            seen = torch.cat([text, seen], dim=2)
        if sharing.mode == "replace" and sharing.strength < 1.0:
            alone = scaled_dot_product_attention(query, key, value, attn_mask=mask)
            seen = alone + sharing.strength * (seen - alone)
        states = written(attn, seen)
        return states[:, length:], states[:, :length]

    def _stand(self, tokens: int) -> Tensor:
        """Where the bank's tokens stand among the new shot's `tokens`, for their rotary positions."""
        bank = self.bank
        if tokens % bank.cells:
            raise MPVGError(f"The anchor has {bank.cells} tokens a frame, which the new shot's {tokens} do not fit.")
        last = tokens // bank.cells - 1
        frame = (
            bank.places // bank.cells
            if self.sharing.frame is None
            else torch.full_like(bank.places, self.sharing.frame)
        )
        return frame.clamp(0, last) * bank.cells + bank.places % bank.cells


class _Sharer:
    """Runs the reference passes of a step once, and shows their keys and values to all calls of that step."""

    def __init__(self, backbone: Reference, anchors: tuple[Anchor, ...], sharing: Sharing) -> None:
        self.backbone, self.anchors, self.sharing = backbone, anchors, sharing
        self._levels = Stepper(backbone.new_scheduler(), 1)
        self._at: int | None = None
        self._banks: dict[int, Bank] = {}

    @contextmanager
    def around(self, transformer: Any, call: Call) -> Iterator[None]:
        step = call.step
        if not in_interval(step.index, step.steps, self.sharing.interval):
            self._banks, self._at = {}, None
            yield
            return
        if self._at != int(step.timestep):
            self._banks = {}  # the last step's go before this one's come
            self._banks, self._at = self._read(transformer, call), int(step.timestep)
        with shown(transformer, self._banks, self.sharing):
            yield

    def _read(self, transformer: Any, call: Call) -> dict[int, Bank]:
        layers = _layers(transformer, self.sharing.layers)
        joined: dict[int, Bank] = {}
        for number, anchor in enumerate(self.anchors):
            banks = anchor_banks(
                self.backbone, anchor, self._levels, call.step.timestep, layers, branch=f"anchor {number}"
            )
            joined = {layer: joined[layer].joined(bank) for layer, bank in banks.items()} if joined else banks
        return joined


@torch.no_grad()
def anchor_banks(
    backbone: Reference, anchor: Anchor, levels: Stepper, timestep: Tensor, layers: Sequence[int], *, branch: str
) -> dict[int, Bank]:
    """The reference pass: the anchor at `timestep`, one stock call, and the keys and values it had in `layers`."""
    transformer: Any = backbone.transformer
    latents, noise, embeds = (
        part[None] if part.dim() == dims else part
        for part, dims in ((anchor.latents, 4), (anchor.noise, 4), (anchor.embeds, 2))
    )
    noised = levels.noised(latents, noise, timestep)
    side = transformer.config.patch_size
    cells = (latents.shape[-2] // side) * (latents.shape[-1] // side)
    banks: dict[int, Bank] = {}
    with recorded(transformer, layers, anchor.tokens, cells, banks):
        backbone.denoise(noised, timestep.to(noised.device).expand(len(noised)), embeds.to(noised), branch=branch)
    return banks


def _layers(transformer: Any, chosen: tuple[int, ...] | None) -> tuple[int, ...]:
    count = len(transformer.transformer_blocks)
    if chosen is None:
        return tuple(range(count))
    if not chosen or any(not 0 <= layer < count for layer in chosen):
        raise InputError(Problem("layers of the shared attention", f"{chosen}", f"numbers from 0 to {count - 1}"))
    return tuple(sorted(set(chosen)))


def _for_rows(states: Tensor, rows: int) -> Tensor:
    """One row serves all rows of a call; several clips' rows repeat branch by branch, as a batched call has them."""
    if rows % states.shape[0]:
        raise MPVGError(f"Anchors for {states.shape[0]} clips in a call of {rows} rows.")
    times = rows // states.shape[0]
    return states.expand(rows, *states.shape[1:]) if len(states) == 1 else states.repeat(times, 1, 1, 1)


def _mask(mask: Tensor | None, own: slice, bank: Tensor, bias: float) -> Tensor | None:
    """What is added to the scores of [own tokens | bank]: the call's own mask, and `bias` on the bank."""
    if mask is None and bias == 0.0:
        return None
    count = bank.shape[2]
    if mask is None:
        shown = bank.new_zeros(1, 1, 1, own.stop)
    elif mask.dtype == torch.bool:
        shown = torch.zeros_like(mask, dtype=bank.dtype).masked_fill(~mask, -math.inf)[..., own]
    else:
        shown = mask.to(bank.dtype)[..., own]
    return torch.cat([shown, shown.new_full((*shown.shape[:3], count), bias)], dim=-1)
