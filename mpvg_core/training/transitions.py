"""Post-training on clips with a scene transition: a model learns from the prompt whether and when to cut.

The recipe of TAV (Transition-Aware Video): v-prediction, a low and constant learning rate, an exponential moving
average, and min-SNR weights with γ = 5. What it is taught is up to the batches: a model that only sees clips with cuts
cuts always, so one-scene clips with one-scene prompts belong among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..backbone.folder import PARTS
from ..backbone.interface import Backbone
from ..errors import InputError, MPVGError, Problem
from .binding import Heads, attention_binding_loss, watched
from .optimise import Optimisers
from .partial import kept_cells, only_tokens
from .run import Run
from .weighting import FORMS, Form, min_snr_weight

TEXT_DROPOUT = 0.1  # of the prompts are empty, so that guidance goes on working
BINDING = 0.3  # weight of the loss that teaches a learning text encoder which scene a word speaks of
ATTENDING = 0.2  # weight of the loss that teaches the transformer to look there
_HEAD = 1  # of the attention, that is taught so; the others stay free
SCENES = 3  # what a word may speak of: the first of two scenes, the second, the only one


@dataclass(frozen=True)
class Recipe:
    """steps in all, those before a resume included; lr of AdamW, constant; batch, computed `at_once` clips at a time.

    gamma, weighting: see `min_snr_weight`; decay of the moving average; frames: latent frames that a step computes, 0
    for all of them (fewer is cheaper: see `training/partial.py`). Raises InputError naming every field that is wrong.
    """

    steps: int
    lr: float = 1e-4
    batch: int = 16
    at_once: int | None = None
    seed: int = 0
    gamma: float = 5.0
    weighting: Form = "terminal"
    decay: float = 0.998
    frames: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        problems = [
            Problem(f"--{name.replace('_', '-')}", f"{getattr(self, name)}", wanted)
            for name, good, wanted in (
                ("steps", self.steps >= 1, "at least 1"),
                ("lr", self.lr > 0, "more than 0"),
                ("batch", self.batch >= 1, "at least 1"),
                ("at_once", self.at_once is None or self.at_once >= 1, "at least 1"),
                ("gamma", self.gamma > 0, "more than 0"),
                ("decay", 0 <= self.decay < 1, "from 0 to less than 1"),
                ("weighting", self.weighting in FORMS, f"one of {', '.join(FORMS)}"),
                ("frames", self.frames >= 0, "0 for all, or a number of latent frames"),
            )
            if not good
        ]
        if problems:
            raise InputError(problems)


class Prompts(Protocol):
    """Reads prompts for training: what of it learns, and the embeddings [B, L, D] of B prompts."""

    @property
    def modules(self) -> Mapping[str, nn.Module]: ...

    def __call__(self, prompts: Sequence[str]) -> Tensor: ...

    def binding(self, embeds: Tensor, scenes: Tensor) -> Tensor:
        """Only asked where batches say of which scene each token speaks."""
        ...


class FrozenPrompts:
    """Embeddings as the model has them, read once, before training; `embeds`: [L, D] by prompt."""

    modules: Mapping[str, nn.Module] = {}

    def __init__(self, embeds: Mapping[str, Tensor]) -> None:
        self.embeds = embeds

    @classmethod
    def read(cls, backbone: Backbone, prompts: Iterable[str]) -> FrozenPrompts:
        """Reads `prompts` and the empty one, which stands in for those that are left out."""
        texts = list(dict.fromkeys(["", *prompts]))
        read = zip(texts, backbone.encode_text(texts), strict=True)
        return cls({prompt: text.embeds.cpu() for prompt, text in read})

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        return torch.stack([self.embeds[prompt] for prompt in prompts])

    def binding(self, embeds: Tensor, scenes: Tensor) -> Tensor:
        return embeds.new_zeros(())  # nothing of them learns


class LearningPrompts:
    """A text encoder that is trained along. `ids`: token ids [L] of a prompt, padded.

    Pictures alone teach it late which words belong to which scene, which a large T5 knows: a linear reader beside it
    is asked for every word, and both learn from its answers.
    """

    def __init__(self, encoder: nn.Module, ids: Callable[[str], Tensor], width: int) -> None:
        self._encoder, self._ids = encoder, ids
        self._reader = nn.Linear(width, SCENES)
        nn.init.zeros_(self._reader.weight)
        nn.init.zeros_(self._reader.bias)
        self._reader.to(next(encoder.parameters()).device)
        self.modules: Mapping[str, nn.Module] = {"text_encoder": encoder, "scene_reader": self._reader}

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        ids = torch.stack([self._ids(prompt) for prompt in prompts])
        states: Tensor = self._encoder(input_ids=ids.to(next(self._encoder.parameters()).device)).last_hidden_state
        return states

    def binding(self, embeds: Tensor, scenes: Tensor) -> Tensor:
        """Cross-entropy of the scene that each token speaks of: embeds [B, L, D], scenes [B, L] in 0..2, else -1."""
        if bool((scenes < 0).all()):
            return embeds.sum() * 0.0
        found = self._reader(embeds.float()).flatten(0, 1)
        return nn.functional.cross_entropy(found, scenes.flatten().to(found.device), ignore_index=-1)


@dataclass(frozen=True)
class Progress:
    """What a run tells after each step: the number of steps made, of how many, and the mean loss of late."""

    step: int
    steps: int
    loss: float


def train_transitions(
    folder: Path,
    backbone: Backbone,
    prompts: Prompts,
    batches: Callable[[int], Iterator[Mapping[str, Any]]],
    recipe: Recipe,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, nn.Module]:
    """Trains to `recipe.steps`, resuming from the folder's checkpoint; gives the trained parts with averaged weights.

    batches(n): the batches from the n-th on, each with `latents` [B, F, C, h, w] of one shape and B `prompts`, and
    perhaps with `scenes` [B, L]: of which scene each token speaks (0 first, 1 second, 2 the only one, -1 neither), and
    `cuts` [B]: the latent frame with which the second scene begins, 0 for none.
    Only parameters of the transformer that ask for a gradient are trained.
    Raises InputError for a model that does not predict v, MPVGError when the loss stops being a number.
    """
    transformer: Any = backbone.transformer
    scheduler = backbone.new_scheduler()
    if scheduler.config.prediction_type != "v_prediction":
        what = f"its scheduler says {scheduler.config.prediction_type!r}"
        raise InputError(Problem(f"model {backbone.name!r}", what, "v_prediction", "choose a CogVideoX 2b or 5b model"))
    if recipe.frames and transformer.config.use_rotary_positional_embeddings:
        remedy = "leave --frames out: rotary positions are those of whole clips"
        raise InputError(Problem("--frames", f"model {backbone.name!r} has rotary positions", "0", remedy))
    signals = scheduler.alphas_cumprod.float()
    trained = {name: Trained(module) for name, module in {"transformer": transformer, **prompts.modules}.items()}
    optimisers = Optimisers(trained, matrix_lr=recipe.lr, other_lr=recipe.lr, outer=("",))  # AdamW for everything
    run = Run(folder, trained, optimisers, decay=recipe.decay, seed=recipe.seed, save_every=recipe.save_every)
    if run.start > recipe.steps:
        what = f"this run has made {run.start} steps already"
        raise InputError(Problem("--steps", str(recipe.steps), f"more: {what}", "or begin anew in another --out"))
    transformer.train()
    running: float | None = None
    coming = batches(run.start)
    for step in range(run.start, recipe.steps):
        generator = run.generator(step)
        batch = next(coming)
        shown = torch.rand(len(batch["prompts"]), generator=generator) >= TEXT_DROPOUT
        told = [prompt if show else "" for prompt, show in zip(batch["prompts"], shown.tolist(), strict=True)]
        scenes = batch["scenes"].where(shown[:, None], -1) if "scenes" in batch else None
        noised = noise_up(batch["latents"], signals, generator)
        kept = _some_frames(noised.noisy.shape, transformer.config.patch_size, recipe.frames, generator)
        size = recipe.at_once or len(told)
        total = bound = attended = 0.0
        for start in range(0, len(told), size):
            part = slice(start, min(start + size, len(told)))
            share = (part.stop - start) / len(told)
            embeds = prompts(told[part])
            with watched(transformer, _taught_blocks(transformer) if scenes is not None else ()) as heads:
                loss = share * _loss(backbone, embeds, noised.part(part), recipe, kept)
            total += float(loss.detach())
            if scenes is not None:
                binding = share * prompts.binding(embeds, scenes[part])
                shown_scene = _scene_of_video(batch["cuts"][part], noised.noisy.shape, transformer.config.patch_size)
                attending = share * _attending(heads, scenes[part], shown_scene, kept)
                bound, attended = bound + float(binding.detach()), attended + float(attending.detach())
                loss = loss + BINDING * binding + ATTENDING * attending
            if part.stop < len(told):
                loss.backward()
        if not isfinite(total):
            raise MPVGError(f"The loss is {total} in step {step + 1}; begin anew in another --out with a lower --lr.")
        norm = run.update(loss, 1.0)
        running = total if running is None else 0.98 * running + 0.02 * total
        if step % 10 == 0 or step + 1 == recipe.steps:
            more = {} if scenes is None else {"binding": round(bound, 4), "attending": round(attended, 4)}
            run.journal.log(step=step, loss=round(running, 5), norm=round(norm, 4), **more)
        run.save_if_due(step, recipe.steps)
        report(Progress(step + 1, recipe.steps, running))
    run.average.copy_to(trained)
    transformer.eval()
    parts = {"transformer": transformer, **prompts.modules}
    return {name: module for name, module in parts.items() if name in PARTS}


class Trained(nn.Module):
    """The parameters of a module that ask for a gradient, under their own names: all that a run keeps and averages."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                self.register_parameter(name.replace(".", "/"), parameter)


