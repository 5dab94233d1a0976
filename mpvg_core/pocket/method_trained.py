"""Trials of the methods that have learned something: what they learned lies in a file beside the model."""

from __future__ import annotations

from dataclasses import replace

from ..storyboard.method import CONTROL_ADAPTER, TEMPORAL_ADAPTER
from .control import actor_tracks, followed
from .figures import look_at, look_of
from .method_trials import Board, Cast, Clips, Trial, board_of, kept_look, settings_if, shot_figures
from .swaying import FILE, MOTION, followed_share
from .world import FRAMES, PLACES, Role, Scene, draw_scene

_LOOK = ("shape", "colour")


def _aside(cast: Cast) -> Scene:
    """The actor left or right of its spot, where no story has it."""
    return replace(cast.scene(), shift=1.0 if list(PLACES).index(cast.place) % 2 else -1.0)


def _control(cast: Cast, used: bool) -> Board:
    scene = _aside(cast)
    shot: Board = {"prompt": cast.prompt(look=cast.look)}
    if used:
        [track] = actor_tracks(scene, draw_scene(scene))
        lines = [{"entity": "Actor 1", "at": at, "box": list(box)} for at, box in track]
        shot |= {"layout": lines, "method": {"control": {"strength": 1.0}}}
    return board_of(shot)


def _read_control(cast: Cast, clips: Clips) -> dict[str, float]:
    overlap = followed([_aside(cast)], clips[:1]).overlap.mean
    return {"overlap": overlap, **shot_figures(cast.scene(), clips[0])}


def _edges(cast: Cast, used: bool) -> Board:
    """The look is told to an earlier shot alone, whose edges are followed."""
    follow = {"shot": "first", "edges": True, "interval": (0.0, 0.7)}
    return board_of(
        {"name": "first", "prompt": cast.prompt(look=cast.look)},
        {"prompt": cast.prompt(), **settings_if(used, control=follow)},
    )


def _read_edges(cast: Cast, clips: Clips) -> dict[str, float]:
    """Edges tell a shape and no colour."""
    scene = cast.scene()
    found = look_of(look_at(scene, clips[1][:FRAMES]), 0)
    same = {part: float(found is not None and getattr(found, part) == getattr(cast.look, part)) for part in _LOOK}
    return {**same, **shot_figures(scene, clips[1])}


def _cross_shot(cast: Cast, used: bool) -> Board:
    """The same place again; only the shot before tells who is there."""
    return board_of(
        {"prompt": cast.prompt(look=cast.look)}, {"prompt": cast.prompt(), **settings_if(used, cross_shot=1.0)}
    )


def _read_cross_shot(cast: Cast, clips: Clips) -> dict[str, float]:
    return {"look": kept_look(cast.scene(), clips[1], cast.look), **shot_figures(cast.scene(), clips[1])}


def _one_shot(cast: Cast, used: bool) -> Board:
    return board_of({"prompt": cast.prompt(look=cast.look, motion=MOTION), **settings_if(used, one_shot=FILE)})


def _read_one_shot(cast: Cast, clips: Clips) -> dict[str, float]:
    scene = Scene((Role(0, cast.look, MOTION),), cast.place)
    look = kept_look(scene, clips[0], cast.look)
    return {"sways": followed_share(scene, clips[0]), "look": look, **shot_figures(scene, clips[0])}


TRAINED: tuple[Trial, ...] = (
    Trial("control by boxes", "overlap", "higher", _control, _read_control, needs=CONTROL_ADAPTER),
    Trial("control by edges", "shape", "higher", _edges, _read_edges, needs=CONTROL_ADAPTER),
    Trial("earlier shots in view", "look", "higher", _cross_shot, _read_cross_shot, needs=TEMPORAL_ADAPTER),
    Trial("one clip's motion", "sways", "higher", _one_shot, _read_one_shot, needs=FILE),
)
"""Every method that is trained, with the figure that it is to move."""
