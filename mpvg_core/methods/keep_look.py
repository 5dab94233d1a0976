"""One preset without training: keep the look of an actor from an anchor shot, with one strength from 0 to 1.

The new shot's attention sees the anchor's tokens that show the actor (`shared_attention`), and may start from noise
that is partly the anchor's (`noises`). Which tokens those are is read from the anchor itself: where its video looks at
the actor's words, and what moves against the rest of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..diffusion.attention import heads, normed, rotate
from ..diffusion.schedule import Stepper
from ..errors import InputError, MPVGError, Problem
from .noises import shared_noise
from .shared_attention import Anchor, Reference, Sharing, shared_attention
from .technique import Technique

ASKED_AT = (950, 850)  # timesteps: while there is much noise, the words still say what is to be where
SHARE = 0.25  # of the anchor's tokens


def keep_look(
    backbone: Reference,
    anchor: Anchor,
    strength: float,
    *,
    layers: tuple[int, ...] | None = None,
    interval: tuple[float, float] = (0.0, 1.0),
    noise: float = 0.0,
    start: Tensor | None = None,
) -> list[Technique]:
    """What makes a shot keep the look that `anchor.tokens` show, see `look_tokens`.

    strength: 0 is the stock model bit for bit (no technique at all), 1 counts the anchor's tokens as the shot's own.
    Tokens matter most: with all of the anchor's, its place comes along (on the pocket in 8 of 16 films, with the
    moving quarter of them in none); the later half of the layers alone did about as well as all.
    layers, interval: where they are seen, see `Sharing`. noise: the part of the anchor's noise that the shot starts
    from at strength 1; it ties layout and pose as well, so none by default. start: the noise that the anchor started
    from, [1, F, C, h, w] of the new shot's length; None: `anchor.noise`, which is of the anchor's.

    Raises InputError unless strength and noise are from 0 to 1.
    """
    problems = [
        Problem(name, f"{value}", "a number from 0 to 1")
        for name, value in (("strength of the look", strength), ("shared noise", noise))
        if not 0.0 <= value <= 1.0
    ]
    if problems:
        raise InputError(problems)
    if strength == 0.0:
        return []
    techniques = [shared_attention(backbone, [anchor], Sharing(strength, layers=layers, interval=interval))]
    if noise > 0.0:
        if start is None:
            start = anchor.noise if anchor.noise.dim() == 5 else anchor.noise[None]
        techniques.append(shared_noise(start, strength * noise))
    return techniques


def look_tokens(backbone: Reference, anchor: Anchor, words: Tensor, *, share: float = SHARE) -> Tensor:
    """The anchor's tokens that show what `words` name: int64 [N] in order, N = share of all, for `Anchor.tokens`.

    words [L] bool: the actor's words in the anchor's prompt. Ranked by attention to them and by movement together
    (`attended`, `moving`): the first finds what is named, the second what is not the place. Raises InputError when no
    word is marked or for a share out of range.
    """
    if not 0.0 < share <= 1.0:
        raise InputError(Problem("share of the tokens", f"{share}", "above 0, at most 1"))
    transformer: Any = backbone.transformer
    named, moves = attended(backbone, anchor, words), moving(anchor.latents, transformer.config.patch_size)
    return most(_rank(named.flatten()) + _rank(moves.flatten()), share)


def most(scores: Tensor, share: float) -> Tensor:
    """The places of the highest `share` of the scores, at least one, in order: int64 [N]."""
    count = max(1, round(share * scores.numel()))
    return scores.flatten().topk(count).indices.sort().values


def moving(latents: Tensor, patch: int) -> Tensor:
    """How far each token is from how its place looks most of the time: latents [F, C, h, w] -> [F, h/p, w/p].

    Squared distance to the median over the frames; finds actors before a camera that stands.
    """
    frames, _, height, width = latents.shape
    away = (latents.float() - latents.float().median(dim=0).values).pow(2).sum(dim=1)
    return away.reshape(frames, height // patch, patch, width // patch, patch).sum(dim=(2, 4))


@torch.no_grad()
def attended(backbone: Reference, anchor: Anchor, words: Tensor) -> Tensor:
    """How much each token of the anchor looks at `words` [L] (bool) of its prompt: [F, h/p, w/p].

    The attention of the video's queries to these words, mean over heads, relative to its mean over the tokens, summed
    over layers and `ASKED_AT`; two calls. The anchor is one clip. Raises InputError when no word is marked.
    """
    if anchor.latents.dim() != 4:
        raise MPVGError(f"Words are looked up in one clip, [F, C, h, w], not {list(anchor.latents.shape)}.")
    if not bool(words.any()):
        raise InputError(Problem("words of the look", "none is marked", "the actor's words in the anchor's prompt"))
    transformer: Any = backbone.transformer
    levels, patch = Stepper(backbone.new_scheduler(), 1), transformer.config.patch_size
    frames, _, height, width = anchor.latents.shape
    score = torch.zeros(frames, height // patch, width // patch, device=anchor.latents.device)
    embeds = (anchor.embeds if anchor.embeds.dim() == 3 else anchor.embeds[None]).to(anchor.latents)
    for at in ASKED_AT:
        timestep = torch.tensor([at], device=anchor.latents.device)
        noised = levels.noised(anchor.latents[None], anchor.noise[None], at)
        found: list[Tensor] = []
        with _listening(transformer, words, found):
            backbone.denoise(noised, timestep, embeds, branch="look")
        for layer in found:
            score += (layer / layer.mean()).reshape(score.shape)
    return score


@contextmanager
def _listening(transformer: Any, words: Tensor, found: list[Tensor]) -> Iterator[None]:
    """Within the block each layer's attention of the video [S] to the words is put into `found`."""

    def listen(attn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        text, video = kwargs["encoder_hidden_states"], kwargs["hidden_states"]
        length = text.shape[1]
        query = normed(attn.norm_q, heads(attn, attn.to_q(video)))
        key = normed(attn.norm_k, heads(attn, attn.to_k(torch.cat([text, video], dim=1))))
        ours = key[:, :, length:]
        rotary = kwargs.get("image_rotary_emb")
        if rotary is not None:
            query, ours = rotate(query, rotary), rotate(ours, rotary)
        # Values that are 1 for the words and 0 elsewhere: attention then gives the words' share of it, and the matrix
        # of all tokens by all tokens is never made.
        marks = torch.zeros_like(key)
        marks[:, :, : len(words)] = words.to(marks)[:, None]
        seen = scaled_dot_product_attention(query, torch.cat([key[:, :, :length], ours], dim=2), marks)
        found.append(seen[0, :, :, 0].float().mean(dim=0))

    with ExitStack() as stack:
        for block in transformer.transformer_blocks:
            stack.callback(block.attn1.register_forward_pre_hook(listen, with_kwargs=True).remove)
        yield


def _rank(scores: Tensor) -> Tensor:
    return scores.argsort().argsort().float()
