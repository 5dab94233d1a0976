"""Runs that survive being killed."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from mpvg_core.training.optimise import Optimisers, warmup_stable_decay
from mpvg_core.training.run import Journal, Run


def new_run(folder: Path, seed: int = 0, save_every: int = 10) -> Run:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    modules = {"body": nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 8)), "head": nn.Linear(8, 2)}
    optimisers = Optimisers(modules, matrix_lr=5e-3, other_lr=5e-3, outer=("head",))
    follower = nn.Linear(8, 2)
    return Run(folder, modules, optimisers, decay=0.9, save_every=save_every, followers={"slow": follower})


def train(run: Run, until: int, steps: int = 30) -> Run:
    for step in range(run.start, until):
        given = torch.randn(16, 6, generator=run.generator(step))
        loss = (run.modules["head"](run.modules["body"](given)) - given[:, :2] * given[:, 2:4]).square().mean()
        run.update(loss, warmup_stable_decay(step, steps, warmup=5))
        with torch.no_grad():
            run.followers["slow"].weight.lerp_(run.modules["head"].weight, 0.1)
        run.save_if_due(step, steps)
    return run


def numbers(run: Run) -> list[torch.Tensor]:
    modules = [*run.modules.values(), *run.followers.values()]
    shadows = [value for shadow in run.average.shadow.values() for value in shadow.values()]
    return [parameter.detach() for module in modules for parameter in module.parameters()] + shadows


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_bit_for_bit_where_an_undisturbed_one_does(tmp_path) -> None:
    whole = train(new_run(tmp_path / "whole"), 30)
    train(new_run(tmp_path / "killed"), 17)  # the last checkpoint is that of step 10
    resumed = new_run(tmp_path / "killed", seed=5)
    assert resumed.start == 10
    train(resumed, 30)
    assert all(torch.equal(a, b) for a, b in zip(numbers(resumed), numbers(whole), strict=True))


def test_a_finished_run_has_nothing_left_to_do(tmp_path) -> None:
    train(new_run(tmp_path), 25, steps=25)
    assert new_run(tmp_path).start == 25


def test_a_journal_keeps_every_line_and_the_newest_checkpoint_only(tmp_path):
    journal = Journal(tmp_path / "runs" / "base")
    assert journal.load() is None
    journal.log(step=1, loss=0.5)
    journal.save({"step": 1})
    Journal(tmp_path / "runs" / "base").log(step=2, loss=0.25)
    journal.save({"step": 2})
    lines = [json.loads(line) for line in (journal.folder / "log.jsonl").read_text("utf-8").splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.25)]
    assert journal.load() == {"step": 2}
    assert sorted(path.name for path in journal.folder.iterdir()) == ["checkpoint.pt", "log.jsonl"]
