"""Tiny random models of the stock classes, 2b-like and 5b-like, behind the backbone's interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

TEXT_LENGTH, TEXT_WIDTH = 10, 32
HEADS, HEAD_DIM, BLOCKS = 4, 16, 3
SHAPE = (1, 3, 4, 8, 8)  # [B, F, C, h, w]


@dataclass
class TinyBackbone:
    """Calls the stock transformer once per `denoise` and notes the branch and batch of each call."""

    kind: str
    transformer: Any
    snr_shift: float
    prediction_type: str = "v_prediction"
    rotary: tuple[Tensor, Tensor] | None = None
    calls: list[tuple[str, int]] = field(default_factory=list)

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        self.calls.append((branch, latents.shape[0]))
        with self.transformer.cache_context(branch):
            output: Tensor = self.transformer(
                hidden_states=latents,
                encoder_hidden_states=embeds,
                timestep=timestep,
                image_rotary_emb=self.rotary,
                return_dict=False,
            )[0]
        return output

    def new_scheduler(self, name: str = "ddim") -> Any:
        from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

        cls = {"ddim": CogVideoXDDIMScheduler, "dpm": CogVideoXDPMScheduler}[name]
        return cls(
            prediction_type=self.prediction_type,
            snr_shift_scale=self.snr_shift,
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        )


def _transformer(kind: str, **changes: Any) -> Any:
    from diffusers import CogVideoXTransformer3DModel

    settings: dict[str, Any] = {
        "num_attention_heads": HEADS,
        "attention_head_dim": HEAD_DIM,
        "in_channels": SHAPE[2],
        "out_channels": SHAPE[2],
        "time_embed_dim": 16,
        "text_embed_dim": TEXT_WIDTH,
        "num_layers": BLOCKS,
        "sample_width": SHAPE[4],
        "sample_height": SHAPE[3],
        "sample_frames": 9,
        "patch_size": 2,
        "temporal_compression_ratio": 4,
        "max_text_seq_length": TEXT_LENGTH,
        "use_rotary_positional_embeddings": kind == "5b",
    }
    torch.manual_seed(7)
    model = CogVideoXTransformer3DModel(**(settings | changes)).eval()
    # Random modulation of a trained size: with PyTorch's small default the branches hardly differ.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(2.0 if "norm" in name else 1.5)
    return model


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_backbone() -> Callable[..., TinyBackbone]:
    """Build a fresh tiny backbone of `kind` "2b" or "5b"; further arguments change the transformer's configuration."""

    def build(kind: str, prediction_type: str = "v_prediction", **changes: Any) -> TinyBackbone:
        from diffusers.models.embeddings import get_3d_rotary_pos_embed

        rotary = None
        if kind == "5b":
            grid = (SHAPE[3] // 2, SHAPE[4] // 2)
            rotary = get_3d_rotary_pos_embed(
                embed_dim=HEAD_DIM, crops_coords=((0, 0), grid), grid_size=grid, temporal_size=SHAPE[1]
            )
        shift = {"2b": 3.0, "5b": 1.0}[kind]
        return TinyBackbone(kind, _transformer(kind, **changes), shift, prediction_type, rotary)

    return build


@pytest.fixture(params=["2b", "5b"])
def backbone(request: pytest.FixtureRequest, make_backbone: Callable[..., TinyBackbone]) -> TinyBackbone:
    """A 2b-like and a 5b-like backbone in turn."""
    return make_backbone(request.param)


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def normal() -> Callable[..., Tensor]:
    """normal(seed, *shape): reproducible standard normal numbers."""
    return _normal


@pytest.fixture
def noise() -> Tensor:
    return _normal(0, *SHAPE)


@pytest.fixture
def positive() -> Tensor:
    return _normal(1, 1, TEXT_LENGTH, TEXT_WIDTH)


@pytest.fixture
def negative() -> Tensor:
    return _normal(2, 1, TEXT_LENGTH, TEXT_WIDTH)


@pytest.fixture
def hooks_of() -> Callable[[Any], int]:
    """How many forward hooks and pre-hooks a module and its parts carry."""

    def count(module: Any) -> int:
        return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())

    return count
