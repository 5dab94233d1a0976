"""A training run that survives being killed: its modules, optimisers and average, a log, and checkpoints."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from .optimise import MovingAverage, Optimisers


class Run:
    """Modules being trained in a folder of their own; `followers` are kept with them but not averaged.

    A new run of the same folder goes on from its checkpoint: `start` is the number of steps already made. A moment of a
    run is one generator, from the seed and the step alone, so that a resumed run draws what it would have drawn.
    """

    def __init__(
        self,
        folder: Path,
        modules: Mapping[str, nn.Module],
        optimisers: Optimisers,
        *,
        decay: float,
        seed: int = 0,
        save_every: int = 100,
        followers: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self.journal = Journal(folder)
        self.modules, self.optimisers, self.followers = dict(modules), optimisers, dict(followers or {})
        self.average = MovingAverage(modules, decay)
        self.seed, self.save_every, self.start = seed, save_every, 0
        checkpoint = self.journal.load()
        if checkpoint:
            for name, module in self.modules.items():
                module.load_state_dict(checkpoint["modules"][name])
            for name, module in self.followers.items():
                module.load_state_dict(checkpoint["followers"][name])
            optimisers.load_state_dict(checkpoint["optimisers"])
            self.average.count = self.start = checkpoint["step"]
            for name, shadow in self.average.shadow.items():
                for key, value in shadow.items():
                    value.copy_(checkpoint["average"][name][key])

    def generator(self, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + step)

    def update(self, loss: torch.Tensor, factor: float) -> float:
        """One step down the gradient of `loss` with learning rates times `factor`; gives the gradient's norm."""
        loss.backward()
        norm = self.optimisers.step(factor)
        self.average.update(self.modules)
        return norm

    def save_if_due(self, step: int, steps: int) -> bool:
        """Writes a checkpoint after every `save_every` steps and after the last one; tells whether it did."""
        if (step + 1) % self.save_every and step + 1 != steps:
            return False
        self.save(step + 1)
        return True

    def save(self, steps: int) -> None:
        """Writes a checkpoint as of `steps` steps made."""
        self.journal.save(
            {
                "step": steps,
                "modules": {name: module.state_dict() for name, module in self.modules.items()},
                "followers": {name: module.state_dict() for name, module in self.followers.items()},
                "optimisers": self.optimisers.state_dict(),
                "average": self.average.shadow,
            }
        )


Kind = TypeVar("Kind")


def on_device(value: Kind, device: torch.device) -> Kind:
    """A tensor, or a dataclass of tensors and of such dataclasses, on `device`; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(device)  # type: ignore[return-value]
    if hasattr(value, "__dataclass_fields__"):
        parts = {field.name: on_device(getattr(value, field.name), device) for field in fields(value)}  # type: ignore[arg-type]
        return replace(value, **parts)  # type: ignore[type-var]
    return value


class Journal:
    """A run's log: one JSON object a line, appended; and its newest checkpoint, replaced whole."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._started = time.monotonic()

    def log(self, **values: Any) -> None:
        values["seconds"] = round(time.monotonic() - self._started, 1)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(values) + "\n")

    def save(self, state: Mapping[str, Any]) -> None:
        temporary = self.folder / "checkpoint.tmp"
        torch.save(dict(state), temporary)
        os.replace(temporary, self.folder / "checkpoint.pt")

    def load(self) -> dict[str, Any] | None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return None
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return loaded
