"""Trains a control adapter: the model learns to follow structure, its own weights frozen.

A control clip is as many further channels of what the transformer is shown (see `methods/control.py`). The adapter
begins as nothing at all, so that the first step starts from the stock model; where no control is shown it stays the
stock model whatever it learns, so control needs no dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..backbone.interface import Backbone
from ..errors import InputError, MPVGError, Problem
from ..methods.control_adapter import ControlAdapter, require_fit, widened
from .optimise import Optimisers, warmup_stable_decay
from .partial import kept_cells, only_tokens
from .run import Run
from .transitions import Noised, Progress, Prompts, noise_up
from .weighting import min_snr_weight


@dataclass(frozen=True)
class Recipe:
    """steps in all, those before a resume included; lr of AdamW at its highest; batch, computed `at_once` at a time.

    dropout: share of the prompts that are empty: the structure has to be read, not guessed from the words. noise:
    standard deviation of what is added to the control's latents, which an encoder gives not quite alike every time.
    frames: latent frames that a step computes, 0 for all (see `training/partial.py`); gamma: see `min_snr_weight`;
    decay of the moving average. Raises InputError naming every field that is wrong.
    """

    steps: int
    lr: float = 2e-3
    batch: int = 16
    at_once: int | None = None
    seed: int = 0
    dropout: float = 0.2
    noise: float = 0.1
    gamma: float = 5.0
    decay: float = 0.99
    frames: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        problems = [
            Problem(name.replace("_", " "), f"{getattr(self, name)}", wanted)
            for name, good, wanted in (
                ("steps", self.steps >= 1, "at least 1"),
                ("lr", self.lr > 0, "more than 0"),
                ("batch", self.batch >= 1, "at least 1"),
                ("at_once", self.at_once is None or self.at_once >= 1, "at least 1"),
                ("dropout", 0 <= self.dropout <= 1, "from 0 to 1"),
                ("noise", self.noise >= 0, "0 or more"),
                ("gamma", self.gamma > 0, "more than 0"),
                ("decay", 0 <= self.decay < 1, "from 0 to less than 1"),
                ("frames", self.frames >= 0, "0 for all, or a number of latent frames"),
            )
            if not good
        ]
        if problems:
            raise InputError(problems)


def train_control(
    folder: Path,
    backbone: Backbone,
    adapter: ControlAdapter,
    prompts: Prompts,
    batches: Callable[[int], Iterator[Mapping[str, Any]]],
    recipe: Recipe,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> ControlAdapter:
    """Trains `adapter` to `recipe.steps`, resuming from the folder's checkpoint; gives it with averaged weights.

    batches(n): the batches from the n-th on, each with `latents` and `control` [B, F, C, h, w] of the clips and of
    their control clips, B `prompts`, and perhaps `importance` [B, F, 1, h, w]: how much each cell's error counts.
    Raises InputError for a model that does not predict v or whose adapter this is not, MPVGError when the loss stops
    being a number.
    """
    transformer: Any = backbone.transformer
    scheduler = backbone.new_scheduler()
    if scheduler.config.prediction_type != "v_prediction":
        what = f"its scheduler says {scheduler.config.prediction_type!r}"
        raise InputError(Problem(f"model {backbone.name!r}", what, "v_prediction", "choose a CogVideoX 2b or 5b model"))
    if recipe.frames and transformer.config.use_rotary_positional_embeddings:
        remedy = "compute all frames: rotary positions are those of whole clips"
        raise InputError(Problem("frames", f"model {backbone.name!r} has rotary positions", "0", remedy))
    require_fit(adapter, transformer)
    transformer.requires_grad_(False).eval()
    adapter.to(backbone.device).train()
    signals = scheduler.alphas_cumprod.float()
    modules = {"adapter": adapter}
    optimisers = Optimisers(modules, matrix_lr=recipe.lr, other_lr=recipe.lr, outer=("",))  # AdamW for everything
    run = Run(folder, modules, optimisers, decay=recipe.decay, seed=recipe.seed, save_every=recipe.save_every)
    if run.start > recipe.steps:
        what = f"this run has made {run.start} steps already"
        raise InputError(Problem("steps", str(recipe.steps), f"more: {what}", "or begin anew in another folder"))
    running: float | None = None
    coming = batches(run.start)
    for step in range(run.start, recipe.steps):
        generator = run.generator(step)
        batch = next(coming)
        count = len(batch["prompts"])
        empty = (torch.rand(count, generator=generator) < recipe.dropout).tolist()
        told = ["" if drop else prompt for prompt, drop in zip(batch["prompts"], empty, strict=True)]
        noised = noise_up(batch["latents"], signals, generator)
        control = batch["control"].float().cpu()
        control = control + recipe.noise * torch.randn(control.shape, generator=generator)
        kept = _some_frames(noised.noisy.shape, transformer.config.patch_size, recipe.frames, generator)
        size, total, norm = recipe.at_once or count, 0.0, 0.0
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))
            share = (part.stop - start) / count
            with torch.no_grad():
                embeds = prompts(told[part])
            importance = batch["importance"][part] if "importance" in batch else None
            with widened(transformer, adapter):  # around backward as well: checkpointing computes the blocks again
                loss = share * _loss(backbone, embeds, noised.part(part), control[part], importance, recipe, kept)
                total += float(loss.detach())
                if not isfinite(total):
                    raise MPVGError(f"The loss is {total} in step {step + 1}; begin anew with a lower learning rate.")
                if part.stop < count:
                    loss.backward()
                else:
                    norm = run.update(loss, warmup_stable_decay(step, recipe.steps, warmup=min(50, recipe.steps)))
        running = total if running is None else 0.98 * running + 0.02 * total
        if step % 10 == 0 or step + 1 == recipe.steps:
            run.journal.log(step=step, loss=round(running, 5), now=round(total, 5), norm=round(norm, 4))
        run.save_if_due(step, recipe.steps)
        report(Progress(step + 1, recipe.steps, running))
    run.average.copy_to(modules)
    return adapter.eval()


def _loss(
    backbone: Backbone,
    embeds: Tensor,
    noised: Noised,
    control: Tensor,
    importance: Tensor | None,
    recipe: Recipe,
    kept: Tensor | None,
) -> Tensor:
    """The mean square error of v, cell by cell as important as told, moments weighed by `min_snr_weight`."""
    transformer, device = backbone.transformer, backbone.device
    some = only_tokens(transformer, kept) if kept is not None else nullcontext()
    states = torch.cat([noised.noisy, control], dim=2).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16), some:
        output = backbone.denoise(states, noised.timesteps.to(device), embeds.to(device), branch="training")
    error = (output.float() - noised.target.to(device)).square()
    frames, _, height, width = error.shape[1:]
    cells = error.new_ones(1, frames, 1, height, width)
    if kept is not None:
        cells = kept_cells(kept, frames, height, width, transformer.config.patch_size).to(error)  # type: ignore[union-attr, arg-type]
    if importance is not None:
        error = error * importance.to(error)
    errors = (error * cells).mean(dim=(1, 2, 3, 4)) / cells.mean()
    weights = min_snr_weight(noised.signal, recipe.gamma).to(device)
    return (weights * errors).mean()


def _some_frames(shape: torch.Size, patch: int, frames: int, generator: torch.Generator) -> Tensor | None:
    """Indices of the tokens of `frames` latent frames drawn anew each step; None for all."""
    if not frames or frames >= shape[1]:
        return None
    a_frame = (shape[3] // patch) * (shape[4] // patch)
    shown = torch.randperm(shape[1], generator=generator)[:frames].sort().values
    return (shown[:, None] * a_frame + torch.arange(a_frame)).flatten()
