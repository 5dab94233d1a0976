"""Boxes as regional object tokens: an entity's words, seen only by the video tokens inside its box, and seeing only
these.

Each region's words go through the transformer as further text tokens. In every block's joint attention

    video token inside the boxes of regions R:   softmax over [text | video | objects of R]
    object token of region r:                    softmax over [its own region's words | video inside the box of r]
    text, and video outside all boxes:           softmax over [text | video], as without regions

so that a region acts outside its box only by way of the video tokens inside it. The stock attention runs untouched; the
rows inside boxes are then computed again with the further keys, which needs no mask of all tokens by all tokens.
Training-free: whether a model obeys is the model's matter.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..diffusion.attention import heads, normed, rotate, written
from ..diffusion.frames import TEMPORAL_COMPRESSION
from ..diffusion.predict import Call
from ..diffusion.schedule import in_interval, interval_problems
from ..errors import InputError, MPVGError, Problem
from ..storyboard.layout import Track, box_at
from .technique import Technique

NAME = "regions"


@dataclass(frozen=True)
class Region:
    """An entity's words as the text encoder embeds them, [n, D_text], and its boxes over time."""

    words: Tensor
    track: Track


@dataclass(frozen=True)
class Regions:
    """How regions act.

    strength: 0 not at all (bit for bit the stock model), 1 as much as any text token; the object keys get a bias of
    log(strength). interval: the part of the way from 0 (noise) to 1 (picture); the layout is settled early.

    Raises InputError naming every field that is wrong.
    """

    strength: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        problems = []
        if not (0.0 <= self.strength < math.inf):
            problems.append(Problem("strength of the regions", f"{self.strength}", "0 or more; 1 counts as a word"))
        problems += interval_problems("interval of steps", self.interval)
        if problems:
            raise InputError(problems)


def latent_times(latents: int, temporal_compression: int = TEMPORAL_COMPRESSION) -> tuple[float, ...]:
    """The middle of the pixel frames that each latent frame describes, as parts of the clip: 0 = first, 1 = last frame.

    Latent 0 is pixel frame 0, latent i is frames c(i-1)+1 to ci, whose middle is c i - (c-1)/2, of c(F-1).
    """
    if latents == 1:
        return (0.0,)
    c = temporal_compression
    middles = (0.0, *(c * i - (c - 1) / 2 for i in range(1, latents)))
    return tuple(middle / (c * (latents - 1)) for middle in middles)


def inside(track: Track, times: Sequence[float], rows: int, columns: int) -> Tensor:
    """Which tokens have their middle in the box, bool [F, rows, columns]; a box holds its left and upper edge."""
    down = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    across = (torch.arange(columns, dtype=torch.float64) + 0.5) / columns
    frames = []
    for time in times:
        x, y, w, h = box_at(track, time)
        in_rows, in_columns = (down >= y) & (down < y + h), (across >= x) & (across < x + w)
        frames.append(in_rows[:, None] & in_columns)
    return torch.stack(frames)


def box_clip(
    layout_tracks: Sequence[Track], frames: int, height: int, width: int, colours: Sequence[tuple[int, int, int]] = ()
) -> Tensor:
    """The boxes drawn as a clip, uint8 [T, H, W, 3]: each filled with a colour of its own, on black, later ones on top.

    What a control adapter for boxes is shown. colours: RGB for each track; by default far apart in hue.
    """
    clip = torch.zeros(frames, height, width, 3, dtype=torch.uint8)
    times = [frame / max(frames - 1, 1) for frame in range(frames)]
    for index, track in enumerate(layout_tracks):
        colour = colours[index] if colours else _hue(index)
        clip[inside(track, times, height, width)] = torch.tensor(colour, dtype=torch.uint8)
    return clip


def regions(
    entities: Sequence[Region],
    size: tuple[int, int, int],
    settings: Regions | None = None,
    *,
    temporal_compression: int = TEMPORAL_COMPRESSION,
) -> Technique:
    """Brings each entity's words into its box, in the branches that see the prompt.

    size: (F, h, w) of the whole clip's latents; a window of it is asked about its own frames. Strength 0, boxes that
    hold no token, and steps outside the interval are the stock model bit for bit.

    Cannot be combined with a method that puts an attention processor of its own in place (raises InputError).
    """
    settings = settings or Regions()
    if settings.strength == 0.0 or not entities:
        return Technique(NAME)
    placing = _Placing(tuple(entities), size, settings, temporal_compression)
    return Technique(NAME, around=placing.around, attention=settings.interval)


