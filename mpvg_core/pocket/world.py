"""The toy world: stories of little actors with a look, acting in places; endless, and the same for the same seed.

A story draws a look (colour and shape) for each of its actors once. Prompts name the actor ("Actor 1 is running on the
playground.") and normally do *not* tell the look, so that only the earlier shots can reveal it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

SIZE = 64
FRAMES = 17
FPS = 8

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 44, 44),
    "yellow": (250, 214, 40),
    "green": (40, 176, 72),
    "blue": (44, 84, 226),
    "purple": (140, 52, 190),
    "pink": (255, 132, 190),
}
SHAPES = ("circle", "square", "triangle", "star")
PLACES: dict[str, str] = {
    "playground": "on the playground",
    "snow": "on the snow",
    "beach": "on the beach",
    "street": "on the street",
    "forest": "in the forest",
    "moon": "on the moon",
}
MOTIONS: dict[str, tuple[str, str]] = {  # name: (progressive, third person)
    "running": ("running", "runs"),
    "skiing": ("skiing", "skis"),
    "jumping": ("jumping", "jumps"),
    "waving": ("waving", "waves"),
    "walking away": ("walking away", "walks away"),
    "dancing": ("dancing", "dances"),
}
NAMES = ("Actor 1", "Actor 2", "Actor 3")


@dataclass(frozen=True)
class Look:
    """What an actor looks like in one story: told by no prompt unless the prompt says so."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.colour} {self.shape}"


@dataclass(frozen=True)
class Role:
    """One actor in one shot. `index` is 0 for "Actor 1"."""

    index: int
    look: Look
    motion: str


@dataclass(frozen=True)
class Scene:
    """One shot of a story: roles stand from left to right in the order in which the prompt names them.

    `mirrored` (the side of the place's props), `phase` (a part of a beat) and `shift` (-1 to 1) vary a take. Stories
    leave them alone: prompt and looks then fix the picture, and what a small model has to guess is the look, which is
    what this world is about.
    """

    roles: tuple[Role, ...]
    place: str
    mirrored: bool = False
    phase: float = 0.0
    shift: float = 0.0


@dataclass(frozen=True)
class Story:
    seed: int
    looks: tuple[Look, ...]
    scenes: tuple[Scene, ...]


def draw_story(seed: int, shots: int = 4, max_actors: int = 3) -> Story:
    """A story of `shots` scenes; looks of its actors differ in colour; the same seed gives the same story."""
    rng = np.random.default_rng([seed, 77])
    colours = rng.permutation(list(COLOURS))
    looks = tuple(Look(str(colours[i]), str(rng.choice(SHAPES))) for i in range(len(NAMES)))
    chances = np.array([0.25, 0.35, 0.4][:max_actors])
    cast_size = int(rng.choice(np.arange(max_actors), p=chances / chances.sum())) + 1
    cast = rng.permutation(len(NAMES))[:cast_size]
    scenes = []
    for _ in range(shots):
        count = int(rng.choice([1, 2, 3], p=[0.4, 0.35, 0.25]))
        actors = rng.permutation(cast)[: min(count, cast_size)]
        motion = str(rng.choice(list(MOTIONS)))
        motions = [motion] * len(actors)
        if len(actors) == 2 and rng.random() < 0.3:
            motions[1] = str(rng.choice(list(MOTIONS)))
        place = str(rng.choice(list(PLACES)))
        roles = tuple(Role(int(a), looks[int(a)], m) for a, m in zip(actors, motions, strict=True))
        scenes.append(Scene(roles, place))
    return Story(seed, looks, tuple(scenes))


# --------------------------------------------------------------------------------------------------------- drawing


def draw_scene(scene: Scene, frames: int = FRAMES) -> np.ndarray:
    """The scene's pixels, uint8 [frames, 64, 64, 3]."""
    clip = np.repeat(background(scene.place, scene.mirrored)[None], frames, axis=0).copy()
    count = len(scene.roles)
    # Farther actors first: none here, all stand on one line, so the order is the order of the prompt.
    for lane, role in enumerate(scene.roles):
        _draw_actor(clip, role, lane, count, scene)
    return (clip + 0.5).astype(np.uint8)


_BACKGROUNDS: dict[tuple[str, bool], np.ndarray] = {}


def background(place: str, mirrored: bool) -> np.ndarray:
    """The empty place, float32 [64, 64, 3] in 0..255."""
    key = (place, mirrored)
    if key not in _BACKGROUNDS:
        picture = _paint_place(place)
        _BACKGROUNDS[key] = picture[:, ::-1].copy() if mirrored else picture
    return _BACKGROUNDS[key]


