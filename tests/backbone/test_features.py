"""What a clip shows, read off its latents."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.backbone.features import describe_latents


@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (60, 90), (90, 60), (4, 4), (2, 30), (15, 15), (1, 1), (7, 96)]
)
@pytest.mark.parametrize("frames", [1, 2, 3, 5, 13])
def test_features_stay_few_whatever_the_size_of_the_clip(height, width, frames):
    latents = torch.randn(frames, 5, height, width, generator=torch.Generator().manual_seed(0))
    features = describe_latents(latents)
    assert features.tokens.shape[1] == 20
    assert 0 < len(features.tokens) <= 192
    assert features.positions.shape == (len(features.tokens), 3)
    assert features.positions.min() >= 0 and features.positions.max() <= 1
    assert len({tuple(position) for position in features.positions.tolist()}) == len(features.tokens)
    assert torch.isfinite(features.tokens).all()


def test_a_pocket_clip_gives_every_patch_of_first_middle_and_last_frame():
    latents = torch.arange(5 * 2 * 16 * 16, dtype=torch.float32).reshape(5, 2, 16, 16)
    features = describe_latents(latents)
    assert features.tokens.shape == (192, 8)
    patch = latents[2, :, 2:4, 6:8]  # row 1, column 3 of the middle frame
    index = 64 + 1 * 8 + 3
    assert torch.equal(features.tokens[index], patch.flatten())
    assert features.positions[index].tolist() == pytest.approx([0.5, 1.5 / 8, 3.5 / 8])
    assert torch.equal(features.tokens[-1], latents[4, :, 14:, 14:].flatten())


def test_a_larger_picture_of_the_same_gives_the_same_features():
    small = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    large = small.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    torch.testing.assert_close(describe_latents(large).tokens, describe_latents(small).tokens)


def test_half_precision_is_read_in_full():
    latents = torch.randn(3, 4, 60, 90, generator=torch.Generator().manual_seed(0)).bfloat16()
    features = describe_latents(latents)
    assert features.tokens.dtype == torch.float32
    assert torch.equal(features.tokens, describe_latents(latents.float()).tokens)
