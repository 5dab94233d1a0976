"""Films with known cuts: painted pictures, gradients, moving textures and the toy world, joined in every usual way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mpvg_core.pocket.world import FPS, draw_scene, draw_story

Join = Literal["cut", "dissolve", "fade"]
RATES = (8.0, 12.0, 15.0, 24.0, 25.0, 30.0, 50.0, 60.0)


@dataclass(frozen=True)
class KnownFilm:
    """Pictures uint8 [T, H, W, 3] at `fps`, the first frames of the new scenes after hard cuts, and the gradual joins
    as (first changing frame, first frame of the new scene alone)."""

    frames: np.ndarray
    fps: float
    cuts: tuple[int, ...]
    fades: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Shot:
    """One scene: `at(seconds)` is its picture, float32 [H, W, 3] in 0..255; `alike` names what scenes may share."""

    at: Callable[[float], np.ndarray]
    alike: str


# ------------------------------------------------------------------------------------------------------------ scenes


def painted(rng: np.random.Generator, size: int, speed: float) -> Shot:
    """Soft patches of a palette of its own, with texture, under a camera that pans by `speed` widths a second."""
    palette = rng.uniform(0, 255, (3, 3))
    while np.ptp(palette, axis=0).mean() < 60:
        palette = rng.uniform(0, 255, (3, 3))
    fields = [_clouds(rng, 2 * size, grain) for grain in (6, 9)]
    texture = _clouds(rng, 2 * size, 40) * rng.uniform(5, 30)
    mix = np.clip(np.stack([fields[0], -fields[0], fields[1]], -1) + 0.4, 0, None)
    canvas = mix / (mix.sum(-1, keepdims=True) + 1e-6) @ palette + texture[..., None]
    canvas = np.clip(canvas, 0, 255).astype(np.float32)
    angle, start = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * size, 2)

    def at(seconds: float) -> np.ndarray:
        x, y = start + np.array([np.cos(angle), np.sin(angle)]) * speed * size * seconds
        return _window(canvas, x, y, size)

    return Shot(at, f"painted {palette.round()}")


def gradient(rng: np.random.Generator, size: int, speed: float) -> Shot:
    """A slope between two colours before which a few discs move, `speed` widths a second."""
    ends = rng.uniform(0, 255, (2, 3))
    while np.abs(ends[0] - ends[1]).mean() < 40:
        ends = rng.uniform(0, 255, (2, 3))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[..., None]
    back = (ends[0] * (1 - slope) + ends[1] * slope).astype(np.float32)
    discs = [
        (rng.uniform(0, 1, 2), rng.normal(0, 1, 2) * speed, rng.uniform(0.05, 0.18), rng.uniform(0, 255, 3))
        for _ in range(int(rng.integers(1, 5)))
    ]

    def at(seconds: float) -> np.ndarray:
        picture = back.copy()
        for middle, velocity, radius, colour in discs:
            cx, cy = np.abs((middle + velocity * seconds) % 2 - 1)  # it bounces
            picture[np.hypot(x - cx, y - cy) < radius] = colour
        return picture

    return Shot(at, f"gradient {ends.round()}")


def toy(rng: np.random.Generator, size: int, speed: float) -> Shot:
    """A scene of the toy world at its own eight pictures a second, played forwards and backwards."""
    scene = draw_story(int(rng.integers(1 << 30)), shots=1).scenes[0]
    clip = draw_scene(scene, 33).astype(np.float32)
    clip = clip.repeat(size // 64, axis=1).repeat(size // 64, axis=2)

    def at(seconds: float) -> np.ndarray:
        number = int(seconds * FPS) % 64
        return clip[min(number, 64 - number)]

    return Shot(at, f"place {scene.place}")


def _clouds(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """A smooth random field that repeats at its edges, of about `cells` cells across; mean 0, deviation 1."""
    f = np.fft.fftfreq(size) * size
    envelope = np.exp(-(f[:, None] ** 2 + f[None, :] ** 2) / (2 * (cells / 3) ** 2))
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * envelope).real
    return (field - field.mean()) / field.std()


def _window(canvas: np.ndarray, x: float, y: float, size: int) -> np.ndarray:
    """The part of a canvas that repeats at its edges, moved by parts of a pixel."""
    left, top = int(np.floor(x)), int(np.floor(y))
    u, v = np.float32(x - left), np.float32(y - top)
    rows = np.arange(top, top + size + 1) % len(canvas)
    columns = np.arange(left, left + size + 1) % len(canvas)
    part = canvas[rows[:, None], columns[None]]
    part = part[:, :-1] * (1 - u) + part[:, 1:] * u
    return part[:-1] * (1 - v) + part[1:] * v


# ------------------------------------------------------------------------------------------------------------- films


@dataclass(frozen=True)
class Kind:
    """What a class of films is made of: its scenes and their speed (widths a second), its joins, grain (standard
    deviation), how often a shot has a flash, and whether neighbouring scenes may look alike."""

    name: str
    speed: tuple[float, float] = (0.0, 0.25)
    joins: tuple[Join, ...] = ("cut",)
    grain: tuple[float, float] = (0.0, 3.0)
    flashes: float = 0.0
    seconds: tuple[float, float] = (0.8, 2.5)
    rates: tuple[float, ...] = RATES
    one_shot: bool = False
    alike: bool = False


KINDS = (
    Kind("clean cuts"),
    Kind("short shots", seconds=(0.65, 0.9)),
    Kind("8 fps", rates=(8.0,)),
    Kind("60 fps", rates=(60.0,)),
    Kind("static", speed=(0.0, 0.0), grain=(0.0, 0.0)),
    Kind("noise", grain=(10.0, 25.0)),
    Kind("fast motion", speed=(0.6, 2.0)),
    Kind("fast motion, uncut", speed=(0.6, 2.0), one_shot=True, seconds=(3.0, 6.0)),
    Kind("flashes", flashes=0.7),
    Kind("fades", joins=("cut", "fade")),
    Kind("dissolves", joins=("cut", "dissolve")),
    Kind("all together", joins=("cut", "cut", "fade", "dissolve"), flashes=0.25, grain=(0.0, 10.0)),
)
LOOK_ALIKES = Kind("look-alikes", alike=True)


def make_film(kind: Kind, seed: int, size: int = 128) -> KnownFilm:
    """A film of a class; the same seed gives the same film."""
    rng = np.random.default_rng([seed, *kind.name.encode()])
    fps = float(rng.choice(kind.rates))
    grain = rng.uniform(*kind.grain)
    shots = _shots(rng, kind, size)
    pictures: list[np.ndarray] = []
    cuts, fades = [], []
    join: Join = "cut"
    pending: list[np.ndarray] = []  # the end of the shot before, to be mixed with the beginning of this one
    for number, shot in enumerate(shots):
        count = max(5, round(rng.uniform(*kind.seconds) * fps))
        following: Join = str(rng.choice(kind.joins)) if number + 1 < len(shots) else "cut"  # type: ignore[assignment]
        overlap = max(2, round(rng.uniform(0.3, 1.2) * fps)) if following != "cut" else 0
        length = len(pending) + count + overlap
        clip = [shot.at(index / fps) for index in range(length)]
        if number and join == "cut":
            cuts.append(len(pictures))
        elif number:
            fades.append((len(pictures), len(pictures) + len(pending)))
            pictures += _mixed(pending, clip[: len(pending)], join)
        body = clip[len(pending) : len(pending) + count]
        pictures += _flashed(rng, body, fps) if rng.random() < kind.flashes else body
        pending, join = clip[len(clip) - overlap :] if overlap else [], following
    frames = np.stack(pictures)
    if grain:
        for frame in frames:
            frame += rng.normal(0, grain, frame.shape).astype(np.float32)
    return KnownFilm(np.clip(frames + 0.5, 0, 255).astype(np.uint8), fps, tuple(cuts), tuple(fades))


def _shots(rng: np.random.Generator, kind: Kind, size: int) -> list[Shot]:
    makers = (painted, painted, gradient, toy)
    wanted = 1 if kind.one_shot else int(rng.integers(3, 7))
    shots: list[Shot] = []
    while len(shots) < wanted:
        shot = makers[int(rng.integers(len(makers)))](rng, size, rng.uniform(*kind.speed))
        if not shots or kind.alike or not _alike(shots[-1], shot):
            shots.append(shot)
    return shots


def _alike(one: Shot, other: Shot) -> bool:
    """Whether two scenes are one place, or have nearly the same colours: then even an eye may see no cut."""
    return one.alike == other.alike or np.abs(one.at(1.0) - other.at(0.0)).mean() < 40


def _mixed(before: list[np.ndarray], after: list[np.ndarray], join: Join) -> list[np.ndarray]:
    count = len(before)
    share = (np.arange(count, dtype=np.float32) + 1) / (count + 1)
    if join == "dissolve":
        return [a * (1 - s) + b * s for a, b, s in zip(before, after, share, strict=True)]
    return [
        a * max(0.0, 1 - 2 * s) + b * max(0.0, 2 * s - 1) for a, b, s in zip(before, after, share.tolist(), strict=True)
    ]


def _flashed(rng: np.random.Generator, clip: list[np.ndarray], fps: float) -> list[np.ndarray]:
    """The clip with a light that goes off within it for one frame, or up to a tenth of a second."""
    length = int(rng.integers(1, max(1, int(0.1 * fps)) + 1))
    if len(clip) < length + 4:
        return clip
    first = int(rng.integers(2, len(clip) - length - 1))
    strength = rng.uniform(0.5, 1.0)
    lit = list(clip)
    for index in range(first, first + length):
        lit[index] = clip[index] * (1 - strength) + 255 * strength
    return lit
