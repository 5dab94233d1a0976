"""Video files as streams of frames with their own times."""

from __future__ import annotations

import subprocess
import threading

import imageio_ffmpeg
import numpy as np
import pytest

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.film.reading import VideoInfo, probe, read_frames
from mpvg_core.film.video import VideoWriter


def ffmpeg(*words):
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-hide_banner", "-loglevel", "error", "-y", *map(str, words)], check=True)


def write(path, count=12, *, fps=8, width=320, height=256):
    """A film whose frames grow lighter by 8 each."""
    with VideoWriter(path, width=width, height=height, fps=fps) as writer:
        for number in range(count):
            writer.write(np.full((height, width, 3), 16 + 8 * number % 230, np.uint8))
    return path


@pytest.mark.parametrize("fps", [8, 25, 60])
def test_each_frame_comes_with_its_time(tmp_path, fps):
    read = [*read_frames(write(tmp_path / "film.mp4", fps=fps))]
    assert [time for time, _ in read] == pytest.approx([number / fps for number in range(12)], abs=1e-5)
    for number, (_, frame) in enumerate(read):
        assert frame.shape == (256, 320, 3) and abs(int(frame[100, 100, 1]) - 16 - 8 * number) <= 2


def test_a_changing_rate_keeps_its_times(tmp_path):
    times = [0.0, 0.04, 0.08, 0.48, 1.52, 1.56, 3.0]
    choice = "+".join(f"eq(n,{round(time * 25)})" for time in times)
    write(tmp_path / "steady.mp4", 80, fps=25)
    ffmpeg("-i", tmp_path / "steady.mp4", "-vf", f"select='{choice}'", "-fps_mode", "vfr", tmp_path / "film.mkv")
    assert [time for time, _ in read_frames(tmp_path / "film.mkv")] == pytest.approx(times, abs=1e-3)


def test_a_long_film_comes_through_without_the_two_pipes_waiting_for_each_other(tmp_path):
    film = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32:r=60:d=15", "-preset", "ultrafast", film)
    done = []

    def read():
        times = [time for time, _ in read_frames(film, size=(16, 16))]
        done.append(times)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(timeout=60)
    assert done and done[0] == pytest.approx([number / 60 for number in range(900)], abs=1e-5)


@pytest.mark.parametrize("scaling", ["smooth", "sparse"])
def test_frames_are_scaled_to_the_size_asked_for(tmp_path, scaling):
    ramp = np.broadcast_to(np.linspace(0, 255, 320, dtype=np.uint8)[None, :, None], (256, 320, 3))
    with VideoWriter(tmp_path / "film.mp4", width=320, height=256, fps=8) as writer:
        writer.write(ramp.copy())
    ((_, frame),) = read_frames(tmp_path / "film.mp4", size=(40, 32), scaling=scaling)
    assert frame.shape == (32, 40, 3)
    assert np.abs(frame[16, :, 1] - np.linspace(3, 252, 40)).max() < (4 if scaling == "smooth" else 12)


def test_sparse_scaling_keeps_grain_that_smooth_scaling_averages_away(tmp_path):
    grain = np.random.default_rng(0).integers(0, 256, (256, 320, 1), np.uint8).repeat(3, axis=2)
    with VideoWriter(tmp_path / "film.mp4", width=320, height=256, fps=8) as writer:
        writer.write(grain)
    spread = {
        scaling: float(next(read_frames(tmp_path / "film.mp4", size=(40, 32), scaling=scaling))[1].std())
        for scaling in ("smooth", "sparse")
    }
    assert spread["smooth"] < 0.5 * spread["sparse"]


def test_reading_may_stop_early_and_leaves_no_process(tmp_path):
    frames = read_frames(write(tmp_path / "film.mp4", 40))
    next(frames)
    before = threading.active_count()
    frames.close()
    assert threading.active_count() == before - 1


def test_the_header_tells_size_rate_and_length(tmp_path):
    assert probe(write(tmp_path / "film.mp4", 20, fps=8)) == VideoInfo(320, 256, 8.0, 2.5)


def test_a_turned_picture_is_told_and_read_upright(tmp_path):
    write(tmp_path / "film.mp4", 4)
    ffmpeg("-display_rotation", "90", "-i", tmp_path / "film.mp4", "-c", "copy", tmp_path / "turned.mp4")
    info = probe(tmp_path / "turned.mp4")
    assert (info.width, info.height) == (256, 320)
    assert next(read_frames(tmp_path / "turned.mp4"))[1].shape == (320, 256, 3)


def test_sound_that_begins_first_does_not_shift_the_order_of_times(tmp_path):
    write(tmp_path / "film.mp4", 8)
    ffmpeg("-i", tmp_path / "film.mp4", "-f", "lavfi", "-i", "sine=d=1", "-shortest", tmp_path / "loud.mp4")
    times = [time for time, _ in read_frames(tmp_path / "loud.mp4")]
    assert len(times) == 8 and np.diff(times) == pytest.approx([0.125] * 7, abs=1e-4)


@pytest.mark.parametrize("read", [probe, lambda path: [*read_frames(path)]], ids=["probe", "read_frames"])
class TestFilesThatCannotBeRead:
    def test_a_missing_file_is_named(self, tmp_path, read):
        with pytest.raises(InputError, match=r"gone\.mp4: is not there"):
            read(tmp_path / "gone.mp4")

    def test_an_empty_file_is_named(self, tmp_path, read):
        (tmp_path / "empty.mp4").touch()
        with pytest.raises(InputError, match=r"empty\.mp4: is empty"):
            read(tmp_path / "empty.mp4")

    def test_a_file_of_something_else_is_named(self, tmp_path, read):
        (tmp_path / "text.mp4").write_text("no film " * 99)
        with pytest.raises(MPVGError, match=r"text\.mp4: ffmpeg failed"):
            read(tmp_path / "text.mp4")

    def test_sound_alone_is_no_video(self, tmp_path, read):
        ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", tmp_path / "sound.wav")
        with pytest.raises(InputError, match=r"sound\.wav: holds no video stream"):
            read(tmp_path / "sound.wav")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_film_that_breaks_off_is_an_error_not_a_shorter_film(tmp_path, part):
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "film.mp4", width=256, height=256, fps=8) as writer:
        for _ in range(12):
            writer.write(rng.integers(0, 256, (256, 256, 3), np.uint8))
    data = (tmp_path / "film.mp4").read_bytes()
    (tmp_path / "film.mp4").write_bytes(data[: int(len(data) * part)])
    with pytest.raises(MPVGError, match=r"film\.mp4: ffmpeg failed"):
        list(read_frames(tmp_path / "film.mp4"))
