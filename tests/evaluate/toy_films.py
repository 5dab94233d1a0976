"""Films on disk made of clips that are drawn, so that the truth about them is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpvg_core.evaluate.consistency import Consistency, measure
from mpvg_core.evaluate.cuts import CutSettings
from mpvg_core.evaluate.palette import Palette
from mpvg_core.evaluate.reel import open_reel
from mpvg_core.film.assemble import clip_record, finish_film
from mpvg_core.film.record import Film, FilmedShot
from mpvg_core.film.takes import CLIP, LATENT, TakeStore
from mpvg_core.film.video import VideoWriter
from mpvg_core.pocket.world import Look, Role, Scene, draw_scene

STAR, SQUARE = Look("pink", "star"), Look("yellow", "square")


def scene(actor: int, look: Look, motion: str, place: str) -> Scene:
    return Scene((Role(actor, look, motion),), place)


def story(*looks: Look) -> list[np.ndarray]:
    """Four clips: actors 1 and 2 alone, each on the playground and on the snow; `looks` of shots 1 to 4."""
    one, two, three, four = looks
    scenes = [
        scene(0, one, "running", "playground"),
        scene(1, two, "skiing", "snow"),
        scene(1, three, "jumping", "playground"),
        scene(0, four, "dancing", "snow"),
    ]
    return [draw_scene(each, 9) for each in scenes]


PROMPTS = (
    "Actor 1 is running on the playground.",
    "Actor 2 is skiing on the snow.",
    "Actor 2 is jumping on the playground.",
    "Actor 1 is dancing on the snow.",
)


def put_film(
    folder: Path,
    clips: Sequence[np.ndarray],
    prompts: Sequence[str] = PROMPTS,
    crossfades: Sequence[float] = (),
    title: str = "Toys",
) -> Path:
    """The folder of a film of clips [T, H, W, 3] at 8 frames a second; `crossfades` are seconds before each shot."""
    height, width = clips[0].shape[1:3]
    shots = []
    with TakeStore(folder) as store:
        for index, clip in enumerate(clips):
            inputs = {"prompt": prompts[index], "seed": 100 + index, "frames": len(clip)}
            manifest = {
                "shot": f"shot {index + 1}",
                "prompt": prompts[index],
                "history": [],
                "inputs": inputs,
                "clip": clip_record(width, height),
            }
            with store.draft() as draft:
                (draft / LATENT).write_bytes(b"none")
                with VideoWriter(draft / CLIP, width=width, height=height, fps=8) as writer:
                    writer.write(clip)
                take = store.commit(draft, manifest)
            seconds = crossfades[index] if crossfades else 0.0
            joint = "crossfade" if seconds else "cut"
            shots.append(FilmedShot(index + 1, f"shot {index + 1}", take, False, joint, seconds))
        model = {"name": "drawn", "fingerprint": "0" * 16}
        finish_film(Film(title, 8, width, height, model, None, {"steps": 3}, tuple(shots)), store)
    return folder


def measured(path: Path, **options) -> Consistency:
    return measure(open_reel(path, CutSettings(), **options), Palette())
