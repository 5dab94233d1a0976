"""Changing a clip that is there: the ends of the strength, inversion, and masks that keep what they say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.sampler import denoise
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.edit import (
    invert,
    latent_mask,
    masked_edit,
    paste,
    start_index,
    video_to_video,
    video_to_video_by_inversion,
)
from mpvg_core.methods.technique import sample_with

STEPS = 4


@pytest.fixture
def clip(normal, noise):
    return normal(9, *noise.shape[1:])


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(*techniques, scheduler="ddim", steps=STEPS):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        stepper = Stepper(backbone.new_scheduler(scheduler), steps, torch.Generator().manual_seed(5))
        return sample_with(techniques, guided, stepper, noise)

    return run_with


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_strength_1_is_text_to_video_with_the_same_noise_bit_for_bit(run, clip, scheduler):
    assert torch.equal(run(video_to_video(clip, 1.0), scheduler=scheduler), run(scheduler=scheduler))


def test_strength_0_is_the_clip_itself_without_a_call(run, backbone, clip):
    assert torch.equal(run(video_to_video(clip, 0.0))[0], clip)
    assert torch.equal(run(video_to_video_by_inversion(clip, lambda _: lambda *_: pytest.fail("asked"), 0.0))[0], clip)
    assert backbone.calls == []


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_a_part_of_the_strength_makes_that_part_of_the_steps(run, backbone, clip, scheduler):
    run(video_to_video(clip, 0.5), scheduler=scheduler)
    assert len(backbone.calls) == 4  # two steps of two branches


def test_the_clip_is_left_further_behind_the_greater_the_strength(run, clip):
    results = [run(video_to_video(clip, strength)) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    distances = [(result[0] - clip).norm().item() for result in results]
    assert distances == sorted(distances) and distances[0] == 0.0


def test_the_start_is_rounded_and_not_cut():
    assert start_index(50, 0.58) == 21  # 50 * 0.58 is 28.999999999999996
    assert start_index(16, 0.5) == 8
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="strength"):
            start_index(50, wrong)


def test_the_noised_clip_is_that_of_the_scheduler(backbone, clip, noise):
    stepper = Stepper(backbone.new_scheduler(), STEPS)
    for timestep in stepper.timesteps:
        expected = backbone.new_scheduler().add_noise(clip[None], noise, timestep[None])
        assert torch.allclose(stepper.noised(clip[None], noise, timestep), expected, atol=1e-6)
    assert torch.equal(stepper.noised(clip[None], noise, stepper.timesteps[0]), noise)
    assert torch.equal(stepper.noised(clip[None], noise, None)[0], clip)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample", "epsilon"])
def test_a_prediction_is_taken_apart_into_clip_and_noise(make_backbone, clip, noise, prediction_type):
    stepper = Stepper(make_backbone("2b", prediction_type).new_scheduler(), STEPS)
    a, s = stepper.level(stepper.timesteps[2])
    true = {"v_prediction": a * noise - s * clip, "sample": clip[None], "epsilon": noise}[prediction_type]
    latents = stepper.noised(clip[None], noise, stepper.timesteps[2])
    x0, eps = stepper.parts(true, latents, stepper.timesteps[2])
    assert torch.allclose(x0[0], clip, atol=1e-5)
    assert torch.allclose(eps, noise, atol=1e-5)


def nonlinear(latents, step):
    """A smooth prediction, cheap enough for hundreds of steps."""
    return torch.tanh(1.5 * latents.roll(1, -1) + int(step.timestep) / 1000)


def there_and_back(backbone, clip, steps, **options):
    up = invert(nonlinear, Stepper(backbone.new_scheduler(), steps), clip[None], 0, **options)
    down = denoise(nonlinear, Stepper(backbone.new_scheduler(), steps), up)
    return ((down[0] - clip).norm() / clip.norm()).item()


def test_the_error_of_inversion_falls_about_as_the_number_of_steps_grows(make_backbone, clip):
    errors = [there_and_back(make_backbone("5b"), clip, steps) for steps in (25, 50, 100, 200)]
    ratios = [more / fewer for more, fewer in pairwise(errors)]
    assert all(1.5 < ratio < 3.0 for ratio in ratios), (errors, ratios)


def test_sharpened_inversion_comes_back_much_closer(make_backbone, clip):
    backbone = make_backbone("5b")
    errors = [there_and_back(backbone, clip, 25, sharpen=sharpen) for sharpen in (0, 1, 4)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.1 * errors[0]


def test_an_inverted_clip_comes_back_under_its_own_prompt(make_backbone, noise, positive, clip):
    backbone = make_backbone("2b")
    guided = Guided(backbone, positive, None, None, HistoryGuidance(1.0, 0.0))
    technique = video_to_video_by_inversion(clip, lambda _: guided, 0.5)
    back = sample_with([technique], guided, Stepper(backbone.new_scheduler(), 20), noise)
    noised = sample_with([video_to_video(clip, 0.5)], guided, Stepper(backbone.new_scheduler(), 20), noise)
    assert (back[0] - clip).norm() < 0.3 * (noised[0] - clip).norm()


def test_inversion_of_a_scheduler_that_adds_noise_is_refused(run, clip):
    with pytest.raises(InputError, match="ddim"):
        run(video_to_video_by_inversion(clip, lambda _: nonlinear, 0.5), scheduler="dpm")


def test_a_clip_of_another_size_is_an_error_in_words(run, clip):
    with pytest.raises(MPVGError, match="length and size"):
        run(video_to_video(clip[:1], 0.5))


def full(value):
    return torch.full((1, 3, 1, 8, 8), value)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_a_mask_of_everything_is_the_unmasked_clip_bit_for_bit(run, clip, scheduler):
    assert torch.equal(run(masked_edit(clip, full(True)), scheduler=scheduler), run(scheduler=scheduler))


@pytest.mark.parametrize("steps", [4, 6])  # 6 does not divide 1000: the last step does not end at no noise
@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_what_is_known_comes_out_exactly(run, clip, scheduler, steps):
    mask = full(False)
    mask[:, 1, :, 2:5, 2:5] = True
    result = run(masked_edit(clip, mask), scheduler=scheduler, steps=steps)
    known = ~mask.expand(-1, -1, 4, -1, -1)
    assert torch.equal(result[known], clip[None][known])
    assert not torch.equal(result[~known], clip[None][~known])
    assert torch.equal(run(masked_edit(clip, full(False)), scheduler=scheduler, steps=steps)[0], clip)


def test_the_known_part_is_as_noisy_as_the_step_with_the_noise_of_the_shot(backbone, noise, clip):
    stepper = Stepper(backbone.new_scheduler(), STEPS)
    keep = masked_edit(clip, full(False)).constrain(noise, stepper)
    for timestep in stepper.timesteps:
        assert torch.equal(keep(noise * 0, timestep), stepper.noised(clip[None], noise, timestep))


def test_a_mask_goes_with_a_strength(run, clip):
    mask = full(False)
    mask[..., :4] = True
    edited = run(video_to_video(clip, 0.25), masked_edit(clip, mask))
    assert torch.equal(edited[..., 4:], clip[None][..., 4:])
    assert not torch.equal(edited[..., :4], clip[None][..., :4])
    anew = run(masked_edit(clip, mask))
    assert (edited - clip)[..., :4].norm() < (anew - clip)[..., :4].norm()


def test_a_pixel_marks_its_cell_in_the_latent_frame_that_shows_it():
    for frame, latent in ((0, 0), (1, 1), (4, 1), (5, 2), (8, 2)):
        pixels = torch.zeros(9, 16, 24, dtype=torch.bool)
        pixels[frame, 15, 8] = True
        cells = latent_mask(pixels, spatial=8)
        assert cells.shape == (1, 3, 1, 2, 3)
        assert cells.nonzero().tolist() == [[0, latent, 0, 1, 1]]


def test_dilation_widens_a_mask_by_cells_within_its_frame_only():
    pixels = torch.zeros(5, 40, 40)
    pixels[0, 16, 16] = 0.7
    assert latent_mask(pixels, spatial=8).sum() == 1
    wide = latent_mask(pixels, spatial=8, dilate=1)
    assert wide[0, 0, 0, 1:4, 1:4].all() and wide.sum() == 9


def test_a_mask_of_one_picture_stands_for_the_whole_clip():
    pixels = torch.zeros(1, 16, 16)
    pixels[0, 0, 0] = 1
    assert latent_mask(pixels, spatial=8, frames=9).sum() == 3
    assert latent_mask(pixels, spatial=8).shape == (1, 1, 1, 2, 2)


@pytest.mark.parametrize(
    ("shape", "options", "match"),
    [((4, 16, 16), {}, "frames"), ((9, 12, 16), {}, "multiples of 8"), ((5, 16, 16), {"frames": 9}, "9, as the clip")],
)
def test_masks_that_fit_no_latents_are_input_errors(shape, options, match):
    with pytest.raises(InputError, match=match):
        latent_mask(torch.zeros(shape), spatial=8, **options)


def test_a_mask_of_another_size_than_the_clip_is_an_input_error(clip):
    with pytest.raises(InputError, match="latent_mask"):
        masked_edit(clip, full(True)[:, :1])


def test_pasting_leaves_every_known_pixel_untouched():
    rng = np.random.default_rng(1)
    made, known = (rng.integers(0, 256, (5, 8, 8, 3)).astype(np.uint8) for _ in range(2))
    mask = rng.random((5, 8, 8)) < 0.5
    result = paste(made, known, mask)
    assert (result[mask] == made[mask]).all() and (result[~mask] == known[~mask]).all()
    with pytest.raises(ValueError, match="do not fit"):
        paste(made, known, mask[:1])
