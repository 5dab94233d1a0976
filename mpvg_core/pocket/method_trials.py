"""What each method is tried on: a short storyboard of the toy world without and with it, and the figure it is to move.

A board is written as an artist would write it. Looks, places and motions are drawn by the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .figures import look_at, look_of, motion_degree
from .world import COLOURS, FRAMES, MOTIONS, PLACES, SHAPES, SIZE, Look, Role, Scene, background

Board = dict[str, Any]
Clips = Sequence[np.ndarray]  # of the shots, each uint8 [T, 64, 64, 3]
Better = Literal["higher", "lower"]

BOXES_SPEAK = 15.0  # strength: at 1 a box's few words are outvoted by the prompt's
SEAM_FRAMES = 4  # frames of a latent frame: where a border lies is known so far


@dataclass(frozen=True)
class Cast:
    """What the seed drew for a board: two looks, two places, a motion."""

    look: Look
    other: Look
    place: str
    elsewhere: str
    motion: str

    def scene(self, *, look: Look | None = None, place: str | None = None) -> Scene:
        return Scene((Role(0, look or self.look, self.motion),), place or self.place)

    def prompt(self, *, look: Look | None = None, place: str | None = None, motion: str | None = None) -> str:
        """Actor 1 with or without a look."""
        told = f" ({look})" if look else ""
        return f"Actor 1{told} is {MOTIONS[motion or self.motion][0]} {PLACES[place or self.place]}."


@dataclass(frozen=True)
class Trial:
    """One method on trial.

    board: the storyboard with the method (True) or without; own: the name of the figure that the method is to move, and
    `better` which way; read: the figures of a board's clips, its own among them. remembers: the shots remember, without
    the method too. needs: the file beside the model that holds what the method has learned. scheduler: the one that
    it wants: where every step adds noise, what a shot starts from counts less.
    """

    name: str
    own: str
    better: Better
    board: Callable[[Cast, bool], Board]
    read: Callable[[Cast, Clips], Mapping[str, float]]
    remembers: bool = False
    needs: str | None = None
    scheduler: str | None = None


def draw_cast(seed: int) -> Cast:
    rng = np.random.default_rng([seed, 53])
    colours, places = rng.permutation(list(COLOURS)), rng.permutation(list(PLACES))
    shapes = rng.permutation(list(SHAPES))
    motion = str(rng.choice([motion for motion in MOTIONS if motion != "walking away"]))
    looks = [Look(str(colour), str(shape)) for colour, shape in zip(colours, shapes, strict=False)]
    return Cast(looks[0], looks[1], str(places[0]), str(places[1]), motion)


# ------------------------------------------------------------------------------------------------------- figures


def shot_figures(scene: Scene, clip: np.ndarray) -> dict[str, float]:
    """What every method leaves right: the place, the motion, and that something moves."""
    shot = look_at(scene, clip[:FRAMES])
    actors = shot.reading.actors
    motions = [actor.motion for actor in actors]
    return {
        "place": float(shot.reading.place == scene.place),
        "motion": float(motions == [role.motion for role in scene.roles]),
        "moves": motion_degree(clip),
    }


def kept_look(scene: Scene, clip: np.ndarray, wanted: Look, *, actor: int = 0) -> float:
    """Half a point for the colour, half for the shape."""
    found = look_of(look_at(scene, clip[:FRAMES]), actor)
    return 0.0 if found is None else ((found.colour == wanted.colour) + (found.shape == wanted.shape)) / 2


def seam(frames: np.ndarray, borders: Sequence[int]) -> float:
    """The change from frame to frame at the borders over that elsewhere: 1 = no border is to be seen.

    A border is the larger change within half a latent frame of it.
    """
    steps = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    near = {b: range(max(b - SEAM_FRAMES // 2, 0), min(b + SEAM_FRAMES // 2, len(steps))) for b in borders}
    elsewhere = [steps[i] for i in range(len(steps)) if not any(i in span for span in near.values())]
    return float(np.mean([steps[list(span)].max() for span in near.values()]) / max(np.mean(elsewhere), 1e-3))


def difference(one: np.ndarray, other: np.ndarray, columns: slice = slice(None)) -> float:
    """Mean absolute difference of two clips, levels of 255."""
    return float(np.abs(one[:, :, columns].astype(np.float32) - other[:, :, columns].astype(np.float32)).mean())


def _actor_x(scene: Scene, clip: np.ndarray) -> float:
    """Where the actor is, 0 = left, 1 = right; the middle if none is seen."""
    actors = look_at(scene, clip[:FRAMES]).reading.actors
    return actors[0].x / SIZE if actors else 0.5


# -------------------------------------------------------------------------------------------------------- boards


def board_of(*shots: Board) -> Board:
    """A storyboard of these shots."""
    return {"title": "trial", "shots": list(shots)}


def settings_if(used: bool, **methods: Any) -> Board:
    """The methods of a shot, where they are on trial."""
    return {"method": methods} if used else {}


def _keep_look(cast: Cast, used: bool) -> Board:
    return board_of(
        {"name": "first", "prompt": cast.prompt(look=cast.look)},
        {"prompt": cast.prompt(place=cast.elsewhere), **settings_if(used, keep_look=1.0)},
    )


def _read_keep_look(cast: Cast, clips: Clips) -> dict[str, float]:
    scene = cast.scene(place=cast.elsewhere)
    return {"look": kept_look(scene, clips[1], cast.look), **shot_figures(scene, clips[1])}


LONG = 57  # frames: fifteen latent ones, three of the pocket's clips of five end to end
BORDERS = (16, 36)  # frames before the second and the third


def _windows(cast: Cast, used: bool) -> Board:
    how = {} if used else {"overlap": 0, "weights": "flat", "freenoise": False}
    return board_of({"prompt": cast.prompt(look=cast.look), "frames": LONG, "method": {"windows": how}})


def _read_long(cast: Cast, clips: Clips) -> dict[str, float]:
    return {"seam": seam(clips[0], BORDERS), **shot_figures(cast.scene(), clips[0])}


def _freenoise(cast: Cast, used: bool) -> Board:
    """Windows that share nothing but, with it, their noise."""
    how = {"overlap": 0, "weights": "flat", "freenoise": used}
    return board_of({"prompt": cast.prompt(), "frames": LONG, "method": {"windows": how}})


def _read_one_look(cast: Cast, clips: Clips) -> dict[str, float]:
    """Whether who is there at the end looks as at the beginning; no prompt tells how."""
    scene, clip = cast.scene(), clips[0]
    first = look_of(look_at(scene, clip[:FRAMES]), 0)
    same = 0.0 if first is None else kept_look(scene, clip[-FRAMES:], first)
    return {"one look": same, **shot_figures(scene, clip)}


def _smooth(cast: Cast, used: bool) -> Board:
    joined = {"transition": "smooth"} if used else {}
    return board_of(
        {"prompt": cast.prompt(look=cast.look)},
        {"prompt": cast.prompt(look=cast.look, motion="waving"), **joined},
    )


def _read_smooth(cast: Cast, clips: Clips) -> dict[str, float]:
    scene = Scene((Role(0, cast.look, "waving"),), cast.place)
    return {"seam": seam(np.concatenate(clips), (16,)), **shot_figures(scene, clips[1])}


def _edit(by: str, strength: float) -> Callable[[Cast, bool], Board]:
    def board(cast: Cast, used: bool) -> Board:
        edit = {"shot": "first", "strength": strength if used else 1.0, "by": by if used else "noise"}
        return board_of(
            {"name": "first", "prompt": cast.prompt(look=cast.look)},
            {"prompt": cast.prompt(look=cast.other), "method": {"edit": edit}},
        )

    return board


def _read_edit(cast: Cast, clips: Clips) -> dict[str, float]:
    scene = cast.scene(look=cast.other)
    stays = {"difference": difference(clips[0], clips[1]), "look": kept_look(scene, clips[1], cast.other)}
    return {**stays, **shot_figures(scene, clips[1])}


def _mask(cast: Cast, used: bool) -> Board:
    box = {"box": [0, 0, 0.5, 1]} if used else {}
    return board_of(
        {"name": "first", "prompt": cast.prompt(look=cast.look)},
        {"prompt": cast.prompt(look=cast.look, place=cast.elsewhere),
         "method": {"edit": {"shot": "first", "strength": 1.0, **box}}},
    )  # fmt: skip


def _read_mask(cast: Cast, clips: Clips) -> dict[str, float]:
    right = slice(SIZE // 2 + 4, None)
    return {"outside": difference(clips[0], clips[1], right), "moves": motion_degree(clips[1])}


def _shared_noise(cast: Cast, used: bool) -> Board:
    return board_of(
        {"name": "first", "prompt": cast.prompt()},
        {"prompt": cast.prompt(), **settings_if(used, shared_noise=0.7)},
    )


def _read_shared_noise(cast: Cast, clips: Clips) -> dict[str, float]:
    return {"difference": difference(clips[0], clips[1]), **shot_figures(cast.scene(), clips[1])}


def _background(cast: Cast, used: bool) -> Board:
    """The second prompt tells another place: of one place the pocket draws one background as it is. In the steps that
    are left alone that place would come back, so none is."""
    kept = {"strength": 1.0, "foreground": [0.25, 0.2, 0.5, 0.8], "interval": (0.0, 1.0)}
    return board_of(
        {"name": "first", "prompt": cast.prompt()},
        {"prompt": cast.prompt(place=cast.elsewhere), **settings_if(used, same_background=kept)},
    )


def _read_background(cast: Cast, clips: Clips) -> dict[str, float]:
    sides = [difference(clips[0], clips[1], part) for part in (slice(0, 12), slice(SIZE - 12, None))]
    return {"background": sum(sides) / 2, "moves": motion_degree(clips[1])}


def _moving_noise(cast: Cast, used: bool) -> Board:
    moving = {"path": [[0, 0], [24, 0]], "strength": 0.8}
    return board_of({"prompt": cast.prompt(motion="waving"), **settings_if(used, moving_noise=moving)})


def _read_moving(cast: Cast, clips: Clips) -> dict[str, float]:
    scene = Scene((Role(0, cast.look, "waving"),), cast.place)
    start, end = clips[0][:5], clips[0][-5:]
    return {"path": _actor_x(scene, end) - _actor_x(scene, start), **shot_figures(scene, clips[0])}


def _regions(cast: Cast, used: bool) -> Board:
    """The left half in another place."""
    word = PLACES[cast.elsewhere].split(" ", 1)[1]
    line = {"entity": word, "box": [0.0, 0.0, 0.5, 1.0]}
    placed = {"layout": [line], "method": {"regions": 1.0}} if used else {}
    return {**board_of({"prompt": cast.prompt(look=cast.look), **placed}), "places": {word: ""}}


def _read_regions(cast: Cast, clips: Clips) -> dict[str, float]:
    clip = clips[0]
    left, right = (_nearness(cast, clip, part) for part in (slice(0, 16), slice(SIZE - 16, None)))
    return {"box": left, "beside it": right, "moves": motion_degree(clip)}


def _nearness(cast: Cast, clip: np.ndarray, columns: slice) -> float:
    """0 = the other place, 1 = the prompt's, by how far the columns are from pictures of both."""
    wanted, other = (
        float(np.abs(clip[:, :, columns] - background(place, False)[:, columns]).mean())
        for place in (cast.place, cast.elsewhere)
    )
    return other / max(wanted + other, 1e-6)


