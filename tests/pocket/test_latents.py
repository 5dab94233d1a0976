from collections.abc import Callable

import numpy as np
import torch

from mpvg_core.pocket.batches import as_pixels
from mpvg_core.pocket.latents import CHANNELS, STATIC, LatentBasis, fit_basis
from mpvg_core.pocket.world import draw_scene, draw_story


def test_the_same_clips_give_the_same_basis(fitted_clips: np.ndarray) -> None:
    once, again = fit_basis(fitted_clips[:8]).state(), fit_basis(fitted_clips[:8].copy()).state()
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_the_strongest_weight_of_every_component_is_positive(basis: LatentBasis) -> None:
    for components in (basis.static, basis.changing):
        assert (components.gather(1, components.abs().argmax(1, keepdim=True)) > 0).all()


def test_components_are_orthonormal(basis: LatentBasis) -> None:
    for components in (basis.static, basis.changing):
        assert torch.allclose(components @ components.T, torch.eye(len(components)), atol=1e-4)


def test_four_frames_after_the_first_make_one_latent(basis: LatentBasis) -> None:
    for frames, latents in ((5, 2), (17, 5)):
        encoded = basis.encode(torch.zeros(2, frames, 3, 64, 32))
        assert encoded.shape == (2, latents, CHANNELS, 16, 8)


def test_the_first_latent_and_a_still_clip_have_no_change(basis: LatentBasis) -> None:
    clip = draw_scene(draw_story(4, shots=1).scenes[0])
    assert basis.encode(as_pixels(clip[None]))[0, 0, STATIC:].abs().max() == 0
    still = np.repeat(clip[:1], 5, axis=0)
    encoded = basis.encode(as_pixels(still[None]))[0]
    assert encoded[1, STATIC:].abs().max() < 1e-4
    assert torch.allclose(encoded[0], encoded[1], atol=1e-4)


def test_movement_shows_in_the_changing_channels(basis: LatentBasis) -> None:
    clip = draw_scene(draw_story(4, shots=1).scenes[0])
    assert basis.encode(as_pixels(clip[None]))[0, 1:, STATIC:].abs().amax() > 1


def test_latents_of_the_fitted_clips_have_about_unit_variance(basis: LatentBasis, fitted_clips: np.ndarray) -> None:
    encoded = basis.encode(as_pixels(fitted_clips))
    mean_square = encoded[:, 1:].square().mean()
    assert 0.5 < mean_square < 2


def test_held_out_clips_come_back_from_the_linear_decoder(round_trip: Callable[[np.ndarray], np.ndarray]) -> None:
    worst = np.inf
    for seed in range(6):
        clip = draw_scene(draw_story(seed, shots=1).scenes[0])
        error = (round_trip(clip).astype(np.float64) - clip) ** 2
        worst = min(worst, 10 * np.log10(255**2 / error.mean()))
    assert worst > 22


def test_decoding_gives_back_what_the_components_hold_and_nothing_else(
    basis: LatentBasis, fitted_clips: np.ndarray
) -> None:
    latents = basis.encode(as_pixels(fitted_clips[:4]))
    pixels = basis.decode(latents)
    assert pixels.shape == as_pixels(fitted_clips[:4]).shape
    assert torch.allclose(basis.encode(pixels), latents, atol=1e-3)
    lost = (pixels - as_pixels(fitted_clips[:4])).square().mean()
    assert lost < 0.1 * as_pixels(fitted_clips[:4]).var()
