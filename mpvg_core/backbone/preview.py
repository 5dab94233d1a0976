"""A picture of a clip while it is still being denoised: a linear map from latents to colours, found from the decoder's
own encoder, so that it fits every model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .memory import SMALL, weight_bytes

if TYPE_CHECKING:
    from .interface import Backbone

_CELLS = 16  # latents along a side of a test card
_CARDS = 6
_SHAPES = 20


@dataclass(frozen=True)
class LatentColours:
    """factors [C + 1, 3]: a latent (z, 1) shows the colour (z, 1) @ factors, 0..1."""

    factors: Tensor

    def picture(self, latents: Tensor) -> NDArray[np.uint8]:
        """The middle frame of latents [F, C, h, w], one pixel a latent: uint8 [h, w, 3]."""
        middle = latents[latents.shape[0] // 2].detach().float().cpu().permute(1, 2, 0)  # (h, w, C)
        colours = middle @ self.factors[:-1] + self.factors[-1]
        levels: NDArray[np.uint8] = (colours.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        return levels


def fit_latent_colours(backbone: Backbone) -> LatentColours:
    """The least-squares map for a model: test cards are encoded, and each latent is asked for the mean colour of the
    pixels it stands for. The cards hold coloured shapes of all sizes, for a map learnt on plain areas alone would take
    the latents of an edge for a colour.
    """
    side = backbone.spatial_compression
    generator = torch.Generator().manual_seed(0)
    inputs, targets = [], []
    for _ in range(_CARDS):
        card = _test_card(_CELLS * side, generator)
        frame = (card * 255).round().to(torch.uint8)
        latent = backbone.encode_clip(frame.numpy()[None])[0].float().cpu()  # (C, h, w)
        means = functional.avg_pool2d(frame.permute(2, 0, 1)[None].float() / 255, side)[0]
        inputs.append(latent.flatten(1).T)
        targets.append(means.flatten(1).T)
    values = torch.cat(inputs)
    design = torch.cat([values, torch.ones(len(values), 1)], dim=1)
    # A little ridge: channels that say nothing of colour get no say.
    gram = design.T @ design + 1e-3 * len(design) * torch.eye(design.shape[1])
    return LatentColours(torch.linalg.solve(gram, design.T @ torch.cat(targets)))


def _test_card(size: int, generator: torch.Generator) -> Tensor:
    """Rectangles of random colours over a two-coloured ground: [size, size, 3] in 0..1."""
    ground = torch.rand(2, 3, generator=generator)
    card = ground[0].repeat(size, size, 1)
    card[size // 2 :] = ground[1]
    for _ in range(_SHAPES):
        top, left = (int(torch.randint(size, (), generator=generator)) for _ in range(2))
        tall, wide = (int(size * 2 ** -float(1 + 4 * torch.rand((), generator=generator))) + 1 for _ in range(2))
        card[top : top + tall, left : left + wide] = torch.rand(3, generator=generator)
    return card


def still(backbone: Backbone, latents: Tensor, colours: LatentColours) -> NDArray[np.uint8]:
    """A picture of a finished clip [F, C, h, w]: its middle latent frame, decoded where that costs next to nothing."""
    if weight_bytes(backbone.transformer) >= SMALL:
        return colours.picture(latents)
    middle = latents.shape[0] // 2
    frames = next(iter(backbone.decode(latents[middle : middle + 1])))
    picture: NDArray[np.uint8] = frames[0]
    return picture
