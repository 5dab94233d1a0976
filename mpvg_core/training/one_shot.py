"""One-shot tuning: a frozen model learns one clip, so that other prompts can be filmed with its motion.

Low-rank additions to the projections of the attention (LoRA, by peft) and a clip token learn from windows of the clip
under its prompt; nothing else does (Tune-A-Video, Wu et al. 2023, on CogVideoX, whose attention spans all frames as it
is). The result is applied by `methods/one_shot.py`, without peft.

Tell the clip in full: what its prompt leaves out is learned as a part of the motion. On the pocket, a tuned run there
and back brought the source's pink actor into every prompt, until both prompts told the looks.

Memory: the transformer is frozen and may be loaded in half precision; what learns is float32, at rank 16 in all four
projections 7.4 M numbers for 2b and 16.5 M for 5b, each kept five times (weight, gradient, average, two moments). What
is large are the activations of a full-size clip. `recompute` (gradient checkpointing) keeps the input of each block, by
arithmetic 2.0 GB for 2b and 4.6 GB for 5b for one clip of 480x720x49 in half precision, and the inner activations of
one block at a time, which are computed twice; shorter or smaller clips need less in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..backbone.interface import Backbone
from ..errors import InputError, MPVGError, Problem
from ..methods.one_shot import LowRank, Tuning, with_token
from .optimise import Optimisers
from .run import Run
from .transitions import Progress, Trained, noise_up

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_DROPOUT = 0.1  # of the clips are shown without prompt and token, so that guidance goes on working


@dataclass(frozen=True)
class TuningRecipe:
    """steps in all, those before a resume included; lr of AdamW, constant; batch: windows of the clip a step.

    rank of the additions; projections: which of each block's attention learn. Queries and output alone (where a token
    looks and what it makes of that) learn more slowly: after 250 steps on a clip of the toy world they left a loss of
    0.28, all four 0.22.
    tokens: how many stand for the clip. decay of the moving average. recompute: see above.
    Raises InputError naming every field that is wrong.
    """

    steps: int = 500
    lr: float = 1e-3
    batch: int = 1
    rank: int = 16
    projections: tuple[str, ...] = PROJECTIONS
    tokens: int = 1
    seed: int = 0
    decay: float = 0.98
    recompute: bool = False
    save_every: int = 50

    def __post_init__(self) -> None:
        problems = [
            Problem(f"--{name.replace('_', '-')}", f"{getattr(self, name)}", wanted)
            for name, good, wanted in (
                ("steps", self.steps >= 1, "at least 1"),
                ("lr", self.lr > 0, "more than 0"),
                ("batch", self.batch >= 1, "at least 1"),
                ("rank", self.rank >= 1, "at least 1"),
                ("projections", 0 < len(set(self.projections) & set(PROJECTIONS)) == len(self.projections), _SOME),
                ("tokens", self.tokens >= 0, "0 for none, or a number of tokens"),
                ("decay", 0 <= self.decay < 1, "from 0 to less than 1"),
            )
            if not good
        ]
        if problems:
            raise InputError(problems)


_SOME = f"some of {', '.join(PROJECTIONS)}"


class ClipToken(nn.Module):
    """The token being learned, [n, D]."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.token = nn.Parameter(start.clone())


