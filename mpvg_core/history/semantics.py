"""Step 2, extract: what the chosen tokens look like in their clips, and so what the current tokens should look like.

MPVG's extractor in corrected form: attention within a sample only, masks for what is absent, age and place embeddings
so that order matters, and (in training) a target from a slowly moving teacher instead of the trained layers themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

AGES = 10  # buckets: 0 is the current shot, 1, 2, 3, 4, then doubling


@dataclass(frozen=True)
class VisualSemantics:
    """What a prompt's tokens should look like: values [L, W], and the indices of the tokens the past knows of."""

    values: Tensor
    served: tuple[int, ...]


class VideoSemanticExtractor(nn.Module):
    """text_dim D, visual_dim D_v: of the backbone; width W: of what comes out; max_tokens L: of a prompt.

    text' = LN(GELU(W_t τ)), img' = LN(GELU(W_v φ)); seen = CrossAttn(Q = text' + place, K = img' + position, V = img').
    With `clip_layers` the clip's own tokens attend to each other first, K = V = Transformer(img' + position): a colour
    can be read off a patch, a shape only off several.
    The sequence [(guess, text'_current), (seen, text')_past …] with age and place embeddings goes through a
    transformer, which corrects the guesses. A current token's guess is the mean of what the past tokens that selection
    matched to it have seen, plus a learned vector: left to find its like by attention alone, a small transformer mixes
    up actors for thousands of steps.
    """

    def __init__(
        self,
        *,
        text_dim: int,
        visual_dim: int,
        width: int,
        max_tokens: int,
        heads: int = 4,
        layers: int = 3,
        clip_layers: int = 0,
    ) -> None:
        super().__init__()
        self.numbers: dict[str, Any] = {
            "text_dim": text_dim, "visual_dim": visual_dim, "width": width, "max_tokens": max_tokens,
            "heads": heads, "layers": layers, "clip_layers": clip_layers,
        }  # fmt: skip
        self.text = _projection(text_dim, width)
        self.image = _projection(visual_dim, width)
        self.position = nn.Sequential(nn.Linear(9, width), nn.GELU(), nn.Linear(width, width))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.wanted = nn.Parameter(torch.zeros(width))
        self.join = nn.Linear(2 * width, width)
        self.age = nn.Embedding(AGES, width)
        self.place = nn.Embedding(max_tokens, width)
        nn.init.normal_(self.age.weight, std=0.02)
        nn.init.normal_(self.place.weight, std=0.02)
        self.trunk = _transformer(width, heads, layers)
        self.clip = _transformer(width, heads, clip_layers) if clip_layers else None
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))

    def look(self, text: Tensor, places: Tensor, clip: Tensor, positions: Tensor) -> Tensor:
        """What text tokens see in clips, [B, n, W].

        text [B, n, D] with places [B, n], their index in their prompt (who is named first is often seen first); clip
        tokens [B, T, D_v] at positions [B, T, 3] in 0..1.
        """
        return self.look_into(text, places, *self.open(clip, positions))

    def open(self, clip: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values [B, T, W] that text tokens attend to in a clip: they are the same for every text."""
        image = self.image(clip)
        angles = torch.cat([positions, torch.sin(torch.pi * positions), torch.cos(torch.pi * positions)], dim=-1)
        keys = image + self.position(angles)
        if self.clip is None:
            return keys, image
        states = self.clip(keys)
        return states, states

    def look_into(self, text: Tensor, places: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """`look`, into a clip that is open."""
        query = self.text(text) + self.place(places)
        seen: Tensor = self.attention(query, keys, values, need_weights=False)[0]
        return seen

    def predict(
        self,
        current: Tensor,
        current_mask: Tensor,
        past: Tensor,
        seen: Tensor,
        past_mask: Tensor,
        places: Tensor,
        ages: Tensor,
        reaches: Tensor,
    ) -> Tensor:
        """The visual semantics of the current prompt's tokens, [B, L, W].

        current [B, L, D], current_mask [B, L] (True: a word); of the M past tokens: past [B, M, D] their text, seen
        [B, M, W] what `look` gave, past_mask [B, M] (True: remembered), places [B, M] their index in their prompt, ages
        [B, M] how many shots ago (1 = the last one), reaches [B, M, L] the current tokens of which they tell
        (`TokenSelection.reaches`). A masked token has no effect at all.
        """
        length = current.shape[1]
        place = torch.arange(length, device=current.device)
        guess = self.wanted + matched_mean(seen, reaches & past_mask[..., None])
        now = self.join(torch.cat([guess, self.text(current)], dim=-1)) + self.place(place) + self.age.weight[0]
        then = self.join(torch.cat([seen, self.text(past)], dim=-1)) + self.place(places) + self.age(age_bucket(ages))
        mask = torch.cat([current_mask, past_mask], dim=1)
        # A prompt without any word would leave nothing to attend to, which is NaN: let its first token stand in.
        mask = mask | ((torch.arange(mask.shape[1], device=mask.device) == 0) & ~mask.any(dim=1, keepdim=True))
        states = self.trunk(torch.cat([now, then], dim=1), src_key_padding_mask=~mask)
        semantics: Tensor = self.out(states[:, :length])
        return semantics


def matched_mean(seen: Tensor, reaches: Tensor) -> Tensor:
    """For each current token the mean of what the past tokens [B, M, W] that reach it [B, M, L] have seen, [B, L, W];
    zero where none does."""
    weights = reaches.transpose(1, 2).to(seen.dtype)
    return weights / weights.sum(dim=2, keepdim=True).clamp(min=1) @ seen.masked_fill(~reaches.any(dim=2)[..., None], 0)


def age_bucket(ages: Tensor) -> Tensor:
    """1, 2, 3, 4 as they are, then 5-8, 9-16, 17-32, 33-64 and everything older."""
    far = 3 + torch.ceil(torch.log2(ages.clamp(min=1).float() / 4) + 1).long()
    return torch.where(ages <= 4, ages, far).clamp(0, AGES - 1)


def _transformer(width: int, heads: int, layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def _projection(inward: int, outward: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inward, outward), nn.GELU(), nn.LayerNorm(outward))
