"""Optimisers, schedule and moving average of every training run."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from mpvg_core.training.optimise import MovingAverage, Optimisers, warmup_stable_decay


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def toy(seed: int = 0) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.GELU(), nn.Conv1d(8, 8, 3, padding=1), nn.GELU())
    return {"body": layers, "head": nn.Linear(8, 2)}


def loss_of(modules: dict[str, nn.Module], step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    signal = torch.randn(16, 3, 6, generator=generator)
    target = torch.stack([signal[:, 0].mean(1), (signal[:, 1] * signal[:, 2]).mean(1)], dim=1)
    return (modules["head"](modules["body"](signal).mean(dim=2)) - target).square().mean()


def new_optimisers(modules: dict[str, nn.Module]) -> Optimisers:
    return Optimisers(modules, matrix_lr=5e-3, other_lr=5e-3, outer=("head",))


def train(modules, optimisers, average, steps):
    losses = []
    for step in steps:
        loss = loss_of(modules, step)
        loss.backward()
        optimisers.step(warmup_stable_decay(step, 120, warmup=10))
        average.update(modules)
        losses.append(loss.item())
    return losses


def weights(modules):
    return [parameter.detach().clone() for module in modules.values() for parameter in module.parameters()]


def test_a_toy_learns_and_every_weight_moves():
    modules = toy()
    before = weights(modules)
    losses = train(modules, new_optimisers(modules), MovingAverage(modules, 0.9), range(120))
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])
    assert all((new - old).abs().max() > 1e-3 for new, old in zip(weights(modules), before, strict=True))


def test_convolutions_are_trained_as_matrices_through_views_of_their_weights():
    modules = toy()
    optimisers = new_optimisers(modules)
    kernels = [modules["body"][0].weight, modules["body"][2].weight]
    muon = optimisers._parts[0][0].param_groups[0]["params"]
    assert [tuple(matrix.shape) for matrix in muon] == [(8, 9), (8, 24)]
    assert [matrix.data_ptr() for matrix in muon] == [kernel.data_ptr() for kernel in kernels]
    train(modules, optimisers, MovingAverage(modules, 0.9), range(3))
    assert all(torch.equal(m.view_as(k), k) for m, k in zip(muon, kernels, strict=True))
    assert all(kernel.grad is None for kernel in kernels)  # no gradient is left to be added to the next one


def test_outer_layers_norms_and_biases_are_no_matrices():
    modules = toy()
    optimisers = new_optimisers(modules)
    others = {id(parameter) for parameter in optimisers._parts[1][0].param_groups[0]["params"]}
    assert others == {
        id(modules["head"].weight), id(modules["head"].bias), id(modules["body"][0].bias), id(modules["body"][2].bias)
    }  # fmt: skip


def test_frozen_weights_stay_and_a_model_of_vectors_alone_trains():
    modules = {"norm": nn.LayerNorm(4), "frozen": nn.Linear(4, 4).requires_grad_(False)}
    before = weights(modules)
    optimisers = Optimisers(modules, matrix_lr=0.1, other_lr=0.1)
    modules["frozen"](modules["norm"](torch.randn(2, 4))).square().sum().backward()
    optimisers.step(1.0)
    moved = [not torch.equal(new, old) for new, old in zip(weights(modules), before, strict=True)]
    assert moved == [True, True, False, False]


def test_large_gradients_are_clipped_and_their_norm_told():
    modules = {"head": nn.Linear(3, 1, bias=False)}
    optimisers = Optimisers(modules, matrix_lr=1.0, other_lr=1.0)
    modules["head"].weight.grad = torch.tensor([[300.0, 0.0, 400.0]])
    assert optimisers.step(0.0) == pytest.approx(500.0)


def test_a_factor_of_zero_moves_nothing():
    modules = toy()
    optimisers, before = new_optimisers(modules), weights(modules)
    loss_of(modules, 0).backward()
    optimisers.step(0.0)
    assert all(torch.equal(new, old) for new, old in zip(weights(modules), before, strict=True))


def test_the_learning_rate_warms_up_stays_and_falls_to_nothing():
    factors = [warmup_stable_decay(step, 1000, warmup=100, decay=0.35) for step in range(1001)]
    assert factors[0] == 0.01 and factors[49] == 0.5
    assert set(factors[99:650]) == {1.0}
    assert factors[825] == 0.5
    assert factors[1000] == 0.0
    assert all(0 <= later <= earlier for earlier, later in pairwise(factors[650:]))


def test_the_moving_average_follows_quickly_at_first_and_then_slowly():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = MovingAverage({"m": module}, decay=0.5)
    nn.init.ones_(module.weight)
    average.update({"m": module})
    assert float(average.shadow["m"]["weight"]) == pytest.approx(1 - 2 / 11)
    for _ in range(10):
        average.update({"m": module})
    before = float(average.shadow["m"]["weight"])
    nn.init.zeros_(module.weight)
    average.update({"m": module})
    assert float(average.shadow["m"]["weight"]) == pytest.approx(before / 2)
    average.copy_to({"m": module})
    assert module.weight.item() == pytest.approx(before / 2)