def _actor_box(cast: Cast, used: bool) -> Board:
    line = {"entity": "Actor 1", "box": [0.0, 0.2, 0.35, 0.8]}
    placed = {"layout": [line], "method": {"regions": 1.0}} if used else {}
    return board_of({"prompt": cast.prompt(look=cast.look), **placed})


def _read_actor_box(cast: Cast, clips: Clips) -> dict[str, float]:
    scene = cast.scene()
    return {"away": abs(_actor_x(scene, clips[0]) - 0.175), **shot_figures(scene, clips[0])}


def _pair(cast: Cast) -> Scene:
    return Scene((Role(0, cast.look, cast.motion), Role(1, cast.other, cast.motion)), cast.place)


def _looks_in_boxes(cast: Cast, used: bool) -> Board:
    """Two actors whose looks no prompt tells; a box on each side does."""
    looks, sides = (cast.look, cast.other), ([0.0, 0.1, 0.5, 0.9], [0.5, 0.1, 0.5, 0.9])
    names = [f"Actor {number} (a {look})" for number, look in enumerate(looks, start=1)]
    lines = [{"entity": name, "box": box} for name, box in zip(names, sides, strict=True)]
    placed = {"layout": lines, "method": {"regions": BOXES_SPEAK}} if used else {}
    prompt = f"Actor 1 and Actor 2 are {MOTIONS[cast.motion][0]} {PLACES[cast.place]}."
    return {**board_of({"prompt": prompt, **placed}), "places": dict.fromkeys(names, "")}


