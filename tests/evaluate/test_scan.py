"""Frames in memory are measured as those of a file are, and whoever watches may end it."""

from __future__ import annotations

import numpy as np
import pytest

from mpvg_core.evaluate.cuts import CutSettings
from mpvg_core.evaluate.scan import scan_film, scan_frames, sparsely
from mpvg_core.film.video import VideoWriter


def ramps(width: int, height: int) -> np.ndarray:
    """Three scenes of eight frames: smooth ramps, which no scaling changes much, of three colours."""
    ramp = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 1))
    scenes = [(ramp * np.array(colour)).astype(np.uint8) for colour in ((1, 0.2, 0.1), (0.1, 1, 0.3), (0.2, 0.2, 1))]
    return np.repeat(np.stack(scenes), 8, axis=0)


def test_large_frames_in_memory_have_the_cuts_and_nearly_the_scores_of_their_file(tmp_path):
    frames = ramps(640, 320)
    with VideoWriter(tmp_path / "a.mp4", width=640, height=320, fps=8) as writer:
        writer.write(frames)
    settings = CutSettings(threshold=15)
    file, memory = scan_film(tmp_path / "a.mp4", settings), scan_frames(frames, settings, fps=8)
    assert [cut.frame for cut in memory.cuts] == [cut.frame for cut in file.cuts] == [8, 16]
    assert np.allclose(memory.times, file.times, atol=1e-4)
    assert np.abs(memory.scores - file.scores).max() < 2


def test_a_picture_is_brought_down_by_its_nearest_pixels_and_noise_stays_strong():
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3), np.uint8)
    small = sparsely(noise, (150, 75))
    assert small.shape == (75, 150, 3) and small.dtype == np.uint8
    means = noise.reshape(75, 4, 150, 4, 3).mean(axis=(1, 3))
    assert small.std() > 1.5 * means.std()
    assert sparsely(noise, (600, 300)) is noise
    ramp = np.repeat(np.arange(0, 240, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.abs(sparsely(ramp, (60, 1))[0, :, 0] - (np.arange(60) * 4 + 1.5)).max() <= 0.5


@pytest.mark.parametrize("memory", [True, False], ids=["frames in memory", "a file"])
def test_whoever_watches_is_told_of_every_frame_and_may_end_it(tmp_path, memory):
    frames = ramps(64, 64)
    with VideoWriter(tmp_path / "a.mp4", width=64, height=64, fps=8) as writer:
        writer.write(frames)
    told = []

    def watch(done):
        told.append(done)
        if done == stop:
            raise KeyboardInterrupt

    def scan():
        if memory:
            scan_frames(frames, CutSettings(), fps=8, watch=watch)
        else:
            scan_film(tmp_path / "a.mp4", watch=watch)

    stop = 100
    scan()
    assert told == [*range(1, 25)]
    told.clear()
    stop = 5
    with pytest.raises(KeyboardInterrupt):
        scan()
    assert told == [1, 2, 3, 4, 5]
