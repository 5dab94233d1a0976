"""Do the figures of consistency measure what they claim? `python -m mpvg_core.pocket.trial`: films of the toy world,
where the truth is known.

A story of the world gives two films: one as it is, and one in which every shot has the looks of another story, while
places, motions and everything else stay. A figure of the actors must tell the two apart, a figure of the places two
shots in one place from two in different ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, count

import numpy as np
from numpy.typing import NDArray

from ..evaluate.colour import Floats
from ..evaluate.features import Features
from ..evaluate.likeness import likeness, mean_direction, pair_mean
from ..evaluate.mask import subject_mask
from ..evaluate.palette import Palette
from ..evaluate.shot import SAMPLES
from ..film.pictures import evenly
from .world import Look, Role, Scene, background, draw_scene, draw_story

SHOTS = 4


@dataclass(frozen=True)
class Trial:
    """What came out of `films` pairs of films, those that have two shots with an actor in common.

    actors: how often the mean likeness of the actors is higher in a film that keeps its looks than in one that does not
    (area under the ROC curve, over all pairs of one of each; 0.5 is chance). actors_paired: the share of stories whose
    own film wins. actors_whole: the first figure without the mask, for contrast; actors_shape: the first figure where
    the other film keeps the colours and changes the shapes alone. places: how often two shots in one place are more
    alike than two in different places. precision, recall: of the mask's weights against the truth, the
    mean over shots; waving: the same of shots in which the actors only wave.
    """

    films: int
    actors: float
    actors_paired: float
    actors_whole: float
    actors_shape: float
    places: float
    precision: float
    recall: float
    precision_waving: float
    recall_waving: float


@dataclass(frozen=True)
class _Seen:
    subject: Floats
    place: Floats
    whole: Floats
    precision: float
    recall: float


def run_trial(films: int, features: Features, first_seed: int = 0) -> Trial:
    """The trial on `films` stories from `first_seed` on."""
    kept: list[float] = []
    swapped: list[float] = []
    reshaped: list[float] = []
    kept_whole: list[float] = []
    swapped_whole: list[float] = []
    same: list[float] = []
    other: list[float] = []
    masks: list[tuple[bool, float, float]] = []
    for seed in count(first_seed):
        if len(kept) == films:
            break
        scenes = draw_story(seed, shots=SHOTS).scenes
        cast = [{role.index for role in scene.roles} for scene in scenes]
        pairs = [(i, j) for i, j in combinations(range(SHOTS), 2) if cast[i] & cast[j]]
        if not pairs:
            continue
        own = [_seen(scene, features) for scene in scenes]
        others = [draw_story(1_000 * (seed + 1) + shot).looks for shot in range(SHOTS)]
        foreign = [_seen(_dressed(scene, looks), features) for scene, looks in zip(scenes, others, strict=True)]
        shapes = [_seen(_dressed(scene, looks, True), features) for scene, looks in zip(scenes, others, strict=True)]
        kept.append(_mean(own, "subject", pairs))
        swapped.append(_mean(foreign, "subject", pairs))
        reshaped.append(_mean(shapes, "subject", pairs))
        kept_whole.append(_mean(own, "whole", pairs))
        swapped_whole.append(_mean(foreign, "whole", pairs))
        places = likeness(np.stack([seen.place for seen in own]))
        for i, j in combinations(range(SHOTS), 2):
            (same if scenes[i].place == scenes[j].place else other).append(float(places[i, j]))
        for scene, seen in zip(scenes, own, strict=True):
            masks.append(({role.motion for role in scene.roles} == {"waving"}, seen.precision, seen.recall))
    waving = [mask for mask in masks if mask[0]] or [(True, float("nan"), float("nan"))]
    return Trial(
        films=films,
        actors=roc_area(kept, swapped),
        actors_paired=float(np.mean(np.array(kept) > np.array(swapped))),
        actors_whole=roc_area(kept_whole, swapped_whole),
        actors_shape=roc_area(kept, reshaped),
        places=roc_area(same, other),
        precision=float(np.mean([mask[1] for mask in masks])),
        recall=float(np.mean([mask[2] for mask in masks])),
        precision_waving=float(np.mean([mask[1] for mask in waving])),
        recall_waving=float(np.mean([mask[2] for mask in waving])),
    )


def roc_area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The area under the ROC curve: the chance that a positive is above a negative, ties half; nan for none."""
    if not positive or not negative:
        return float("nan")
    above = np.array(positive)[:, None] - np.array(negative)[None, :]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def actors_truth(scene: Scene, clip: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels [T, 64, 64] of a drawn clip differ from its empty place."""
    empty = (background(scene.place, scene.mirrored) + 0.5).astype(np.uint8)
    differs: NDArray[np.bool_] = np.abs(clip.astype(np.int16) - empty).max(axis=-1) > 8
    return differs


def _seen(scene: Scene, features: Features) -> _Seen:
    drawn = draw_scene(scene)
    clip = drawn[evenly(len(drawn), SAMPLES + 1)]
    mask, truth = subject_mask(clip), actors_truth(scene, clip)
    hit = float((mask.weights * truth).sum())
    return _Seen(
        subject=mean_direction(features.describe(clip, mask.weights)),
        place=mean_direction(features.describe(clip, 1 - mask.weights)),
        whole=mean_direction(features.describe(clip, np.ones_like(mask.weights))),
        precision=hit / max(float(mask.weights.sum()), 1e-6),
        recall=hit / max(float(truth.sum()), 1e-6),
    )


def _mean(seen: Sequence[_Seen], part: str, pairs: list[tuple[int, int]]) -> float:
    mean = pair_mean(likeness(np.stack([getattr(shot, part) for shot in seen])), pairs)
    assert mean is not None
    return mean


def _dressed(scene: Scene, looks: Sequence[Look], shapes_only: bool = False) -> Scene:
    """The scene with other looks of its actors, or with their own colours and other shapes."""

    def look(role: Role) -> Look:
        return Look(role.look.colour if shapes_only else looks[role.index].colour, looks[role.index].shape)

    return replace(scene, roles=tuple(replace(role, look=look(role)) for role in scene.roles))


def main() -> None:
    """Print the trial as JSON."""
    parser = argparse.ArgumentParser(description="Measure the measurement on films of the toy world.")
    parser.add_argument("--films", type=int, default=120)
    arguments = parser.parse_args()
    found = asdict(run_trial(arguments.films, Palette()))
    print(json.dumps({key: round(value, 3) for key, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