@dataclass(frozen=True)
class _Placing:
    entities: tuple[Region, ...]
    size: tuple[int, int, int]
    settings: Regions
    temporal_compression: int

    @contextmanager
    def around(self, transformer: Any, call: Call) -> Iterator[None]:
        told = [branch.text == "positive" for branch in call.branches]
        if any(told) and in_interval(call.step.index, call.step.steps, self.settings.interval):
            found = [(region, tokens) for region, tokens in self._tokens(transformer, call) if bool(tokens.any())]
            if found:
                words = [
                    transformer.patch_embed.text_proj(region.words.to(_weight(transformer))) for region, _ in found
                ]
                with placed(transformer, words, [tokens for _, tokens in found], told, self.settings.strength):
                    yield
                return
        yield

    def _tokens(self, transformer: Any, call: Call) -> Iterator[tuple[Region, Tensor]]:
        frames, height, width = self.size
        times = latent_times(frames, self.temporal_compression)
        if call.frames is not None:
            times = times[call.frames.start : call.frames.stop]
        patch = transformer.config.patch_size
        for region in self.entities:
            yield region, inside(region.track, times, height // patch, width // patch).flatten()


@contextmanager
def placed(
    transformer: Any, words: Sequence[Tensor], tokens: Sequence[Tensor], told: Sequence[bool], strength: float
) -> Iterator[None]:
    """Within the block every call of `transformer` sees the regions; afterwards no hook is left.

    words: of each region [n, D], as wide as the blocks; tokens: of each region, bool [S] over the video tokens. told:
    which of the call's branches see them, in the order of its rows.
    """
    objects = torch.cat(list(words))  # [N, D]
    spans, start = [], 0
    for own in words:
        spans.append(slice(start, start + len(own)))
        start += len(own)
    blocks = list(transformer.transformer_blocks)
    for block in blocks:
        _require_stock(block.attn1)
    seen = _Seen(_Where([token.cpu() for token in tokens], spans))

    def append(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        text = kwargs["encoder_hidden_states"]
        seen.begin(text)
        own = objects.to(text).expand(text.shape[0], -1, -1)
        return args, {**kwargs, "encoder_hidden_states": torch.cat([text, own], dim=1)}

    def drop(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        video, text = output
        return video, _without(text, 1, seen.length, start)

    with ExitStack() as stack:
        stack.callback(blocks[0].register_forward_pre_hook(append, with_kwargs=True).remove)
        stack.callback(blocks[-1].register_forward_hook(drop, with_kwargs=True).remove)
        for block in blocks:
            look = _Look(seen, told, strength)
            stack.callback(block.attn1.register_forward_pre_hook(look.before, with_kwargs=True).remove)
            stack.callback(block.attn1.register_forward_hook(look.after, with_kwargs=True).remove)
        yield


class _Seen:
    """What all blocks know of the call under way: the length of its text, and who sees whom, on the call's device.

    That is not where the words were read: the weights of a model that does not fit wait elsewhere.
    """

    def __init__(self, where: _Where) -> None:
        self._known, self.where, self.length = where, where, 0

    def begin(self, text: Tensor) -> None:
        self.length = text.shape[1]
        if self.where.device != text.device:
            self.where = self._known.on(text.device)


class _Where:
    """Which video tokens see which object tokens; tokens that see the same ones are looked after together."""

    def __init__(self, tokens: Sequence[Tensor], spans: Sequence[slice]) -> None:
        self.spans, self.count, self.device = tuple(spans), spans[-1].stop, torch.device("cpu")
        self.members = tuple(member.nonzero().flatten() for member in tokens)
        patterns = torch.stack(list(tokens), dim=1)  # [S, R]
        seen = torch.unique(patterns[patterns.any(dim=1)], dim=0)
        self.groups = tuple(
            ((patterns == pattern).all(dim=1).nonzero().flatten(), self._objects(pattern)) for pattern in seen
        )

    def on(self, device: torch.device) -> _Where:
        """The same, for calls on this device."""
        moved = copy(self)
        moved.device, moved.members = device, tuple(member.to(device) for member in self.members)
        moved.groups = tuple((tokens.to(device), objects.to(device)) for tokens, objects in self.groups)
        return moved

    def _objects(self, pattern: Tensor) -> Tensor:
        spans = [span for span, sees in zip(self.spans, pattern.tolist(), strict=True) if sees]
        return torch.cat([torch.arange(span.start, span.stop, device=pattern.device) for span in spans])


class _Look:
    """The hooks of one block's attention: `before` takes the objects off, `after` brings in what they do."""

    def __init__(self, seen: _Seen, told: Sequence[bool], strength: float) -> None:
        self.seen, self.told = seen, told
        self.bias = math.log(strength)
        self._objects: Tensor | None = None  # [B, N, D] of the call that is under way

    def before(self, attn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        text, mask = kwargs["encoder_hidden_states"], kwargs.get("attention_mask")
        start, count = self.seen.length, self.seen.where.count
        self._objects = text[:, start : start + count]
        kwargs = {**kwargs, "encoder_hidden_states": _without(text, 1, start, count)}
        if mask is not None:
            kwargs["attention_mask"] = _without(mask, -1, start, count)
        return args, kwargs

    def after(self, attn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        video, text = output
        objects, self._objects = self._objects, None
        assert objects is not None, "the pre-hook of the same call has run"
        rows = _rows(self.told, video.shape[0], video.device)
        own, seen = self._regional(attn, kwargs, objects, rows)
        if len(rows) < len(video):
            video = video.index_copy(0, rows, self._put(video[rows], seen))
            own = torch.zeros_like(objects).index_copy(0, rows, own)
        else:
            video = self._put(video, seen)
        start = self.seen.length
        return video, torch.cat([text[:, :start], own, text[:, start:]], dim=1)

    def _put(self, video: Tensor, seen: Sequence[Tensor]) -> Tensor:
        for (tokens, _), states in zip(self.seen.where.groups, seen, strict=True):
            video = video.index_copy(1, tokens, states.to(video.dtype))
        return video

    def _regional(
        self, attn: Any, kwargs: dict[str, Any], objects: Tensor, rows: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """(what the objects [B, N, D] get, what the video tokens of each group [B, s, D] get) in these rows."""
        video, text = kwargs["hidden_states"][rows], kwargs["encoder_hidden_states"][rows]
        rotary, mask = kwargs.get("image_rotary_emb"), kwargs.get("attention_mask")
        words = text.shape[1]
        query = normed(attn.norm_q, heads(attn, attn.to_q(video)))
        key = normed(attn.norm_k, heads(attn, attn.to_k(torch.cat([text, video], dim=1))))
        value = heads(attn, attn.to_v(torch.cat([text, video], dim=1)))
        if rotary is not None:
            query = rotate(query, rotary)
            key = torch.cat([key[:, :, :words], rotate(key[:, :, words:], rotary)], dim=2)
        own_query = normed(attn.norm_q, heads(attn, attn.to_q(objects[rows])))
        own_key = normed(attn.norm_k, heads(attn, attn.to_k(objects[rows])))
        own_value = heads(attn, attn.to_v(objects[rows]))

        seen = []
        for tokens, visible in self.seen.where.groups:
            further = own_key[:, :, visible]
            states = scaled_dot_product_attention(
                query[:, :, tokens],
                torch.cat([key, further], dim=2),
                torch.cat([value, own_value[:, :, visible]], dim=2),
                attn_mask=_scores(None if mask is None else mask[rows], key, further, self.bias),
            )
            seen.append(written(attn, states))
        own = []
        for span, members in zip(self.seen.where.spans, self.seen.where.members, strict=True):
            states = scaled_dot_product_attention(
                own_query[:, :, span],
                torch.cat([own_key[:, :, span], key[:, :, words:][:, :, members]], dim=2),
                torch.cat([own_value[:, :, span], value[:, :, words:][:, :, members]], dim=2),
            )
            own.append(written(attn, states))
        return torch.cat(own, dim=1), seen


def _scores(mask: Tensor | None, key: Tensor, further: Tensor, bias: float) -> Tensor | None:
    """What is added to the scores of [text | video | objects]: the call's own mask [B, 1, K], and `bias` on objects."""
    if mask is None and bias == 0.0:
        return None
    shown = key.new_zeros(key.shape[0], 1, 1, key.shape[2])
    if mask is not None:
        shown = shown.masked_fill(~mask[:, None], -math.inf)
    return torch.cat([shown, shown.new_full((*shown.shape[:3], further.shape[2]), bias)], dim=-1)


def _rows(told: Sequence[bool], batch: int, device: torch.device) -> Tensor:
    """The rows of a call that see the regions; each branch has as many rows as the others."""
    if batch % len(told):
        raise MPVGError(f"A call of {batch} rows does not hold {len(told)} branches of one size.")
    own = batch // len(told)
    rows = [row for index, sees in enumerate(told) if sees for row in range(index * own, (index + 1) * own)]
    return torch.tensor(rows, dtype=torch.long, device=device)


def _require_stock(attn: Any) -> None:
    if not type(attn.processor).__module__.startswith("diffusers."):
        what = "the regions of a layout and a method that changes the attention itself, such as shared attention"
        raise InputError(Problem("methods", what, "one of them", "leave one out"))


def _weight(transformer: Any) -> Tensor:
    weight: Tensor = transformer.patch_embed.text_proj.weight
    return weight


def _without(states: Tensor, dim: int, start: int, count: int) -> Tensor:
    """`states` less `count` entries of `dim` from `start` on."""
    rest = states.shape[dim] - start - count
    return torch.cat([states.narrow(dim, 0, start), states.narrow(dim, start + count, rest)], dim=dim)


def _hue(index: int) -> tuple[int, int, int]:
    """A bright colour for each number; neighbours are far apart (steps of the golden ratio around the hues)."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
