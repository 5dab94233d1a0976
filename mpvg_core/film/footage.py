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
    if fps is not None and not 0 < fps < 10_000:
        raise InputError(Problem("footage", f"has {fps} frames a second", "more than 0"))
    count = len(frames)
    rate = 1.0 if fps is None else fps / limits.fps
    wanted = np.minimum(np.rint(np.arange(limits.max_frames) * rate).astype(int), count)
    chosen = [int(index) for index in wanted if index < count]
    length = longest_length(len(chosen), limits.frame_step)
    width, height = size or (limits.width, limits.height)
    return np.stack([covering(frames[index], width, height) for index in chosen[:length]])
