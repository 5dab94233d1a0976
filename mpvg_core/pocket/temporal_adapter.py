"""Trains the pocket's cross-shot temporal adapter on endless stories, and measures what it sees of the past.

    python -m mpvg_core.pocket.temporal_adapter --runs DIR [--steps N] [--out FILE]

DIR holds the base that the recipe trained (`base/checkpoint.pt`, `basis.safetensors`); the run resumes from
DIR/temporal_adapter after a stop.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..backbone.construct import new_scheduler
from ..film.durable import written_whole
from ..methods.temporal_adapter import (
    PastFrames,
    TemporalAdapter,
    attached,
    new_temporal_adapter,
    write_temporal_adapter,
)
from ..training.temporal_adapter import AdapterRecipe, StoryLesson, lesson_loss, story_past, train_temporal_adapter
from ..training.transitions import Progress, noise_up
from .base import ACTOR_WEIGHT, SCHEDULER, tokenizer
from .history import encode_prompts
from .latents import LatentBasis
from .recipe import averaged_base, load_basis
from .stories import StoryBatches

STEPS, BATCH, FRAMES = 2000, 16, 3
SHOTS = 4  # of a story that a shot may have before it
MEASURED = 6  # batches
Figures = dict[str, dict[str, float]]
_FRESH = 10_007  # seed of the stories that measure: no training run draws them


@dataclass(frozen=True)
class PocketBase:
    """The base as training needs it: transformer and scheduler in the stock classes."""

    transformer: nn.Module
    device: torch.device
    name: str = "pocket"

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        output: Tensor = self.transformer(latents, embeds, timestep, return_dict=False)[0]
        return output

    def new_scheduler(self, name: str = "ddim") -> Any:
        return new_scheduler(SCHEDULER)


class Lessons:
    """Lessons drawn from endless stories; prompts are read by the base's own text encoder, and tell no looks (but for
    a few, see `StoryBatches`)."""

    def __init__(self, basis: LatentBasis, text_encoder: nn.Module, per_clip: int, *, batch: int, seed: int) -> None:
        self._basis, self._text_encoder, self._words = basis, text_encoder, tokenizer()
        self._per_clip, self._batch, self._seed = per_clip, batch, seed
        self.empty = self.read([""])[0]

    def read(self, prompts: list[str]) -> Tensor:
        return torch.stack([text.embeds for text in encode_prompts(self._text_encoder, self._words, prompts)])

    def ahead(self, workers: int) -> Callable[[int], Iterator[StoryLesson]]:
        def lessons(start: int) -> Iterator[StoryLesson]:
            drawn = StoryBatches(self._basis, self._batch, most_past=SHOTS, seed=self._seed, skip=start)
            return map(self._lesson, drawn.ahead(workers))

        return lessons

    def _lesson(self, drawn: Mapping[str, Any]) -> StoryLesson:
        embeds = self.read([told[-1].prompt for told in drawn["prompts"]])
        past = story_past(drawn["clips"], self._per_clip)
        return StoryLesson(drawn["latents"], embeds, past, ACTOR_WEIGHT * drawn["actors"])


@torch.no_grad()
def measure(base: PocketBase, adapter: TemporalAdapter, lessons: Iterator[StoryLesson], batches: int) -> Figures:
    """The loss on fresh stories without the past, with the shot's own, and with another story's (a lesson holds two or
    more): what the adapter sees of a past is the difference between the last two; what it does whatever it sees, the
    last one's to the first. Over all noise levels, and in the noisiest quarter, where what is shown is settled.
    """
    signals = base.new_scheduler().alphas_cumprod.float()
    losses: dict[str, list[Tensor]] = {"without": [], "own": [], "another's": []}
    for number in range(batches):
        lesson = next(lessons)
        noised = noise_up(lesson.latents, signals, torch.Generator().manual_seed(number))  # ever noisier by row
        past = lesson.past
        other = PastFrames(past.latents.roll(SHOTS, dims=0), past.frames, past.ages, past.mask)
        for name, seen in (("without", None), ("own", past), ("another's", other)):
            with attached(base.transformer, adapter, seen):
                losses[name].append(lesson_loss(base, noised, lesson.embeds, lesson.emphasis).cpu())
    found = {name: torch.stack(rows) for name, rows in losses.items()}  # (batches, B)
    return {
        "all": {name: round(float(rows.mean()), 5) for name, rows in found.items()},
        "noisiest": {name: round(float(rows[:, -(rows.shape[1] // 4) :].mean()), 5) for name, rows in found.items()},
    }


def train(
    runs: Path, *, steps: int = STEPS, batch: int = BATCH, workers: int = 0, device: torch.device | None = None
) -> tuple[TemporalAdapter, Figures]:
    """The adapter trained to `steps` in all, and its figures on fresh stories (see `measure`)."""
    device = device or torch.device("cpu")
    torch.manual_seed(0)
    modules = averaged_base(runs)
    base = PocketBase(modules["transformer"].eval().to(device), device)
    # Prompts are read on the CPU, and what comes of it is moved: it is little.
    text_encoder = modules["text_encoder"].eval().requires_grad_(False)
    adapter = new_temporal_adapter(base.transformer).to(device)
    recipe = AdapterRecipe(steps=steps, frames=FRAMES)
    lessons = Lessons(load_basis(runs), text_encoder, adapter.per_clip, batch=batch, seed=recipe.seed)
    train_temporal_adapter(
        runs / "temporal_adapter", base, adapter, lessons.ahead(workers), lessons.empty, recipe, report=_said
    )
    fresh = Lessons(load_basis(runs), text_encoder, adapter.per_clip, batch=BATCH, seed=_FRESH)
    figures = measure(base, adapter, fresh.ahead(0)(0), MEASURED)
    adapter.trained |= {"recipe": "mpvg_core.pocket.temporal_adapter", "batch": batch, "losses": figures}
    return adapter, figures


def _said(now: Progress) -> None:
    if now.step % 50 == 0 or now.step == now.steps:
        print(f"step {now.step} of {now.steps}: loss {now.loss:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the recipe's checkpoints, and this one's")
    parser.add_argument("--out", type=Path, help="the adapter's file; default: DIR/temporal_adapter.safetensors")
    parser.add_argument("--steps", type=int, default=STEPS, help="in all, those before a resume included")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"shots a step, a multiple of {SHOTS}")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    adapter, figures = train(
        options.runs,
        steps=options.steps,
        batch=options.batch,
        workers=options.workers,
        device=torch.device(options.device),
    )
    out = options.out or options.runs / "temporal_adapter.safetensors"
    with written_whole(out) as temporary:
        write_temporal_adapter(adapter, temporary)
    print(json.dumps({"adapter": str(out), "losses": figures}, indent=2))


if __name__ == "__main__":
    main()
