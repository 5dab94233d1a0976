"""How a film is made: what is the same for all of its shots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..diffusion.guidance import HistoryGuidance
from ..errors import InputError, Problem
from ..history.select import SelectionSettings

SCHEDULERS = ("ddim", "dpm")
MOST_STEPS = 1000  # the training timesteps of CogVideoX


@dataclass(frozen=True)
class FilmSettings:
    """Sampling and remembering, the same for every shot. Raises InputError naming every field that is wrong.

    steps: denoising steps, 1 to 1000. scheduler: `ddim` (no noise added on the way) or `dpm` (fewer steps do).
    batched: evaluate the guidance's conditions together; faster where memory is to spare, equal to float rounding.
    selection: which words of earlier shots are remembered; None = as the adapter was trained with.
    """

    steps: int = 50
    guidance: HistoryGuidance = field(default_factory=HistoryGuidance)
    scheduler: str = "ddim"
    batched: bool = False
    selection: SelectionSettings | None = None

    def __post_init__(self) -> None:
        problems = []
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or not 1 <= self.steps <= MOST_STEPS:
            problems.append(Problem("steps", f"{self.steps!r}", f"a whole number from 1 to {MOST_STEPS}"))
        if self.scheduler not in SCHEDULERS:
            problems.append(Problem("scheduler", f"{self.scheduler!r} is unknown", f"one of {', '.join(SCHEDULERS)}"))
        if problems:
            raise InputError(problems)

    def text_inputs(self) -> dict[str, Any]:
        """What of the settings goes into every take."""
        return {
            "steps": self.steps,
            "scheduler": self.scheduler,
            "batched": self.batched,
            "text_scale": float(self.guidance.text_scale),
            "schedule": self.guidance.schedule,
        }

    def history_inputs(self) -> dict[str, Any]:
        """What of the settings goes only into takes that remember: without history it has no effect."""
        inputs: dict[str, Any] = {
            "history_scale": float(self.guidance.history_scale),
            "form": self.guidance.form,
            "interval": [float(end) for end in self.guidance.interval],
        }
        if self.guidance.segments:  # takes made without any keep the ids they have
            inputs["segments"] = [segment.described() for segment in self.guidance.segments]
        return inputs