def _paint_place(place: str) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    canvas = np.zeros((SIZE, SIZE, 3), np.float32)

    def fill(colour: tuple[int, int, int], distance: np.ndarray) -> None:
        alpha = np.clip(0.5 - distance, 0, 1)[..., None]
        canvas[:] = canvas * (1 - alpha) + np.asarray(colour, np.float32) * alpha

    def sky(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> None:
        mix = np.clip(y / 36, 0, 1)[..., None]
        canvas[:] = np.asarray(top, np.float32) * (1 - mix) + np.asarray(bottom, np.float32) * mix

    def disc(cx: float, cy: float, r: float) -> np.ndarray:
        return np.hypot(x - cx, y - cy) - r

    def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        return np.maximum(np.abs(x - (x0 + x1) / 2) - (x1 - x0) / 2, np.abs(y - (y0 + y1) / 2) - (y1 - y0) / 2)

    def cone(cx: float, top: float, bottom: float, half: float) -> np.ndarray:
        slope = half / (bottom - top)
        return np.maximum((np.abs(x - cx) - (y - top) * slope) / np.hypot(1, slope), y - bottom)

    if place == "playground":
        sky((150, 205, 240), (205, 232, 246))
        fill((206, 172, 120), 34 - y)
        fill((186, 150, 100), 58 - y)
        for post in (6, 26):
            fill((120, 96, 84), box(post, 12, post + 2, 36))
        fill((120, 96, 84), box(5, 10, 29, 13))
        fill((90, 84, 84), np.minimum(box(12, 13, 13, 27), box(20, 13, 21, 27)))
        fill((196, 120, 70), box(11, 26, 22, 29))
    elif place == "snow":
        sky((176, 200, 222), (222, 232, 242))
        fill((178, 190, 206), cone(46, 6, 40, 26))
        fill((240, 244, 250), cone(46, 6, 17, 8.5))
        fill((244, 247, 252), 33 + 3 * np.sin(x / 12) - y)
        fill((62, 92, 88), np.minimum(cone(10, 12, 24, 6), cone(10, 19, 34, 8)))
        fill((96, 80, 72), box(9, 34, 11, 38))
    elif place == "beach":
        sky((120, 196, 236), (190, 230, 244))
        fill((255, 240, 190), disc(50, 10, 6))
        fill((56, 140, 180), 26 - y)
        fill((120, 190, 212), 33 + np.sin(x / 4) - y)
        fill((238, 216, 164), 36 + np.sin(x / 9 + 2) - y)
        fill((150, 110, 76), box(8, 14, 10.5, 40))
        fill((70, 120, 84), np.minimum(disc(5, 13, 5), np.minimum(disc(13, 13, 5), disc(9, 10, 5))))
    elif place == "street":
        sky((196, 206, 216), (222, 226, 230))
        fill((150, 120, 112), box(2, 6, 20, 36))
        fill((126, 134, 148), box(24, 14, 40, 36))
        fill((172, 158, 136), box(44, 2, 62, 36))
        for wx, wy in [(5, 10), (13, 10), (5, 19), (13, 19), (27, 18), (34, 18), (47, 6), (55, 6), (47, 15), (55, 15)]:
            fill((226, 226, 200), box(wx, wy, wx + 4, wy + 5))
        fill((164, 164, 166), 36 - y)
        fill((98, 98, 104), 42 - y)
        fill((224, 224, 216), np.minimum(box(4, 58, 20, 60), box(34, 58, 50, 60)))
    elif place == "forest":
        sky((128, 160, 140), (160, 184, 150))
        for trunk, width in ((4, 5), (18, 4), (44, 4), (56, 6)):
            fill((92, 72, 58), box(trunk, 8, trunk + width, 40))
        fill(
            (62, 96, 72),
            np.minimum(disc(6, 8, 11), np.minimum(disc(22, 5, 9), np.minimum(disc(45, 6, 11), disc(60, 9, 10)))),
        )
        fill((96, 116, 76), 37 + 1.5 * np.sin(x / 5) - y)
        fill((82, 100, 68), 56 - y)
        fill((206, 190, 170), box(32, 40, 34, 44))
        fill((176, 100, 84), np.maximum(disc(33, 40, 4.5), y - 40))
    elif place == "moon":
        sky((12, 14, 34), (28, 30, 58))
        for sx, sy in [(6, 5), (15, 14), (24, 4), (30, 19), (37, 9), (58, 22), (10, 25), (60, 4), (22, 24)]:
            fill((232, 232, 220), disc(sx, sy, 0.9))
        fill((70, 120, 170), disc(48, 13, 7))
        fill((120, 170, 150), np.maximum(disc(48, 13, 7), disc(45, 10, 4)))
        fill((150, 150, 158), 35 + 2 * np.sin(x / 10 + 1) - y)
        for cx, cy, r in ((12, 44, 5), (40, 57, 6), (54, 41, 3)):
            fill((124, 124, 134), np.hypot(x - cx, (y - cy) * 2) - r)
    else:
        raise ValueError(f"unknown place {place!r}; expected one of {', '.join(PLACES)}")
    return canvas


RADIUS = {1: 12.0, 2: 9.5, 3: 7.5}  # of a body among so many actors, pixels
_SPEED = {1: 1.0, 2: 0.5, 3: 0.5}  # of running and skiing, pixels a frame
_SHIFT = {1: 8.0, 2: 0.0, 3: 0.0}
LEG = 5.0
_INK = np.array([38, 34, 46], np.float32)
_WOOD = np.array([120, 84, 50], np.float32)


@dataclass(frozen=True)
class Track:
    """How an actor moves through a clip, one value a frame: right and down from its spot in pixels, size, tilt of the
    body, swing of the legs, lift of the waving arm (radians)."""

    right: np.ndarray
    down: np.ndarray
    size: np.ndarray
    tilt: np.ndarray
    swing: np.ndarray
    arm: np.ndarray


def track(motion: str, frames: int, count: int, phase: float) -> Track:
    """The track of `motion` among `count` actors; `phase` is a part of a beat of 8 frames.

    All goes in step with the latent grid: a beat is two latent frames, a run one latent cell (4 pixels) a latent frame,
    so that a small model can learn to draw it.
    """
    f = np.arange(frames, dtype=np.float32)
    centred, along = f - (frames - 1) / 2, f / (frames - 1)
    beat = 2 * np.pi * (f / 8 + phase)
    still, one = np.zeros_like(f), np.ones_like(f)
    if motion == "running":
        return Track(centred * _SPEED[count], -1.5 * np.abs(np.sin(beat)), one, 0.12 * one, 0.9 * np.sin(beat), still)
    if motion == "skiing":
        return Track(centred * _SPEED[count], 0.5 * centred - 3, one, 0.2 * one, still, still)
    if motion == "jumping":
        return Track(still, -11 * np.abs(np.sin(beat / 2)), one, still, still, still)
    if motion == "waving":
        return Track(still, still, one, still, still, 2.3 + 0.5 * np.sin(beat))
    if motion == "walking away":
        return Track(still, -13 * along, 1 - 0.35 * along, still, 0.5 * np.sin(beat), still)
    if motion == "dancing":
        return Track(3 * np.sin(beat), still, one, 0.25 * np.sin(beat), still, still)
    raise ValueError(f"unknown motion {motion!r}; expected one of {', '.join(MOTIONS)}")


def _draw_actor(clip: np.ndarray, role: Role, lane: int, count: int, scene: Scene) -> None:
    frames = len(clip)
    middle = round(SIZE * (lane + 0.5) / count) + scene.shift * _SHIFT[count]
    whole = int(middle // 1)
    left, top, paint, through = _sprite(role.look, role.motion, count, float(scene.phase), middle - whole, frames)
    side = paint.shape[1]
    for t in range(frames):
        x, y = left[t] + whole, top[t]
        x0, x1 = max(x, 0), min(x + side, SIZE)
        y0, y1 = max(y, 0), min(y + side, SIZE)
        if x0 < x1 and y0 < y1:
            inner = (t, slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
            clip[t, y0:y1, x0:x1] = clip[t, y0:y1, x0:x1] * (through[inner] / np.float32(255)) + paint[inner]


@lru_cache(maxsize=1024)
def _sprite(
    look: Look, motion: str, count: int, phase: float, offset: float, frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An actor's window of pixels in each frame: its left and top [T] if the actor stood at x = `offset`, its paint
    [T, n, n, 3] and what it lets through of the place [T, n, n, 1], both uint8."""
    radius = RADIUS[count]
    moves = track(motion, frames, count, phase)
    x = offset + moves.right
    leg, r = LEG * moves.size, radius * moves.size
    y = 56.0 + moves.down - leg - 0.85 * r
    # Actor coordinates: origin in the middle of the body, rotated by the tilt.
    half = int(1.75 * radius) + 3
    left, top = np.floor(x).astype(int) - half, np.floor(y).astype(int) - half
    grid = np.arange(2 * half, dtype=np.float32) + 0.5
    dx = (left - x).astype(np.float32)[:, None, None] + grid[None, None, :]
    dy = (top - y).astype(np.float32)[:, None, None] + grid[None, :, None]
    cos, sin = np.cos(moves.tilt)[:, None, None], np.sin(moves.tilt)[:, None, None]
    u, v = cos * dx + sin * dy, -sin * dx + cos * dy
    r, leg = r[:, None, None], leg[:, None, None]
    sw, ar = moves.swing[:, None, None], moves.arm[:, None, None]
    strokes = []
    for side in (-1.0, 1.0):
        hip = side * 0.35 * r
        strokes.append(_segment(u, v, hip, 0.6 * r, hip + side * sw * leg, 0.85 * r + leg, 1.3))
        bend = 0.7 + (0.75 * ar if side > 0 else 0.0)
        hand_u, hand_v = side * 0.8 * r * (1 + np.sin(bend)), 0.1 * r + 0.8 * r * np.cos(bend)
        strokes.append(_segment(u, v, side * 0.7 * r, 0.1 * r, hand_u, hand_v, 1.2))
    body = _shape_distance(look.shape, u, v, r)
    eye_v = (0.12 if look.shape == "triangle" else -0.12) * r
    eyes = np.hypot(np.abs(u) - 0.3 * r, v - eye_v) - 0.22 * r
    pupils = np.hypot(np.abs(u - 0.06 * r) - 0.3 * r, v - eye_v) - 0.11 * r
    layers = [
        (np.minimum.reduce([body, *strokes]), _INK),  # limbs and outline are one silhouette
        (body + 1.4, np.asarray(COLOURS[look.colour], np.float32)),
        (eyes, np.array([255, 255, 255], np.float32)),
        (pupils, _INK),
    ]
    if motion == "skiing":
        layers.insert(0, (_segment(u, v, -1.1 * r, 0.9 * r + leg, 1.3 * r, 0.9 * r + leg, 1.2), _WOOD))
    paint = np.zeros((*u.shape, 3), np.float32)
    through = np.ones_like(u)[..., None]
    for distance, ink in layers:
        clear = np.clip(distance + 0.5, 0, 1)[..., None]
        paint = paint * clear + (1 - clear) * ink
        through = through * clear
    return left, top, (paint + 0.5).astype(np.uint8), (255 * through + 0.5).astype(np.uint8)


def _segment(u: np.ndarray, v: np.ndarray, u0: Any, v0: Any, u1: Any, v1: Any, width: float) -> np.ndarray:
    """Distance to the segment (u0, v0)-(u1, v1) less half its width, pixels."""
    du, dv = u1 - u0, v1 - v0
    along = np.clip(((u - u0) * du + (v - v0) * dv) / (du * du + dv * dv + 1e-6), 0, 1)
    return np.hypot(u - u0 - along * du, v - v0 - along * dv) - width


def _shape_distance(shape: str, u: np.ndarray, v: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Signed distance to the body's outline, negative inside, pixels.

    Silhouettes as unlike as they can be at this size (a small ball, a large box, a broad cone, long points): nobody can
    remember a look about which two pictures of one actor may disagree.
    """
    if shape == "circle":
        return np.hypot(u, v) - 0.86 * r
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.92 * r
    if shape == "triangle":
        # Base from (-1.2 r, 0.85 r) to (1.2 r, 0.85 r), tip at (0, -1.1 r).
        slope = 1.2 / 1.95
        return np.maximum((np.abs(u) - slope * (v + 1.1 * r)) / np.hypot(1, slope), v - 0.85 * r)
    if shape == "star":
        angle = np.arctan2(u, -v)
        fold = np.abs((angle + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
        rho = np.hypot(u, v)
        # The edge from the tip (1.4 r, 0) to the inner corner at pi/5.
        tip, inner = 1.4 * r, 0.6 * r
        a, b = rho * np.cos(fold), rho * np.sin(fold)
        edge_a, edge_b = inner * np.cos(np.pi / 5) - tip, inner * np.sin(np.pi / 5)
        return ((a - tip) * -edge_b + b * edge_a) * -1 / np.hypot(edge_a, edge_b)
    raise ValueError(f"unknown shape {shape!r}; expected one of {', '.join(SHAPES)}")
