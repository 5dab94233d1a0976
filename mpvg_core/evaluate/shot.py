"""One shot measured in one pass over its frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import MPVGError
from ..film.pictures import evenly
from .colour import Floats, lab
from .features import Features
from .flicker import flicker, light
from .likeness import mean_direction, steadiness, text_likeness
from .mask import subject_mask
from .motion import SIDE, change, flow
from .sampling import EvenSample, reduced
from .sharpness import contrast, neighbour_likeness, sharpness

SAMPLES = 8
"""At least so many frames of a shot are described, and pairs of frames looked at for motion; at most twice as many."""
_MOMENTS, _PICTURE = 5, 128  # of the contact sheet: pictures a shot, their height in pixels
_THUMB = 16


@dataclass(frozen=True)
class ShotFigures:
    """What was measured of a shot by itself. The functions of the same names say what each figure means.

    frames: how many were read. subject, place: steadiness of the subject's and the place's pixels, -1..1.
    motion: the mean `flow` of frames 1/8 s apart, in parts of the short side; change: the mean `change`, levels of 255.
    flicker: levels. sharpness: squared levels, at the size of the frames. text: likeness to the prompt, None where the
    features know no words. neighbours, contrast: of the sampled frames, to know noise and one colour by.
    found_by: how the subject was found, 'motion' or 'centre'; subject_share: the mask's share of the picture.
    """

    frames: int
    subject: float
    place: float
    motion: float
    change: float
    flicker: float
    sharpness: float
    text: float | None
    neighbours: float
    contrast: float
    found_by: str
    subject_share: float


@dataclass(frozen=True)
class ShotLook:
    """What is kept of a shot to compare it with others: directions of the subject and the place [D], mean CIELAB colour
    [3], tiny pictures [n, 16, 16, 3] of moments spread evenly, and pictures [n, h, w, 3] of the same for a sheet."""

    subject: Floats
    place: Floats
    colour: Floats
    thumbs: NDArray[np.uint8]
    pictures: NDArray[np.uint8]


def measure_shot(
    frames: Iterator[NDArray[np.uint8]], features: Features, *, fps: float, prompt: str = "", name: str = "shot"
) -> tuple[ShotFigures, ShotLook]:
    """Figures and look of a shot from the stream of its frames [H, W, 3]; memory does not grow with its length.

    Raises MPVGError, naming the shot, where there is no frame.
    """
    step = max(1, round(fps / 8))
    sample: EvenSample[NDArray[np.uint8]] = EvenSample(SAMPLES)
    moments: EvenSample[NDArray[np.uint8]] = EvenSample(2 * _MOMENTS)
    pairs: EvenSample[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = EvenSample(SAMPLES)
    recent: deque[NDArray[np.uint8]] = deque(maxlen=step)
    lights: deque[Floats] = deque(maxlen=3)
    changes, flickers, sharp = _Mean(), _Mean(), _Mean()
    for frame in frames:
        sample.add(reduced(frame, features.side))
        moments.add(_picture(frame))
        small = reduced(frame, SIDE)
        if len(recent) == step:
            changes.add(change(recent[0], small))
            pairs.add((recent[0], small))
        recent.append(small)
        lights.append(light(small))
        if len(lights) == 3:
            flickers.add(flicker(*lights))
        sharp.add(sharpness(frame))
    if not sharp.count:
        raise MPVGError(f"{name} has no frame to be measured")
    seen = np.stack(sample.items)
    mask = subject_mask(seen)
    subject, place = features.describe(seen, mask.weights), features.describe(seen, 1 - mask.weights)
    words = features.describe_texts((prompt,)) if prompt else None
    whole = None if words is None else features.describe(seen, np.ones_like(mask.weights))
    pictures = moments.items
    chosen = np.stack([pictures[index] for index in evenly(len(pictures), _MOMENTS)])
    figures = ShotFigures(
        frames=sharp.count,
        subject=steadiness(subject),
        place=steadiness(place),
        motion=float(np.mean([flow(*pair) for pair in pairs.items])) if pairs.items else 0.0,
        change=changes.value,
        flicker=flickers.value,
        sharpness=sharp.value,
        text=None if words is None or whole is None else text_likeness(whole, words[0]),
        neighbours=float(np.mean([neighbour_likeness(frame) for frame in seen])),
        contrast=float(np.mean([contrast(frame) for frame in seen])),
        found_by=mask.kind,
        subject_share=float(mask.weights.mean()),
    )
    look = ShotLook(
        subject=mean_direction(subject),
        place=mean_direction(place),
        colour=lab(seen).reshape(-1, 3).mean(axis=0),
        thumbs=np.stack([_resized(picture, _THUMB, _THUMB) for picture in chosen]),
        pictures=chosen,
    )
    return figures, look


class _Mean:
    """The mean of a stream of numbers; 0 for none."""

    def __init__(self) -> None:
        self.count = 0
        self._total = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self._total += value

    @property
    def value(self) -> float:
        return self._total / self.count if self.count else 0.0


def _picture(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Small for the sheet; a tiny model's frame is enlarged by a whole factor, so that its pixels stay squares."""
    if (factor := _PICTURE // frame.shape[0]) > 1:
        return frame.repeat(factor, axis=0).repeat(factor, axis=1)
    return _resized(frame, max(1, round(frame.shape[1] * _PICTURE / frame.shape[0])), _PICTURE)


def _resized(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX))
