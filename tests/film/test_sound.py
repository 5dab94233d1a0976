"""Sound in memory becomes a file that a film can take."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from mpvg_core.errors import InputError
from mpvg_core.film.sound import write_wave


def test_a_wave_file_holds_the_channels_side_by_side_and_clips_what_is_too_loud(tmp_path: Path) -> None:
    write_wave(np.array([[0.0, 0.5, 2.0], [0.0, -0.5, -2.0]]), 8000, tmp_path / "sound.wav")
    with wave.open(str(tmp_path / "sound.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 3)
        levels = np.frombuffer(file.readframes(3), "<i2").reshape(3, 2)
    assert levels.tolist() == [[0, 0], [16384, -16384], [32767, -32767]]


def test_sound_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="audio"):
        write_wave(np.zeros((2, 0)), 8000, tmp_path / "sound.wav")
