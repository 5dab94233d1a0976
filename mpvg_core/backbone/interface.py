"""What the core knows of a model: a text encoder, one transformer call, a decoder, and a look at a finished clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from ..storyboard.plan import ModelLimits


@dataclass(frozen=True)
class TextEmbedding:
    """A prompt as the model reads it.

    ids [L] int64 and embeds [L, D], padded to the model's length L; mask [L] bool, True for tokens of words, False for
    padding, end and other specials; pieces: the L tokens as text.
    """

    ids: torch.Tensor
    embeds: torch.Tensor
    mask: torch.Tensor
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class ClipFeatures:
    """What a clip shows: tokens [T, D_v], one for each patch of some of its latent frames, and where each one lies.

    positions [T, 3]: time, row and column of the patch's middle, each in 0..1.
    """

    tokens: torch.Tensor
    positions: torch.Tensor


class Backbone(Protocol):
    """A CogVideoX model with all that belongs to it.

    name: how it was asked for; fingerprint: a hash of its weights and configurations.
    Latents are [B, F, C, h, w] with h = height / spatial_compression and F = 1 + (frames - 1) / temporal_compression.
    """

    name: str
    fingerprint: str
    latent_channels: int
    spatial_compression: int
    temporal_compression: int
    device: torch.device
    dtype: torch.dtype

    @property
    def transformer(self) -> torch.nn.Module:
        """The stock CogVideoX transformer, untouched; history hooks onto it from outside."""
        ...

    def limits(self) -> ModelLimits:
        """What the model can film."""
        ...

    def companion(self, name: str) -> Path | None:
        """A file of this name that lies with the model, if one does: an adapter of its own."""
        ...

    def encode_text(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """One embedding a text. Raises InputError for a text that is too long; nothing is ever cut."""
        ...

    def new_scheduler(self, name: str = "ddim") -> Any:
        """A fresh noise scheduler with the model's own settings: `ddim` or `dpm`."""
        ...

    def denoise(
        self, latents: torch.Tensor, timestep: torch.Tensor, embeds: torch.Tensor, *, branch: str
    ) -> torch.Tensor:
        """One transformer call: latents [B, F, C, h, w], timestep [B], embeds [B, L, D] to a prediction like latents.

        `branch` names the guidance branch, so that caches keep the branches apart.
        """
        ...

    def decode(self, latents: torch.Tensor) -> Iterator[np.ndarray]:
        """latents [F, C, h, w] to frames, uint8 [n, H, W, 3], a few at a time as they come."""
        ...

    def encode_clip(self, frames: np.ndarray) -> torch.Tensor:
        """Frames of footage, uint8 [n, H, W, 3], to latents [F, C, h, w]. Raises InputError for sizes and lengths that
        the model cannot take."""
        ...

    def to_stock(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [F, C, h, w] as other programs hand them to a decoder: float32 [1, C, F, h, w], not scaled."""
        ...

    def from_stock(self, samples: torch.Tensor) -> torch.Tensor:
        """The way back, on the model's device and in its precision. Raises InputError for latents of another model."""
        ...

    def describe_clip(self, latents: torch.Tensor) -> ClipFeatures:
        """The visual features of a finished clip's latents [F, C, h, w]."""
        ...
