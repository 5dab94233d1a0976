"""A film's consistency: what stays within and across its shots, and whether the figures can be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .colour import Floats
from .cut_accuracy import CutAccuracy, cut_accuracy
from .doubts import doubts, mute, telling_pairs
from .drift import colour_drift
from .features import Features
from .likeness import likeness, pair_mean
from .reel import Reel, ReelShot
from .shot import ShotFigures, ShotLook, measure_shot

FORMAT = 1


@dataclass(frozen=True)
class MeasuredShot:
    """A shot and its figures. drift: its `colour_drift` from shot 1. mute: why it counts in no mean, else None.
    pictures: uint8 [n, h, w, 3], moments spread evenly over it."""

    shot: ReelShot
    figures: ShotFigures
    drift: float
    mute: str | None
    pictures: NDArray[np.uint8]


@dataclass(frozen=True)
class Summary:
    """Means over shots that say something, and over pairs of them; None where there is none.

    subject_shared, subject_apart: likeness of the subject in pairs of shots that share an actor, and that do not;
    subject_all: in all pairs. place_shared and so on: the same of places. The contrast shared - apart is what tells a
    film that keeps its actors from one in which all look alike.
    subject_within, place_within: steadiness within shots. drift: the largest from shot 1. The others: means of shots.
    """

    subject_shared: float | None
    subject_apart: float | None
    subject_all: float | None
    place_shared: float | None
    place_apart: float | None
    place_all: float | None
    subject_within: float | None
    place_within: float | None
    motion: float | None
    flicker: float | None
    sharpness: float | None
    text: float | None
    drift: float


@dataclass(frozen=True)
class Consistency:
    """All that was measured of a film.

    subject, place: likeness of every two shots [n, n]; telling: the pairs of indices i < j of which it says something.
    cuts: None without a storyboard. doubts: sentences, each a reason not to believe some figures.
    """

    reel: Reel
    features: str
    shots: tuple[MeasuredShot, ...]
    subject: Floats
    place: Floats
    telling: tuple[tuple[int, int], ...]
    summary: Summary
    cuts: CutAccuracy | None
    doubts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, without pictures."""
        scenes = self.reel.scenes
        cuts: dict[str, Any] = {
            "threshold": scenes.settings.threshold,
            "min_frames": scenes.settings.min_frames,
            "found": self.reel.found("cut"),
            "fades": self.reel.found("fade"),
            "wanted": None if self.reel.wanted is None else [*self.reel.wanted],
        }
        if self.cuts is not None:
            cuts |= {"accuracy": _round(self.cuts.accuracy), "error_frames": _round(self.cuts.error)}
            cuts |= {"missed": [*self.cuts.missed], "extra": [*self.cuts.extra]}
        return {
            "version": FORMAT,
            "title": self.reel.title,
            "fps": _round(self.reel.fps),
            "frames": self.reel.frames,
            "features": self.features,
            "names_guessed": self.reel.names_guessed,
            **self.reel.about,
            "summary": {key: _round(value) for key, value in asdict(self.summary).items()},
            "shots": [_shot_json(shot) for shot in self.shots],
            "subject": [[_round(float(value)) for value in row] for row in self.subject],
            "place": [[_round(float(value)) for value in row] for row in self.place],
            "cuts": cuts,
            "doubts": [*self.doubts],
        }


def measure(reel: Reel, features: Features, report: Callable[[str], None] | None = None) -> Consistency:
    """Measure a film shot by shot; of each shot only what is compared with others is kept. `report` is told the name of
    each shot before it is read."""
    figures: list[ShotFigures] = []
    looks: list[ShotLook] = []
    for shot, frames in reel.clips():
        if report is not None:
            report(shot.name)
        found, look = measure_shot(frames, features, fps=reel.fps, prompt=shot.prompt, name=shot.name)
        figures.append(found)
        looks.append(look)
    subject, place = (likeness(np.stack([getattr(look, part) for look in looks])) for part in ("subject", "place"))
    shots = tuple(
        MeasuredShot(shot, found, colour_drift(looks[0].colour, look.colour), mute(found), look.pictures)
        for shot, found, look in zip(reel.shots, figures, looks, strict=True)
    )
    names = [shot.name for shot in reel.shots]
    cuts, pairs = _cuts(reel), telling_pairs(figures, looks)
    return Consistency(
        reel=reel,
        features=features.name,
        shots=shots,
        subject=subject,
        place=place,
        telling=tuple(pairs),
        summary=_summary(shots, subject, place, pairs),
        cuts=cuts,
        doubts=(*doubts(names, figures, looks), *_cut_doubts(reel, cuts)),
    )


