"""Each method on and off, on the same boards with the same seeds: what it changes against leaving it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..backbone.cogvideox import CogVideoXBackbone
from ..film.chain import film_storyboard
from ..film.pictures import shrunk
from ..film.reading import read_pictures
from ..film.settings import FilmSettings
from ..film.takes import TakeStore
from ..history.adapter import HistoryAdapter
from ..storyboard.model import Storyboard
from ..storyboard.plan import plan_film
from .figures import Figure, average
from .method_trained import TRAINED
from .method_trials import TRIALS as UNTRAINED
from .method_trials import Better, Trial, draw_cast
from .world import SIZE

TRIALS = (*UNTRAINED, *TRAINED)

FIRST_SEED = 300_000  # held out: training draws from a million on


@dataclass(frozen=True)
class Outcome:
    """One method: its own figure without and with it, the change of each (paired by seed) and whether it is the right
    way beyond the spread of runs; the other figures; transformer calls; clips of the first seeds [off, on]."""

    name: str
    own: str
    better: Better
    off: Mapping[str, Figure]
    on: Mapping[str, Figure]
    change: Figure
    calls: tuple[float, float]
    clips: Sequence[Sequence[np.ndarray]]

    @property
    def moves_it(self) -> bool:
        """Whether the whole interval of the change lies on the right side of nothing."""
        right = self.change.mean if self.better == "higher" else -self.change.mean
        return right > self.change.interval


@dataclass(frozen=True)
class LeftOut:
    """A method that could not be tried with this model, and why."""

    name: str
    why: str


class _Counted:
    """A backbone that counts the rows its transformer is asked for."""

    def __init__(self, backbone: CogVideoXBackbone) -> None:
        self._backbone, self.calls = backbone, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        self.calls += latents.shape[0]
        return self._backbone.denoise(latents, timestep, embeds, branch=branch)


def run_methods(
    backbone: CogVideoXBackbone,
    settings: FilmSettings,
    *,
    adapter: HistoryAdapter | None = None,
    seeds: int = 8,
    first_seed: int = FIRST_SEED,
    trials: Sequence[Trial] = TRIALS,
    report: Callable[[str], None] = lambda _: None,
) -> list[Outcome | LeftOut]:
    """Films every trial without and with its method, `seeds` times from `first_seed` on, or says why it cannot.

    Shots remember only in trials of what does something to memory; these pull towards it as `settings` say.
    """
    found: list[Outcome | LeftOut] = []
    for trial in trials:
        report(trial.name)
        if (why := _hindrance(trial, backbone, adapter)) is not None:
            found.append(LeftOut(trial.name, why))
            continue
        how = settings if trial.scheduler is None else replace(settings, scheduler=trial.scheduler)
        if not trial.remembers:
            how = replace(how, guidance=replace(how.guidance, history_scale=0.0))
        remembering = adapter if trial.remembers else None
        figures: dict[bool, list[Mapping[str, float]]] = {False: [], True: []}
        calls, clips = {False: 0, True: 0}, []
        for number in range(seeds):
            cast = draw_cast(first_seed + number)
            made = {}
            for used in (False, True):
                counted = _Counted(backbone)
                made[used] = _film(trial.board(cast, used), first_seed + number, counted, remembering, how)
                figures[used].append(trial.read(cast, made[used]))
                calls[used] += counted.calls
            if number < 4:
                clips.append([_ending(made[False]), _ending(made[True])])
        off, on = (
            {name: average(figure[name] for figure in figures[used]) for name in figures[used][0]}
            for used in (False, True)
        )
        changes = [b[trial.own] - a[trial.own] for a, b in zip(figures[False], figures[True], strict=True)]
        per_film = (calls[False] / seeds, calls[True] / seeds)
        found.append(Outcome(trial.name, trial.own, trial.better, off, on, average(changes), per_film, clips))
    return found


def _hindrance(trial: Trial, backbone: CogVideoXBackbone, adapter: HistoryAdapter | None) -> str | None:
    """Why a trial cannot be filmed with this model; None if it can."""
    if trial.remembers and adapter is None:
        return "no history adapter lies with the model"
    if trial.needs is not None and backbone.companion(trial.needs) is None:
        return f"no adapter: {trial.needs} does not lie with the model"
    return None


@torch.no_grad()
def _film(
    board: Mapping[str, Any], seed: int, backbone: Any, adapter: HistoryAdapter | None, settings: FilmSettings
) -> list[np.ndarray]:
    """The clips of a board's shots, at the model's own size, as the film's files have them."""
    plan = plan_film(Storyboard.model_validate(board), backbone.limits(), seed=seed)
    with TemporaryDirectory() as folder, TakeStore(Path(folder)) as store:
        film = film_storyboard(plan, backbone, adapter, settings, store)
        clips = [np.stack(list(read_pictures(shot.take.clip))) for shot in film.shots]
    return [np.stack([shrunk(frame, frame.shape[0] // SIZE) for frame in clip]) for clip in clips]


def _ending(clips: Sequence[np.ndarray]) -> np.ndarray:
    """The film's last frames, which show what the method did: 17 or more."""
    return np.concatenate(clips)[-max(len(clips[-1]), 17) :]