def _read_looks_in_boxes(cast: Cast, clips: Clips) -> dict[str, float]:
    scene, clip = _pair(cast), clips[0]
    looks = [kept_look(scene, clip, role.look, actor=index) for index, role in enumerate(scene.roles)]
    return {"looks": sum(looks) / 2, **shot_figures(scene, clip)}


FILLED = 33  # frames, by two clips of 17 between three key frames


def _infill(cast: Cast, used: bool) -> Board:
    if used:
        return board_of({"prompt": cast.prompt(), "frames": FRAMES, "method": {"infill": {"keys": 3}}})
    apart = {"overlap": 0, "weights": "flat", "freenoise": False}
    return board_of({"prompt": cast.prompt(), "frames": FILLED, "method": {"windows": apart}})


def _history_parts(cast: Cast, used: bool) -> Board:
    """Actor 1, somebody else, Actor 1: the newest shot that is remembered shows another one."""
    return board_of(
        {"prompt": cast.prompt(look=cast.look)},
        {"prompt": cast.prompt(look=cast.other).replace("Actor 1", "Actor 2")},
        {"prompt": cast.prompt(place=cast.elsewhere), **settings_if(used, history_parts=1.0)},
    )


def _read_history_parts(cast: Cast, clips: Clips) -> dict[str, float]:
    scene = cast.scene(place=cast.elsewhere)
    return {"look": kept_look(scene, clips[2], cast.look), **shot_figures(scene, clips[2])}


