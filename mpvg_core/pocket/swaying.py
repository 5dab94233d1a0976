"""The pocket's one-shot tuning: a clip whose motion no prompt of the toy world tells, and what is learned of it.

    python -m mpvg_core.pocket.swaying --out FILE [--steps N]

An actor waves and sways from side to side meanwhile. In the world those who wave stand still, so that any swaying
under another prompt comes from the clip.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..backbone.cogvideox import CogVideoXBackbone
from ..backbone.load import load_backbone
from ..film.durable import written_whole
from ..methods.one_shot import Tuning, write_tuning
from ..training.one_shot import TuningRecipe, tune_one_shot
from ..training.transitions import Progress
from .control import drawn_actors
from .world import FRAMES, Look, Role, Scene, draw_scene

FILE = "one_shot_tuning.safetensors"
MOTION = "waving"
STEPS = 400
SOURCE = Scene((Role(0, Look("yellow", "circle"), MOTION),), "street")
PROMPT = "Actor 1 (a yellow circle) is waving on the street."
_AWAY = 8.0  # pixels that a lone actor of shift 1 stands aside


def swaying() -> NDArray[np.float64]:
    """Where the actor is, in pixels to the right of its spot, a value a frame: once to the right, left, and back."""
    return _AWAY * np.sin(np.linspace(0, 2 * np.pi, FRAMES))


def source_clip() -> NDArray[np.uint8]:
    """The clip, uint8 [17, 64, 64, 3]."""
    return np.stack([draw_scene(replace(SOURCE, shift=x / _AWAY))[frame] for frame, x in enumerate(swaying())])


def followed_share(scene: Scene, clip: NDArray[np.uint8]) -> float:
    """How much of the swaying is in a clip of a lone actor: the slope of where it is over where the clip's is; 1 = all
    of it, 0 = none. 0 for a clip in which nobody is seen in some frame."""
    mask = drawn_actors(scene, clip[:FRAMES])
    if not mask.any(axis=(1, 2)).all():
        return 0.0
    columns = np.arange(mask.shape[2])
    middles = (mask.sum(axis=1) * columns).sum(axis=1) / mask.sum(axis=(1, 2))
    wanted = swaying()
    return float((middles - middles.mean()) @ wanted / (wanted @ wanted))


def tune(
    backbone: CogVideoXBackbone,
    folder: Path,
    steps: int = STEPS,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> Tuning:
    """What the model learns of the clip in `steps`, resuming from `folder`; needs peft."""
    windows = backbone.encode_clip(source_clip())[None]
    return tune_one_shot(folder, backbone, PROMPT, windows, TuningRecipe(steps=steps), report=report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket", help="a model of the toy world")
    parser.add_argument("--out", type=Path, default=Path(FILE), help="the tuning; its run is kept in FILE.run")
    parser.add_argument("--steps", type=int, default=STEPS, help="in all, those before a resume included")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    def say(now: Progress) -> None:
        if now.step % 50 == 0:
            print(f"{now.step}/{now.steps} loss {now.loss:.4f}", flush=True)

    backbone = load_backbone(options.model, dtype="float32")
    run = options.out.with_name(f"{options.out.name}.run")
    tuning = tune(backbone, run, options.steps, report=say)
    with written_whole(options.out) as temporary:
        write_tuning(tuning, temporary)
    print(options.out)


if __name__ == "__main__":
    main()
