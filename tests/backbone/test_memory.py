"""What stays on a GPU and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mpvg_core.backbone.memory import GIB, place_parts, stream_blocks

SMALL, LARGE, T5 = int(3.2 * GIB), int(10.4 * GIB), int(8.9 * GIB)  # 2b, 5b and T5-XXL in half precision


@pytest.mark.parametrize(
    ("card", "transformer", "expected"),
    [
        (24, SMALL, ("resident", "device")),
        (24, LARGE, ("resident", "device")),
        (16, SMALL, ("resident", "device")),
        (16, LARGE, ("resident", "cpu")),
        (8, SMALL, ("resident", "cpu")),
        (8, LARGE, ("streamed", "cpu")),
        (12, LARGE, ("streamed", "device")),
    ],
)
def test_parts_are_placed_by_the_room_of_the_card(card: int, transformer: int, expected: tuple[str, str]) -> None:
    placement = place_parts(int(card * GIB * 0.94), transformer, T5)  # a desktop takes its part
    assert (placement.transformer, placement.text_encoder) == expected


def test_a_device_without_memory_of_its_own_takes_everything() -> None:
    placement = place_parts(None, LARGE, T5)
    assert (placement.transformer, placement.text_encoder) == ("resident", "device")


def test_a_streamed_transformer_gives_the_same_prediction(folders: dict[str, Path]) -> None:
    from mpvg_core.backbone.load import load_backbone

    resident, streamed = (load_backbone(str(folders["2b"]), device="cpu") for _ in range(2))
    stream_blocks(streamed.transformer, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    limits, config = resident.limits(), resident.transformer.config
    shape = (1, 3, resident.latent_channels, config.sample_height, config.sample_width)
    latents = torch.randn(shape, generator=generator)
    embeds = torch.randn(1, limits.max_tokens, config.text_embed_dim, generator=generator)
    with torch.no_grad():
        one, other = (b.denoise(latents, torch.tensor([500]), embeds, branch="x") for b in (resident, streamed))
    assert torch.equal(one, other)
