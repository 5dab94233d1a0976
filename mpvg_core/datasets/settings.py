"""How footage is cut into clips, and the key under which a video's clips are kept."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Literal

from ..diffusion.frames import frame_step, is_legal_length
from ..errors import InputError, Problem
from ..film.durable import canonical_json

Layout = Literal["scenes", "transitions"]
LAYOUTS: tuple[Layout, ...] = ("scenes", "transitions")

SHORTEST = 1 + frame_step()  # frames of the shortest clip: the next one shorter is a still
_FORMAT = 1  # part of every key: raise it when the same settings shall give other clips
_SIZE_STEP = 16  # pixels: CogVideoX's autoencoder shrinks by 8, its patches by 2
_SECONDS = {"scenes": 6.0, "transitions": 10.0}


@dataclass(frozen=True)
class ClipSettings:
    """layout: 'scenes' gives a clip a scene, 'transitions' one around a video's first cut.

    fps, size: frames a second and (width, height) of the clips. frames: the longest clip, 1 + 8n.
    min_scene, max_scene: seconds a scene must and may last. threshold: see `evaluate/cuts.py`.
    Raises InputError for what no clip can have.
    """

    layout: Layout
    fps: int
    size: tuple[int, int]
    frames: int
    min_scene: float
    max_scene: float | None
    threshold: float

    def __post_init__(self) -> None:
        problems = []
        if self.layout not in LAYOUTS:
            problems.append(Problem("--layout", f"{self.layout!r} is unknown", " or ".join(LAYOUTS)))
        if not 1 <= self.fps <= 120:
            problems.append(Problem("--fps", f"{self.fps} frames a second", "1 to 120"))
        if not all(_SIZE_STEP <= side <= 4096 and side % _SIZE_STEP == 0 for side in self.size):
            what = f"{self.size[0]}x{self.size[1]} is no size that CogVideoX can film"
            problems.append(Problem("--size", what, f"multiples of {_SIZE_STEP} up to 4096", "take 720x480"))
        if self.frames < SHORTEST or not is_legal_length(self.frames):
            step = frame_step()
            near = max(SHORTEST, 1 + round((self.frames - 1) / step) * step)
            what = f"{self.frames} frames cannot be filmed"
            problems.append(Problem("--frames", what, f"1 + {step}n from {SHORTEST} on", f"take {near}"))
        if not 0 <= self.min_scene < (self.max_scene or float("inf")):
            what = f"scenes of at least {self.min_scene:g} and at most {self.max_scene or 0:g} seconds"
            problems.append(Problem("--min-scene", what, "less than --max-scene"))
        if not 0 < self.threshold <= 255:
            problems.append(Problem("--threshold", f"{self.threshold:g}", "more than 0, at most 255"))
        if problems:
            raise InputError(problems)

    def key(self, sha256: str) -> str:
        """16 hex digits for the clips of a video with these bytes under these settings, whatever its name."""
        return hashlib.sha256(canonical_json([_FORMAT, sha256, asdict(self)])).hexdigest()[:16]


def longest_clip(layout: Layout, fps: int, frames: int | None, seconds: float | None) -> int:
    """Frames of the longest clip asked for; with neither frames nor seconds 6 s of a scene, 10 s around a cut.

    Seconds are rounded to the nearest 1 + 8n frames. Raises InputError when both are given.
    """
    if frames is not None and seconds is not None:
        raise InputError(Problem("--frames, --seconds", "both are given", "one of them", "leave one out"))
    if frames is not None:
        return frames
    wanted = (_SECONDS.get(layout, 6.0) if seconds is None else seconds) * fps
    return max(SHORTEST, 1 + round((wanted - 1) / frame_step()) * frame_step())