def _summary(shots: tuple[MeasuredShot, ...], subject: Floats, place: Floats, pairs: list[tuple[int, int]]) -> Summary:
    def parted(names: list[tuple[str, ...]], matrix: Floats) -> tuple[float | None, float | None]:
        """Means over the pairs that share a name, and over those that have names and share none."""
        named = [(i, j) for i, j in pairs if names[i] and names[j]]
        shared = [(i, j) for i, j in named if {*names[i]} & {*names[j]}]
        return pair_mean(matrix, shared), pair_mean(matrix, [pair for pair in named if pair not in shared])

    telling = [shot.figures for shot in shots if shot.mute is None]
    texts = [found.text for found in telling if found.text is not None]

    def mean(name: str) -> float | None:
        return float(np.mean([getattr(found, name) for found in telling])) if telling else None

    subject_shared, subject_apart = parted([shot.shot.actors for shot in shots], subject)
    place_shared, place_apart = parted([shot.shot.places for shot in shots], place)
    return Summary(
        subject_shared=subject_shared,
        subject_apart=subject_apart,
        subject_all=pair_mean(subject, pairs),
        place_shared=place_shared,
        place_apart=place_apart,
        place_all=pair_mean(place, pairs),
        subject_within=mean("subject"),
        place_within=mean("place"),
        motion=mean("motion"),
        flicker=mean("flicker"),
        sharpness=mean("sharpness"),
        text=float(np.mean(texts)) if texts else None,
        drift=max(shot.drift for shot in shots),
    )


def _cuts(reel: Reel) -> CutAccuracy | None:
    """The cuts found against the storyboard's; what is found in its crossfades is neither wanted nor too many."""
    if reel.wanted is None:
        return None
    return cut_accuracy(reel.wanted, [frame for frame in reel.found("cut") if not reel.fading(frame)], reel.frames)


def _cut_doubts(reel: Reel, cuts: CutAccuracy | None) -> list[str]:
    if cuts is None:
        return []
    starts = {shot.start: shot.name for shot in reel.shots}
    threshold = reel.scenes.settings.threshold
    said = [
        f"the cut to {starts[frame]} (frame {frame}) was not seen: V there is {reel.scenes.scores[frame]:.1f}, "
        f"below {threshold:g}; the two shots are alike in colour, or the threshold is too high"
        for frame in cuts.missed
    ]
    for frame in cuts.extra:
        inside = [shot for shot in reel.shots if shot.start < frame < shot.start + shot.frames]
        where = f"within {inside[0].name}" if inside else "in the film"
        said.append(f"a cut that the storyboard does not have was seen {where} (frame {frame})")
    for frame in reel.found("fade"):
        if not reel.fading(frame):
            said.append(f"a fade that the storyboard does not have was seen up to frame {frame}")
    return said


def _shot_json(shot: MeasuredShot) -> dict[str, Any]:
    known: dict[str, Any] = {
        "number": shot.shot.number,
        "name": shot.shot.name,
        "start": shot.shot.start,
        "frames": shot.shot.frames,
        "prompt": shot.shot.prompt,
        "actors": [*shot.shot.actors],
        "places": [*shot.shot.places],
        "seed": shot.shot.seed,
        "take": shot.shot.take,
    }
    measured = {key: _round(value) for key, value in asdict(shot.figures).items() if key != "frames"}
    return known | measured | {"drift": _round(shot.drift), "mute": shot.mute}


def _round(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
