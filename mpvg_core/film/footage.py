"""Footage made elsewhere, brought to a model's size, rate and length, so that a film can go on from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import InputError, Problem
from ..storyboard.plan import ModelLimits


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
    length = 1 + (len(chosen) - 1) // limits.frame_step * limits.frame_step
    width, height = size or (limits.width, limits.height)
    return np.stack([covering(frames[index], width, height) for index in chosen[:length]])


def covering(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A picture [H, W, 3] scaled to cover width and height, and cut in the middle: [height, width, 3]."""
    if frame.shape[:2] == (height, width):
        return frame
    scale = max(width / frame.shape[1], height / frame.shape[0])
    across, down = max(round(frame.shape[1] * scale), width), max(round(frame.shape[0] * scale), height)
    picture = Image.fromarray(frame).resize((across, down), Image.Resampling.LANCZOS)
    left, top = (across - width) // 2, (down - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))
