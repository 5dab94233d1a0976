"""Trains a cross-shot temporal adapter on stories: a frozen model, and what it is shown of the shots before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..diffusion.predict import Denoiser
from ..errors import InputError, MPVGError, Problem
from ..methods.temporal_adapter import PastFrames, TemporalAdapter, attached, spread
from .optimise import Optimisers, warmup_stable_decay
from .partial import kept_cells, only_tokens
from .run import Run
from .transitions import Noised, Progress, noise_up
from .weighting import min_snr_weight

TEXT_DROPOUT = 0.1  # of the shots are made from their past alone, so that guidance goes on working
GAMMA = 5.0


class Base(Denoiser, Protocol):
    """What training needs of a model: see `backbone.interface.Backbone`."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def new_scheduler(self, name: str = "ddim") -> Any: ...


@dataclass(frozen=True)
class StoryLesson:
    """Shots to be made from earlier ones: latents [B, F, C, h, w], the embeddings of their prompts [B, L, D], and their
    past with B rows; emphasis [B, F, 1, h, w]: how much more than 1 each cell counts, None for all alike."""

    latents: Tensor
    embeds: Tensor
    past: PastFrames
    emphasis: Tensor | None = None


@dataclass(frozen=True)
class AdapterRecipe:
    """steps in all, those before a resume included; lr of AdamW, of Muon twice that, falling to zero at the end.

    decay of the moving average; frames: latent frames that a step computes, 0 for all (fewer is cheaper, and not for
    models with rotary positions). Raises InputError naming every field that is wrong.
    """

    steps: int
    lr: float = 1e-3
    seed: int = 0
    decay: float = 0.99
    frames: int = 0
    save_every: int = 50

    def __post_init__(self) -> None:
        problems = [
            Problem(f"--{name.replace('_', '-')}", f"{getattr(self, name)}", wanted)
            for name, good, wanted in (
                ("steps", self.steps >= 1, "at least 1"),
                ("lr", self.lr > 0, "more than 0"),
                ("decay", 0 <= self.decay < 1, "from 0 to less than 1"),
                ("frames", self.frames >= 0, "0 for all, or a number of latent frames"),
            )
            if not good
        ]
        if problems:
            raise InputError(problems)