@dataclass(frozen=True)
class Noised:
    """Clips on their way: noisy = a·x0 + s·ε and the target v = a·ε − s·x0, both [B, F, C, h, w]; timesteps and the
    signals a² [B]."""

    noisy: Tensor
    target: Tensor
    timesteps: Tensor
    signal: Tensor

    def part(self, some: slice) -> Noised:
        return Noised(self.noisy[some], self.target[some], self.timesteps[some], self.signal[some])


def noise_up(latents: Tensor, signals: Tensor, generator: torch.Generator) -> Noised:
    """Noise for clips [B, F, C, h, w] at timesteps that are stratified over the batch: one in each of B equal parts of
    the schedule `signals` [T]. Drawn on the CPU, so that every device learns from the same noise."""
    batch, steps = len(latents), len(signals)
    spread = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    timesteps = (spread * steps).long().clamp(max=steps - 1)
    latents = latents.float().cpu()
    noise = torch.randn(latents.shape, generator=generator)
    signal = signals.cpu()[timesteps]
    a, s = (part.sqrt().view(-1, 1, 1, 1, 1) for part in (signal, 1 - signal))
    return Noised(a * latents + s * noise, a * noise - s * latents, timesteps, signal)


def _loss(backbone: Backbone, embeds: Tensor, noised: Noised, recipe: Recipe, kept: Tensor | None) -> Tensor:
    transformer, device = backbone.transformer, backbone.device
    some = only_tokens(transformer, kept) if kept is not None else nullcontext()
    noisy = noised.noisy.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16), some:
        output = backbone.denoise(noisy, noised.timesteps.to(device), embeds.to(device), branch="training")
    error = (output.float() - noised.target.to(device)).square()
    if kept is None:
        errors = error.mean(dim=(1, 2, 3, 4))
    else:
        frames, _, height, width = error.shape[1:]
        cells = kept_cells(kept, frames, height, width, transformer.config.patch_size).to(error)  # type: ignore[union-attr, arg-type]
        errors = (error * cells).mean(dim=(1, 2, 3, 4)) / cells.mean()
    weights = min_snr_weight(noised.signal, recipe.gamma, recipe.weighting).to(device)
    return (weights * errors).mean()


