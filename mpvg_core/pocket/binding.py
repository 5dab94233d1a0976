"""Whose look is it: losses that teach the pocket's base where in the picture an actor's words belong.

Pictures alone teach this late: "a red star" is right somewhere in the picture whoever it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .language import actor_of_token, lane_of_token
from .world import COLOURS, NAMES, SHAPES

_LOOKS = {*COLOURS, *SHAPES}


def word_lanes(pieces: Sequence[Sequence[str]], orders: Sequence[Sequence[int]]) -> Tensor:
    """For each token [B, L] of the prompts the place from the left of the actor it speaks of, else -1."""
    return torch.tensor([lane_of_token(row, order) for row, order in zip(pieces, orders, strict=True)])


def look_words(pieces: Sequence[Sequence[str]]) -> Tensor:
    """Which tokens [B, L] are a colour or a shape."""
    return torch.tensor([[piece in _LOOKS for piece in row] for row in pieces])


def video_lanes(actors: Tensor, orders: Sequence[Sequence[int]], patch: int) -> Tensor:
    """For each video token [B, F·h·w] the place from the left of the actor it shows, else -1.

    actors [B, F, 1, H, W]: the actors' share of each latent cell. Each actor keeps to its own part of the width.
    """
    shown = functional.max_pool2d(actors[:, :, 0], patch) > 0.5
    width = shown.shape[-1]
    counts = torch.tensor([len(order) for order in orders])
    columns = (torch.arange(width) + 0.5) / width
    lanes = (columns[None] * counts[:, None]).long()[:, None, None, :]
    return torch.where(shown, lanes, -1).flatten(1)


def word_owners(pieces: Sequence[Sequence[str]]) -> Tensor:
    """For each token [B, L] of the prompts the number of the actor it speaks of, else -1."""
    return torch.tensor([actor_of_token(row) for row in pieces])


def new_word_reader(width: int) -> nn.Linear:
    """What `word_loss` reads with: places first, then actors."""
    return nn.Linear(width, 2 * len(NAMES))


def word_loss(reader: nn.Module, lanes: Tensor, owners: Tensor, embeds: Tensor) -> Tensor:
    """Cross-entropy of the actor's place and of the actor itself, read off the embeddings [B, L, D] of its name and
    look.

    The place says where to draw the look; the actor is what a later shot has to recognise: an encoder taught only the
    places lets "1" and "2" fall together.
    """
    if bool((owners < 0).all()):
        return embeds.sum() * 0.0
    found = reader(embeds).flatten(0, 1).float()
    losses = [
        functional.cross_entropy(part, wanted.flatten().to(embeds.device), ignore_index=-1)
        for part, wanted in zip(found.split(len(NAMES), dim=1), (lanes, owners), strict=True)
    ]
    return torch.stack(losses).sum()
