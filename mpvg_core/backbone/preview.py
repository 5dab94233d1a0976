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

from .memory import SMALL, weight_bytes

if TYPE_CHECKING:
    from .interface import Backbone

_CELLS = 8  # a side of the test card
_CARDS = 6


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
    """The least-squares map for a model: test cards of coloured cells are encoded, and each cell's inner latents are
    asked for its colour."""
    side = backbone.spatial_compression
    cell = 4 * side
    generator = torch.Generator().manual_seed(0)
    inputs, targets = [], []
    for _ in range(_CARDS):
        colours = torch.rand(_CELLS, _CELLS, 3, generator=generator)
        card = colours.repeat_interleave(cell, 0).repeat_interleave(cell, 1)
        frame = (card * 255).round().to(torch.uint8).numpy()
        latent = backbone.encode_clip(frame[None])[0].float().cpu()  # (C, h, w)
        cells = latent.unfold(1, 4, 4).unfold(2, 4, 4)[..., 1:3, 1:3]  # (C, cells, cells, 2, 2): away from the edges
        inputs.append(cells.permute(1, 2, 3, 4, 0).reshape(-1, latent.shape[0]))
        targets.append(colours[:, :, None].expand(-1, -1, 4, -1).reshape(-1, 3))
    values = torch.cat(inputs)
    design = torch.cat([values, torch.ones(len(values), 1)], dim=1)
    # A little ridge: channels that say nothing of colour get no say.
    gram = design.T @ design + 1e-3 * len(design) * torch.eye(design.shape[1])
    return LatentColours(torch.linalg.solve(gram, design.T @ torch.cat(targets)))


def still(backbone: Backbone, latents: Tensor, colours: LatentColours) -> NDArray[np.uint8]:
    """A picture of a finished clip [F, C, h, w]: its middle latent frame, decoded where that costs next to nothing."""
    if weight_bytes(backbone.transformer) >= SMALL:
        return colours.picture(latents)
    middle = latents.shape[0] // 2
    frames = next(iter(backbone.decode(latents[middle : middle + 1])))
    picture: NDArray[np.uint8] = frames[0]
    return picture