def train_temporal_adapter(
    folder: Path,
    base: Base,
    adapter: TemporalAdapter,
    lessons: Callable[[int], Iterator[StoryLesson]],
    empty: Tensor,
    recipe: AdapterRecipe,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> TemporalAdapter:
    """Trains to `recipe.steps`, resuming from the folder's checkpoint; gives the adapter with averaged weights.

    lessons(n): the lessons from the n-th on; empty [L, D]: the empty prompt's embedding. Nothing but the adapter
    learns. loss = mean over the batch of min-SNR weight (terminal form, γ = 5) times the squared error of v.
    Raises InputError for a model that does not predict v, MPVGError when the loss stops being a number.
    """
    transformer: Any = base.transformer
    scheduler = base.new_scheduler()
    if (kind := scheduler.config.prediction_type) != "v_prediction":
        what = f"its scheduler says {kind!r}"
        raise InputError(Problem(f"model {base.name!r}", what, "v_prediction", "choose a CogVideoX 2b or 5b model"))
    if recipe.frames and transformer.config.use_rotary_positional_embeddings:
        remedy = "leave it at 0: rotary positions are those of whole clips"
        raise InputError(Problem("--frames", f"model {base.name!r} has rotary positions", "0", remedy))
    signals = scheduler.alphas_cumprod.float()
    optimisers = Optimisers({"adapter": adapter}, matrix_lr=2 * recipe.lr, other_lr=recipe.lr, outer=("embed", "age"))
    run = Run(
        folder, {"adapter": adapter}, optimisers, decay=recipe.decay, seed=recipe.seed, save_every=recipe.save_every
    )
    if run.start > recipe.steps:
        what = f"this run has made {run.start} steps already"
        raise InputError(Problem("--steps", str(recipe.steps), f"more: {what}", "or begin anew in another folder"))
    running: float | None = None
    coming = lessons(run.start)
    with frozen(transformer):
        for step in range(run.start, recipe.steps):
            generator = run.generator(step)
            lesson = next(coming)
            shown = torch.rand(len(lesson.latents), 1, 1, generator=generator) >= TEXT_DROPOUT
            embeds = torch.where(shown, lesson.embeds.cpu(), empty.cpu())
            noised = noise_up(lesson.latents, signals, generator)
            frames = _some_frames(noised.noisy.shape[1], recipe.frames, generator)
            with attached(transformer, adapter, lesson.past, frames=frames):
                loss = lesson_loss(base, noised, embeds, lesson.emphasis, frames).mean()
                now = float(loss.detach())
                if not isfinite(now):
                    what = f"The loss is {now} in step {step + 1}"
                    raise MPVGError(f"{what}; begin anew in another folder with a lower learning rate.")
                norm = run.update(loss, warmup_stable_decay(step, recipe.steps, warmup=min(50, recipe.steps)))
            running = now if running is None else 0.98 * running + 0.02 * now
            if step % 10 == 0 or step + 1 == recipe.steps:
                run.journal.log(step=step, loss=round(running, 5), norm=round(norm, 4))
            run.save_if_due(step, recipe.steps)
            report(Progress(step + 1, recipe.steps, running))
    run.average.copy_to({"adapter": adapter})
    adapter.trained = {"model": base.name, "steps": recipe.steps, "lr": recipe.lr, "seed": recipe.seed}
    return adapter.eval()


def lesson_loss(
    base: Base, noised: Noised, embeds: Tensor, emphasis: Tensor | None = None, frames: Sequence[int] | None = None
) -> Tensor:
    """The weighted error of v, one value a clip [B]; with `frames` of these latent frames alone."""
    transformer: Any = base.transformer
    device, patch = base.device, transformer.config.patch_size
    _, count, _, height, width = noised.noisy.shape
    kept = None
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
        if frames is not None:
            a_frame = (height // patch) * (width // patch)
            kept = (torch.tensor(list(frames))[:, None] * a_frame + torch.arange(a_frame)).flatten()
            stack.enter_context(only_tokens(transformer, kept))
        output = base.denoise(
            noised.noisy.to(device), noised.timesteps.to(device), embeds.to(device), branch="training"
        )
    error = (output.float() - noised.target.to(device)).square()
    if emphasis is not None:
        error = error * (1 + emphasis.to(error))
    share: Tensor | float = 1.0
    if kept is not None:
        cells = kept_cells(kept, count, height, width, patch).to(error)
        error, share = error * cells, cells.mean()
    weights = min_snr_weight(noised.signal, GAMMA, "terminal").to(device)
    return weights * error.mean(dim=(1, 2, 3, 4)) / share


def story_past(clips: Tensor, per_clip: int) -> PastFrames:
    """The past of every shot but the first of N stories: clips [N, S + 1, F, C, h, w] to N·S rows, story by story.

    Row (n, s) has the frames of the shots 0 … s of story n in view, of S · per_clip places; the others are masked.
    """
    stories, shots = clips.shape[0], clips.shape[1] - 1
    chosen = spread(clips.shape[2], per_clip)
    frames = clips[:, :shots, chosen]  # (N, S, P, C, h, w)
    latents = frames.flatten(1, 2).repeat_interleave(shots, dim=0)  # (N S, S P, C, h, w)
    ages = torch.arange(1, shots + 1)[:, None] - torch.arange(shots)[None]  # of past shot j for the s-th row: s + 1 - j
    ages = ages.repeat_interleave(len(chosen), dim=1).repeat(stories, 1)
    numbers = torch.tensor(chosen).repeat(shots)
    return PastFrames(latents, numbers, ages, ages > 0)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within, no parameter of `module` asks for a gradient; afterwards those do that did before."""
    asking = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _some_frames(count: int, wanted: int, generator: torch.Generator) -> list[int] | None:
    """Latent frames drawn anew each step, in their order; None for all."""
    if not wanted or wanted >= count:
        return None
    chosen: list[int] = torch.randperm(count, generator=generator)[:wanted].sort().values.tolist()
    return chosen
