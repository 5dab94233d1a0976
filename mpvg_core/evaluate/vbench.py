"""VBench on a film's shots: the user's own installation is run, none comes with MPVG.

VBench 0.1.5 demands its own CUDA build and fetches some ten networks, so it is no dependency and no extra. It rates
single clips of any prompt in its mode `custom_input`; dimensions that need prompts of its own suite are left out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InputError, MPVGError, Problem

DIMENSIONS = (
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "dynamic_degree",
    "aesthetic_quality",
    "imaging_quality",
)
"""Those that VBench's custom_input mode rates."""


def run_vbench(
    clips: Mapping[str, Path], dimensions: tuple[str, ...] = DIMENSIONS, *, device: str = "cuda"
) -> dict[str, dict[str, float]]:
    """VBench's figure of each dimension for each clip: {dimension: {name of the shot: figure}}.

    clips: file by the name of its shot. VBench writes its results into a folder of its own, which is removed.

    Raises InputError when vbench is not installed, or for dimensions it cannot rate here, MPVGError when it fails.
    """
    if unknown := [name for name in dimensions if name not in DIMENSIONS]:
        raise InputError(Problem("--vbench", f"{', '.join(unknown)} cannot be rated", ", ".join(DIMENSIONS)))
    library = require_vbench()
    with tempfile.TemporaryDirectory() as folder:
        links = _linked(clips, Path(folder) / "clips")
        info = Path(folder) / "full_info.json"
        info.write_text("[]", encoding="utf-8")
        try:
            rating = library.VBench(device, str(info), str(folder))
            rating.evaluate(
                videos_path=str(Path(folder) / "clips"),
                name="mpvg",
                dimension_list=[*dimensions],
                local=False,
                read_frame=False,
                mode="custom_input",
            )
            found = json.loads((Path(folder) / "mpvg_eval_results.json").read_text(encoding="utf-8"))
        except Exception as error:
            raise MPVGError(f"vbench failed: {type(error).__name__}: {error}") from error
        return {dimension: _by_shot(dimension, found, links) for dimension in dimensions}


def require_vbench() -> ModuleType:
    """The module vbench. Raises InputError, saying how to install it, when it cannot be imported."""
    try:
        return import_module("vbench")
    except ImportError as error:
        remedy = "install it in this environment: pip install vbench (it needs a CUDA build of torch, fetches networks)"
        raise InputError(Problem("--vbench", f"vbench cannot be imported ({error})", remedy=remedy)) from error


def _linked(clips: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """The clips under plain names in a folder of their own; the shot of each file name."""
    folder.mkdir()
    shots = {}
    for number, (shot, clip) in enumerate(clips.items(), start=1):
        (folder / f"{number:04}.mp4").write_bytes(clip.read_bytes())
        shots[f"{number:04}.mp4"] = shot
    return shots


def _by_shot(dimension: str, found: Any, shots: Mapping[str, str]) -> dict[str, float]:
    """VBench's file holds, for each dimension, [mean, [{"video_path": …, "video_results": …}, …]]."""
    try:
        rows = found[dimension][1]
        rated = {shots[Path(row["video_path"]).name]: float(row["video_results"]) for row in rows}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MPVGError(
            f"vbench's results for {dimension} cannot be read ({error!r}); expected version 0.1.5"
        ) from error
    return {shot: rated[shot] for shot in shots.values() if shot in rated}
