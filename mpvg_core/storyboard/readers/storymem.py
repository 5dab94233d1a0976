"""StoryMem's story scripts.

    {"story_overview": …, "scenes": [{"scene_num": 1, "cut": [true, false], "video_prompts": [ …, … ]}]}

Every video prompt is a shot, called 'scene N shot K'; the overview is kept and filmed nowhere. A shot with ``cut``
false goes on where the one before it ends, which is kept as ``continues``. Format: StoryMem (arXiv 2512.19539).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...errors import InputError, Problem
from ..draft import Draft
from ..origin import Origin, Path
from ..spelling import did_you_mean
from ..words import shown
from .json_lines import load_json

_STORY_KEYS = ("story_overview", "scenes")
_SCENE_KEYS = ("scene_num", "cut", "video_prompts")


def is_storymem(data: Any) -> bool:
    """Whether parsed JSON is a story script: it has 'scenes' and no 'shots'."""
    return isinstance(data, dict) and "scenes" in data and "shots" not in data


def read_storymem(text: str, source: str) -> Draft:
    """The draft of a story script."""
    return draft_storymem(*load_json(text, source), source)


def draft_storymem(data: Any, lines: dict[Path, int], problems: tuple[Problem, ...], source: str) -> Draft:
    """The draft of a parsed story script."""
    reading = _Story(Origin(source, lines))
    reading.problems.extend(problems)
    shots = list(reading.shots(data))
    board: dict[str, Any] = {"version": 1, "shots": shots}
    overview = data.get("story_overview") if isinstance(data, dict) else None
    if isinstance(overview, str):
        board["overview"] = overview
    elif overview is not None:
        reading.complain(("story_overview",), f"'story_overview' is {shown(overview)}", "text")
    if not shots:
        raise InputError(reading.problems)
    return Draft(board, reading.shot_lines, tuple(reading.problems))


class _Story:
    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.problems: list[Problem] = []
        self.shot_lines: dict[Path, int] = {}
        if (top := origin.line(())) is not None:
            self.shot_lines[()] = top

    def complain(self, path: Path, what: str, expected: str = "", remedy: str = "", label: str = "") -> None:
        self.problems.append(Problem(self.origin.where(path, label), what, expected, remedy))

    def shots(self, data: Any) -> Iterator[dict[str, Any]]:
        if not isinstance(data, dict):
            self.complain((), f"the story is {shown(data)}", "an object with 'scenes'")
            return
        self._only_keys(data, (), _STORY_KEYS)
        scenes = data.get("scenes")
        if not isinstance(scenes, list) or not scenes:
            self.complain(("scenes",), f"'scenes' is {shown(scenes)}", "a list of at least one scene")
            return
        index = 0
        for position, scene in enumerate(scenes):
            for path, shot in self._scene(scene, position):
                self.shot_lines[("shots", index)] = self.origin.line(path) or 1
                index += 1
                yield shot

    def _scene(self, scene: Any, position: int) -> Iterator[tuple[Path, dict[str, Any]]]:
        path: Path = ("scenes", position)
        label = f"scene {position + 1}"
        if not isinstance(scene, dict):
            self.complain(path, f"the scene is {shown(scene)}", "an object with 'video_prompts'", label=label)
            return
        self._only_keys(scene, path, _SCENE_KEYS, label)
        number = scene.get("scene_num", position + 1)
        if not isinstance(number, int) or isinstance(number, bool):
            self.complain((*path, "scene_num"), f"'scene_num' is {shown(number)}", "a whole number", label=label)
            number = position + 1
        prompts = scene.get("video_prompts")
        if not isinstance(prompts, list) or not prompts:
            what = f"'video_prompts' is {shown(prompts)}"
            self.complain((*path, "video_prompts"), what, "a list of at least one prompt", label=label)
            return
        cuts = _cuts(scene.get("cut", [True] * len(prompts)))
        if not isinstance(cuts, list) or not all(isinstance(cut, bool) for cut in cuts):
            self.complain((*path, "cut"), f"'cut' is {shown(cuts)}", "a list of true and false", label=label)
            cuts = [True] * len(prompts)
        elif len(cuts) != len(prompts):
            what = f"'cut' has {len(cuts)} entries for {len(prompts)} prompts"
            self.complain((*path, "cut"), what, "one for each of 'video_prompts'", label=label)
            cuts = [True] * len(prompts)
        for shot, (prompt, cut) in enumerate(zip(prompts, cuts, strict=True)):
            spec: dict[str, Any] = {"name": f"scene {number} shot {shot + 1}", "prompt": prompt}
            if not cut and (position or shot):
                spec["continues"] = True
            yield (*path, "video_prompts", shot), spec

    def _only_keys(self, data: dict[str, Any], path: Path, keys: tuple[str, ...], label: str = "") -> None:
        for key in data:
            if key not in keys:
                remedy = did_you_mean(key, keys, "remove it")
                self.complain((*path, key), f"unknown key {shown(key)}", "one of " + ", ".join(keys), remedy, label)


def _cuts(value: Any) -> Any:
    """'cut' with the words "True" and "False" as truth values, and one alone as a list: scripts write it both ways."""
    words = {"true": True, "false": False}
    cuts = [value] if isinstance(value, bool | str) else value
    if not isinstance(cuts, list):
        return value
    return [words.get(cut.lower(), cut) if isinstance(cut, str) else cut for cut in cuts]
