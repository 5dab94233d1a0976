"""Guidance over the steps, intervals, and the stepping of both stock schedulers."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.diffusion.schedule import Stepper, in_interval, scale_at
from mpvg_core.errors import InputError


def test_constant_guidance_is_the_scale_at_every_step():
    assert {scale_at("constant", 6.0, index, 50, 999 - 20 * index) for index in range(50)} == {6.0}


def test_cosine_guidance_rises_from_none_to_one_more_than_the_scale_whatever_the_timestep():
    scales = [scale_at("cosine", 6.0, index, 50, 0) for index in range(50)]
    assert scales == sorted(scales)
    assert scales[0] == 1.0
    assert scales[25] == pytest.approx(1 + 6 * 0.0024, abs=1e-3)  # (1 - cos(pi / 32)) / 2
    assert 6.8 < scales[-1] < 7.0


def test_upstream_guidance_jumps_as_in_diffusers():
    scales = [scale_at("upstream", 6.0, index, 50, 999 - 20 * index) for index in range(50)]
    assert [round(scale, 1) for scale in scales[:5]] == [2.3, 2.5, 7.0, 6.4, 2.8]


def test_an_unknown_schedule_is_an_error_that_lists_the_known():
    with pytest.raises(InputError, match="constant, cosine, upstream"):
        scale_at("linear", 6.0, 0, 50, 999)


@pytest.mark.parametrize(
    ("interval", "within"),
    [((0.0, 1.0), [0, 1, 2, 3]), ((0.0, 0.5), [0, 1]), ((0.25, 0.75), [1, 2]), ((0.5, 0.5), []), ((0.6, 1.0), [3])],
)
def test_intervals_cover_their_steps_from_start_to_just_before_the_end(interval, within):
    assert [index for index in range(4) if in_interval(index, 4, interval)] == within


def test_neighbouring_intervals_cover_every_step_once():
    for steps in (6, 7, 50):
        covered = [in_interval(i, steps, (0.0, 0.3)) + in_interval(i, steps, (0.3, 1.0)) for i in range(steps)]
        assert covered == [1] * steps


@pytest.mark.parametrize("name", ["ddim", "dpm"])
def test_a_perfect_prediction_ends_at_the_clean_clip(make_backbone, normal, name):
    clean, scheduler = normal(1, 1, 3, 4, 8, 8), make_backbone("2b", "sample").new_scheduler(name)
    stepper = Stepper(scheduler, 5, torch.Generator().manual_seed(0))
    latents = normal(2, 1, 3, 4, 8, 8)
    for index in range(5):
        latents, predicted = stepper.step(clean, index, latents)
        assert torch.equal(predicted, clean)
    assert torch.allclose(latents, clean, atol=1e-4)


@pytest.mark.parametrize("steps", [50, 61, 103])
def test_no_step_count_ends_at_a_timestep_that_does_not_exist(make_backbone, steps):
    timesteps = Stepper(make_backbone("2b").new_scheduler("ddim"), steps).timesteps
    assert len(timesteps) == steps
    assert timesteps[0] == 999 and timesteps.min() >= 0


def test_a_step_count_that_diffusers_rounds_wrongly_still_ends_at_the_clean_clip(make_backbone, normal):
    clean = normal(1, 1, 3, 4, 8, 8)
    stepper, latents = Stepper(make_backbone("2b", "sample").new_scheduler("ddim"), 61), normal(2, 1, 3, 4, 8, 8)
    for index in range(len(stepper.timesteps)):
        latents, _ = stepper.step(clean, index, latents)
    assert torch.allclose(latents, clean, atol=1e-4)


def test_schedulers_that_return_the_sample_alone_predict_nothing():
    class Euler:
        init_noise_sigma = 2.0

        def set_timesteps(self, steps, device):
            self.timesteps = torch.arange(steps, 0, -1)

        def scale_model_input(self, sample, timestep):
            return sample / timestep

        def step(self, output, timestep, sample, return_dict=True):
            return (sample - output,)

    stepper = Stepper(Euler(), 2)
    assert stepper.initial_scale == 2.0
    assert stepper.scale_input(torch.ones(1), 0).item() == 0.5
    latents, predicted = stepper.step(torch.ones(1), 0, torch.ones(1))
    assert latents.item() == 0.0 and predicted is None