def _taught_blocks(transformer: Any) -> range:
    """The first half of the blocks but for the very first: places are settled there."""
    return range(1, max(2, len(transformer.transformer_blocks) // 2 + 1))


def _attending(heads: Heads, scenes: Tensor, shown: Tensor, kept: Tensor | None) -> Tensor:
    """See `attention_binding_loss`: each video token looks at the words of the scene that it shows."""
    device = heads.queries[0].device
    shown = shown if kept is None else shown[:, kept]
    head = min(_HEAD, heads.queries[0].shape[1] - 1)
    return attention_binding_loss(heads, scenes.to(device), shown.to(device), head=head)


def _scene_of_video(cuts: Tensor, shape: Sequence[int], patch: int) -> Tensor:
    """Which scene each video token shows [B, V]: 0 before the cut, 1 from it on, 2 in clips without one (cut 0)."""
    a_frame = (shape[3] // patch) * (shape[4] // patch)
    frames = torch.arange(shape[1]).repeat_interleave(a_frame)[None]
    return torch.where(cuts[:, None] > 0, (frames >= cuts[:, None]).long(), 2)


def _some_frames(shape: Sequence[int], patch: int, frames: int, generator: torch.Generator) -> Tensor | None:
    """Indices of the tokens of `frames` latent frames drawn anew each step; None for all."""
    if not frames or frames >= shape[1]:
        return None
    a_frame = (shape[3] // patch) * (shape[4] // patch)
    shown = torch.randperm(shape[1], generator=generator)[:frames].sort().values
    return (shown[:, None] * a_frame + torch.arange(a_frame)).flatten()
