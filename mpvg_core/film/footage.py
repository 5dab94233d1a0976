"""Footage made elsewhere, brought to a model's size, rate and length, so that a film can go on from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, Problem
from ..storyboard.lengths import longest_length
from ..storyboard.plan import ModelLimits
from .pictures import covering


def fit_footage(
    frames: NDArray[np.uint8], limits: ModelLimits, *, fps: float | None = None, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Frames [n, H, W, 3] as the model would have made them: uint8 [m, height, width, 3].

    fps: the footage's rate; frames are taken at the model's own (None: it is that already). The clip begins where the
    footage begins and has the longest legal length. Pictures are scaled to cover `size` (width, height; None: the
    model's own) and cut in the middle.

    Raises InputError for footage without a frame, and for a rate that is none.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise InputError(Problem("footage", f"has shape {list(frames.shape)}", "[frames, height, width, 3]"))
    chosen = at_rate(frames, fps, limits.fps, limits.max_frames)
    length = longest_length(len(chosen), limits.frame_step)
    width, height = size or (limits.width, limits.height)
    return np.stack([covering(frame, width, height) for frame in chosen[:length]])


def at_rate(frames: NDArray[np.uint8], fps: float | None, wanted: float, most: int) -> NDArray[np.uint8]:
    """Of frames [n, ...] at `fps` a second the first that are shown at `wanted` a second, `most` at most.

    fps None: they are at that rate. Raises InputError for a rate that is none.
    """
    if fps is None:
        return frames[:most]
    if not 0 < fps < 10_000:
        raise InputError(Problem("footage", f"has {fps} frames a second", "more than 0"))
    numbers = np.rint(np.arange(most) * fps / wanted).astype(int)
    return frames[numbers[numbers < len(frames)]]