SHORT = 9


def _causal(cast: Cast, used: bool) -> Board:
    """A short shot, and a longer one from the same noise."""
    shot = {"prompt": cast.prompt(look=cast.look), "seed": 7, **settings_if(used, causal=True)}
    return board_of({**shot, "frames": SHORT}, shot)


def _read_causal(cast: Cast, clips: Clips) -> dict[str, float]:
    return {"beginning": difference(clips[0], clips[1][:SHORT]), **shot_figures(cast.scene(), clips[1])}


TRIALS: tuple[Trial, ...] = (
    Trial("keep the look", "look", "higher", _keep_look, _read_keep_look),
    Trial("co-denoised windows", "seam", "lower", _windows, _read_long),
    Trial("FreeNoise start", "one look", "higher", _freenoise, _read_one_look, scheduler="ddim"),
    Trial("smooth transition", "seam", "lower", _smooth, _read_smooth),
    Trial("coarse to fine", "one look", "higher", _infill, _read_one_look),
    Trial("edit by noise", "difference", "lower", _edit("noise", 0.6), _read_edit),
    Trial("edit by inversion", "difference", "lower", _edit("inversion", 0.8), _read_edit, scheduler="ddim"),
    Trial("edit in a mask", "outside", "lower", _mask, _read_mask),
    Trial("shared noise", "difference", "lower", _shared_noise, _read_shared_noise, scheduler="ddim"),
    Trial("same background", "background", "lower", _background, _read_background),
    Trial("noise on a path", "path", "higher", _moving_noise, _read_moving, scheduler="ddim"),
    Trial("a place in a box", "box", "lower", _regions, _read_regions),
    Trial("an actor in a box", "away", "lower", _actor_box, _read_actor_box),
    Trial("looks in boxes", "looks", "higher", _looks_in_boxes, _read_looks_in_boxes),
    Trial("history parts", "look", "higher", _history_parts, _read_history_parts, remembers=True),
    Trial("causal attention", "beginning", "lower", _causal, _read_causal, scheduler="ddim"),
)
"""Every method that needs no training of its own, with the figure that it is to move."""
