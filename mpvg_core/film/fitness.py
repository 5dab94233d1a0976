"""Whether a model and a scheduler can film what shots ask for: said of all of them before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..diffusion.schedule import draws_noise
from ..errors import InputError, Problem
from ..storyboard.words import shot_label

if TYPE_CHECKING:
    from ..backbone.interface import Backbone
    from ..storyboard.method import Method
    from ..storyboard.plan import ShotPlan


def require_kept_noise(shots: Iterable[ShotPlan], backbone: Backbone, scheduler: str) -> None:
    """Raises InputError for every shot whose methods act by noise that the scheduler does not keep."""
    if draws_noise(backbone.new_scheduler(scheduler)):
        _refuse(problem for shot in shots for problem in noise_problems(_where(shot), shot.method, scheduler))


def require_control(shots: Iterable[ShotPlan], backbone: Backbone) -> None:
    """Raises InputError for every shot that a control model cannot film."""
    if getattr(backbone, "control_channels", 0):
        _refuse(problem for shot in shots for problem in _of_control(shot, backbone.name))


def _refuse(problems: Iterable[Problem]) -> None:
    if found := [*dict.fromkeys(problems)]:
        raise InputError(found)


def noise_problems(where: str, method: Method, scheduler: str) -> Iterator[Problem]:
    """What is wrong with methods that act by noise where `scheduler` draws its own; `where` names the shot."""
    for name in method.by_noise:
        what = f"method {name} acts by noise, and the scheduler {scheduler!r} draws its own"
        yield Problem(where, what, remedy="film with ddim, or switch the method off")


def _of_control(shot: ShotPlan, model: str) -> Iterator[Problem]:
    control, look, edit = shot.method.control, shot.method.keep_look, shot.method.edit
    what = f"the control model {model!r} films after a control clip only"
    if not control:
        yield Problem(_where(shot), what, "method control with adapter: off", "or choose another model")
    elif control.adapter_file is not None:
        yield Problem(_where(shot), f"{what}, and by itself", "adapter: off in its method control")
    # Both look at another clip by the model, which has no control clip of its own.
    asking = {"keep_look": look and look.strength, "edit by inversion": edit and edit.by == "inversion"}
    for name in (name for name, asks in asking.items() if asks):
        yield Problem(_where(shot), f"{what}, and {name} shows it others", remedy="switch it off")


def _where(shot: ShotPlan) -> str:
    return shot.where or shot_label(shot.name)
