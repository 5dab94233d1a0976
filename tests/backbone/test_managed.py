"""A model that shares its device with others, footage on its way in, and pictures on their way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpvg_core.backbone.load import load_backbone
from mpvg_core.backbone.memory import settled_threads
from mpvg_core.backbone.preview import LatentColours, fit_latent_colours, still
from mpvg_core.errors import InputError


def test_latents_come_back_from_other_programs_as_they_went(folders: dict[str, Path]) -> None:
    backbone = load_backbone(str(folders["2b"]), device="cpu")
    latents = torch.randn(3, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    samples = backbone.to_stock(latents)
    assert samples.shape == (1, 4, 3, 6, 8)
    torch.testing.assert_close(samples[0, :, 1], latents[1] / backbone.vae.config.scaling_factor)
    torch.testing.assert_close(backbone.from_stock(samples), latents)


def test_latents_of_another_model_are_refused_with_both_shapes(folders: dict[str, Path]) -> None:
    backbone = load_backbone(str(folders["2b"]), device="cpu")
    with pytest.raises(InputError, match=r"latent: has shape \[1, 4, 64, 64\]; expected \[1, 4, frames"):
        backbone.from_stock(torch.zeros(1, 4, 64, 64))


def test_footage_becomes_latents_of_its_length_and_size_the_same_every_time(folders: dict[str, Path]) -> None:
    backbone = load_backbone(str(folders["5b"]), device="cpu")
    frames = np.random.default_rng(0).integers(0, 256, (9, 24, 32, 3), np.uint8)
    latents = backbone.encode_clip(frames)
    assert latents.shape == (3, 4, 6, 8)
    assert torch.equal(latents, backbone.encode_clip(frames))
    with torch.no_grad():
        video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        stock = backbone.vae.encode(video).latent_dist.mode() * backbone.vae.config.scaling_factor
    torch.testing.assert_close(latents.transpose(0, 1)[None], stock)


@pytest.mark.parametrize(("shape", "says"), [((8, 24, 32, 3), "8 frames"), ((9, 25, 32, 3), "32x25")])
def test_footage_that_does_not_fit_is_refused(folders: dict[str, Path], shape: tuple[int, ...], says: str) -> None:
    backbone = load_backbone(str(folders["2b"]), device="cpu")
    with pytest.raises(InputError, match=says):
        backbone.encode_clip(np.zeros(shape, np.uint8))


def test_another_text_encoder_may_stand_in_for_the_folders_own(copied: Path) -> None:
    own = load_backbone(str(copied), device="cpu")
    expected = own.encode_text(["a cat runs"])[0]
    encoder = own._load_text_encoder()
    for file in (copied / "text_encoder").iterdir():
        file.unlink()
    (copied / "text_encoder").rmdir()
    other = load_backbone(str(copied), device="cpu", text_encoder=lambda ids: encoder(ids).last_hidden_state)
    assert torch.equal(other.encode_text(["a cat runs"])[0].embeds, expected.embeds)
    assert other.fingerprint != own.fingerprint, "its takes are not those of the folder's own encoder"


def test_a_text_encoder_of_another_width_is_refused(folders: dict[str, Path]) -> None:
    backbone = load_backbone(str(folders["2b"]), device="cpu", text_encoder=lambda ids: torch.zeros(1, 10, 7))
    with pytest.raises(InputError, match=r"text encoder: gave \[10, 7\]"):
        backbone.encode_text(["a cat"])


def test_threads_are_given_back_to_the_rest_of_the_program(folders: dict[str, Path]) -> None:
    transformer = load_backbone(str(folders["2b"]), device="cpu").transformer
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with settled_threads(transformer, torch.device("cpu")):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class PaintedBackbone:
    """Latents that are a known mixture of the mean colours: the map back is known as well."""

    spatial_compression = 4
    mixture = torch.tensor([[1.0, 0.5, -1.0, 0.2], [0.0, 2.0, 0.3, 0.1], [0.4, 0.0, 1.0, -0.6]])

    def encode_clip(self, frames: np.ndarray) -> torch.Tensor:
        picture = torch.from_numpy(frames[0]).permute(2, 0, 1)[None].float() / 255
        means = torch.nn.functional.avg_pool2d(picture, self.spatial_compression)[0]
        return torch.einsum("chw,cd->dhw", means, self.mixture)[None] + 0.7


def test_the_preview_finds_the_colours_that_the_encoder_put_into_latents() -> None:
    backbone = PaintedBackbone()
    colours = fit_latent_colours(backbone)
    frame = np.zeros((1, 8, 8, 3), np.uint8)
    frame[0, :, :4] = (250, 10, 30)
    frame[0, :, 4:] = (20, 200, 90)
    shown = colours.picture(backbone.encode_clip(frame)).astype(int)
    assert shown.shape == (2, 2, 3)
    assert abs(shown[:, 0] - (250, 10, 30)).max() <= 6 and abs(shown[:, 1] - (20, 200, 90)).max() <= 6


def test_a_still_of_a_small_model_is_a_decoded_frame(folders: dict[str, Path]) -> None:
    backbone = load_backbone(str(folders["2b"]), device="cpu")
    latents = torch.randn(3, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    picture = still(backbone, latents, LatentColours(torch.zeros(5, 3)))
    assert np.array_equal(picture, next(iter(backbone.decode(latents[1:2])))[0])
