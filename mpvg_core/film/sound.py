"""Sound that lies in memory, as a file that a film can take."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, Problem


def write_wave(samples: NDArray[np.floating], rate: int, path: Path) -> None:
    """Write samples [channels, n] in -1..1 at `rate` a second as 16-bit WAV; louder ones are clipped.

    Raises InputError for sound without samples, or with numbers that are none.
    """
    if samples.ndim != 2 or not samples.size:
        raise InputError(Problem("audio", f"has shape {list(samples.shape)}", "[channels, samples]", "connect a sound"))
    if not np.isfinite(samples).all():
        raise InputError(Problem("audio", "holds NaN or infinity", "samples from -1 to 1"))
    levels = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(levels.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.T.tobytes())