def tune_one_shot(
    folder: Path,
    backbone: Backbone,
    prompt: str,
    windows: Tensor,
    recipe: TuningRecipe,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> Tuning:
    """Trains to `recipe.steps`, resuming from the folder's checkpoint; the model is as it was before when it ends.

    windows: latents [K, F, C, h, w] of K stretches of the clip, all told by `prompt`; each step draws from them.
    loss = mean square error of v at timesteps spread over the schedule, as CogVideoX itself is trained.
    Raises InputError for a model that does not predict v and for a run that is further already, MPVGError when the loss
    stops being a number and without the extra `tuning`.
    """
    scheduler = backbone.new_scheduler()
    if (kind := scheduler.config.prediction_type) != "v_prediction":
        what = f"its scheduler says {kind!r}"
        raise InputError(Problem(f"model {backbone.name!r}", what, "v_prediction", "choose a CogVideoX 2b or 5b model"))
    signals, device = scheduler.alphas_cumprod.float(), backbone.device
    told, untold = (text.embeds.float().to(device)[None] for text in backbone.encode_text([prompt, ""]))
    if not recipe.tokens < told.shape[1]:
        raise InputError(Problem("--tokens", f"{recipe.tokens}", f"fewer than the {told.shape[1]} of a prompt"))
    token = ClipToken(told[0, told.shape[1] - recipe.tokens :])  # so that training begins at the stock model
    transformer: Any = backbone.transformer
    with lora_layers(transformer, recipe):
        trained = {"lora": Trained(transformer), "token": token}
        optimisers = Optimisers(trained, matrix_lr=recipe.lr, other_lr=recipe.lr, outer=("",))  # AdamW for everything
        run = Run(folder, trained, optimisers, decay=recipe.decay, seed=recipe.seed, save_every=recipe.save_every)
        if run.start > recipe.steps:
            what = f"this run has made {run.start} steps already"
            raise InputError(Problem("--steps", str(recipe.steps), f"more: {what}", "or begin anew in another --out"))
        running: float | None = None
        for step in range(run.start, recipe.steps):
            generator = run.generator(step)
            chosen = torch.randint(len(windows), (recipe.batch,), generator=generator)
            shown = torch.rand(recipe.batch, 1, 1, generator=generator) >= TEXT_DROPOUT
            noised = noise_up(windows[chosen.to(windows.device)], signals, generator)
            spoken = with_token(told, token.token) if recipe.tokens else told
            embeds = torch.where(shown.to(device), spoken, untold)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                output = backbone.denoise(
                    noised.noisy.to(device, backbone.dtype),
                    noised.timesteps.to(device),
                    embeds.to(backbone.dtype),
                    branch="training",
                )
            loss = (output.float() - noised.target.to(device)).square().mean()
            now = float(loss.detach())
            if not isfinite(now):
                raise MPVGError(f"The loss is {now} in step {step + 1}; begin anew in another --out with a lower --lr.")
            norm = run.update(loss, 1.0)
            running = now if running is None else 0.98 * running + 0.02 * now
            if step % 10 == 0 or step + 1 == recipe.steps:
                run.journal.log(step=step, loss=round(running, 5), norm=round(norm, 4))
            run.save_if_due(step, recipe.steps)
            report(Progress(step + 1, recipe.steps, running))
        run.average.copy_to(trained)
        layers = {
            name: LowRank(*(_copy(part["default"].weight) for part in (module.lora_A, module.lora_B)))
            for name, module in transformer.named_modules()
            if hasattr(module, "lora_A")
        }
    made = {"prompt": prompt, "model": backbone.name, "fingerprint": backbone.fingerprint, "windows": len(windows)}
    made |= {"steps": recipe.steps, "rank": recipe.rank, "lr": recipe.lr, "seed": recipe.seed}
    return Tuning(layers, _copy(token.token), made)


@contextmanager
def lora_layers(transformer: Any, recipe: TuningRecipe) -> Iterator[None]:
    """Within, the chosen projections have additions that learn, zero at first, and nothing else does; afterwards the
    transformer is as it was before: layers, attributes, what asks for a gradient.

    Raises MPVGError without peft.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as error:
        raise MPVGError(f"peft is not installed ({error}): pip install 'mpvg[tuning]'") from error

    wanted = {name: parameter.requires_grad for name, parameter in transformer.named_parameters()}
    attributes = set(vars(transformer))
    recomputes = transformer.is_gradient_checkpointing
    names = [
        f"transformer_blocks.{block}.attn1.{projection}"
        for block in range(len(transformer.transformer_blocks))
        for projection in recipe.projections
    ]
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = LoraModel(
            transformer,
            LoraConfig(r=recipe.rank, lora_alpha=recipe.rank, target_modules=names, lora_dropout=0.0),
            "default",
        )
    added = set(vars(transformer)) - attributes  # peft's notes to itself
    try:
        for parameter in transformer.parameters():
            if parameter.requires_grad:  # peft gives it the precision of its layer, too coarse for small steps
                parameter.data = parameter.data.float()
        if recipe.recompute:
            transformer.enable_gradient_checkpointing()
        yield
    finally:
        model.unload()
        for name in added & set(vars(transformer)):
            delattr(transformer, name)
        if recipe.recompute and not recomputes:
            transformer.disable_gradient_checkpointing()
        for name, parameter in transformer.named_parameters():
            parameter.requires_grad_(wanted[name])


def _copy(parameter: Tensor) -> Tensor:
    return parameter.detach().float().cpu().clone()
