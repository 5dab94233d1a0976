"""The noise of a shot: reproducible, independent streams, mixtures of unit variance."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.diffusion.noise import mix_noise, shot_noise, step_generator
from mpvg_core.errors import InputError

SHAPE = (1, 13, 16, 30, 45)


def test_a_seed_gives_the_same_noise_whatever_the_global_state_and_precision():
    torch.manual_seed(1)
    first = shot_noise(42, SHAPE)
    torch.manual_seed(2)
    assert torch.equal(shot_noise(42, SHAPE), first)
    assert torch.equal(shot_noise(42, SHAPE, dtype=torch.bfloat16), first.bfloat16())
    assert not torch.equal(shot_noise(43, SHAPE), first)


def test_drawing_noise_does_not_touch_the_global_generator():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    shot_noise(42, SHAPE)
    assert torch.equal(torch.rand(3), expected)


def test_the_first_numbers_of_seed_0_are_those_of_torch():
    expected = torch.randn(1, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(shot_noise(0, (1, 3, 4, 8, 8)), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_seed_gives_the_same_noise_on_a_gpu():
    assert torch.equal(shot_noise(42, SHAPE, device="cuda").cpu(), shot_noise(42, SHAPE))


def test_the_noise_of_the_steps_is_not_the_noise_of_the_start():
    start = shot_noise(42, SHAPE)
    steps = torch.randn(SHAPE, generator=step_generator(42))
    assert torch.equal(torch.randn(SHAPE, generator=step_generator(42)), steps)
    assert abs(correlation(start, steps)) < 0.02


def correlation(one, other):
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.8, 1.0])
def test_mixed_noise_has_unit_variance_and_the_wanted_correlation(ratio):
    shared = shot_noise(1, SHAPE)
    first, second = (mix_noise(shared, shot_noise(seed, SHAPE), ratio) for seed in (2, 3))
    assert first.std().item() == pytest.approx(1.0, abs=0.01)
    assert correlation(first, second) == pytest.approx(ratio, abs=0.02)


def test_the_ends_of_the_mixture_are_the_noises_themselves():
    shared, own = shot_noise(1, SHAPE), shot_noise(2, SHAPE)
    assert torch.equal(mix_noise(shared, own, 0.0), own)
    assert torch.equal(mix_noise(shared, own, 1.0), shared)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_ratios_outside_0_to_1_are_errors(ratio):
    with pytest.raises(InputError, match="ratio"):
        mix_noise(torch.zeros(2), torch.zeros(2), ratio)


def test_noises_of_two_shapes_are_not_mixed():
    with pytest.raises(ValueError, match="two shapes"):
        mix_noise(torch.zeros(2), torch.zeros(1), 0.5)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_impossible_seeds_are_errors(seed):
    with pytest.raises(InputError, match="seed"):
        shot_noise(seed, (1,))
    with pytest.raises(InputError, match="seed"):
        step_generator(seed)
