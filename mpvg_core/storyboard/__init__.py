"""What to film: storyboards read, checked and planned, without torch or numpy."""

from .dump import dump_storyboard
from .model import Actor, Place, Placement, Shot, Storyboard
from .plan import FilmPlan, ModelLimits, ShotPlan, plan_film, require_known_words
from .read import parse_storyboard, read_storyboard

__all__ = [
    "Actor",
    "FilmPlan",
    "ModelLimits",
    "Place",
    "Placement",
    "Shot",
    "ShotPlan",
    "Storyboard",
    "dump_storyboard",
    "parse_storyboard",
    "plan_film",
    "read_storyboard",
    "require_known_words",
]
