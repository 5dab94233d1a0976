"""Pictures as arrays: which of many to look at, made smaller, or fitted to a size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import InputError, Problem


def evenly(count: int, wanted: int) -> list[int]:
    """`wanted` indices spread evenly over 0..count-1, both ends included; fewer if there are fewer."""
    return [int(index) for index in np.rint(np.linspace(0, count - 1, min(wanted, count)))]


def shrunk(frame: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """A picture [H, W, 3], blocks of `factor` x `factor` pixels averaged; what does not fill a block is left out."""
    if factor <= 1:
        return frame
    height, width = frame.shape[0] // factor, frame.shape[1] // factor
    blocks = frame[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    mean: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return (mean + 0.5).astype(np.uint8)


def covering(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A picture [H, W, 3] scaled to cover width and height, and cut in the middle: [height, width, 3]."""
    if frame.shape[:2] == (height, width):
        return frame
    scale = max(width / frame.shape[1], height / frame.shape[0])
    across, down = max(round(frame.shape[1] * scale), width), max(round(frame.shape[0] * scale), height)
    picture = Image.fromarray(frame).resize((across, down), Image.Resampling.LANCZOS)
    left, top = (across - width) // 2, (down - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture file, upright: uint8 [H, W, 3]. Raises InputError for one that is not there or no picture."""
    try:
        with Image.open(path) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except FileNotFoundError as error:
        raise InputError(Problem(str(path), "is not there", "a picture file")) from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(Problem(str(path), "holds no picture that can be read", "a PNG, JPEG or WebP file")) from error
