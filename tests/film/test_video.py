"""Video in and out, as a stream."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from mpvg_core.errors import MPVGError
from mpvg_core.film.reading import read_pictures
from mpvg_core.film.video import VideoWriter, add_audio, as_given, join_clips, written_size


def flat(colour, width=64, height=64):
    return np.full((height, width, 3), colour, np.uint8)


def write(path, colours, *, fps=8, **size):
    shape = {"width": 64, "height": 64, **size}
    with VideoWriter(path, fps=fps, **shape) as writer:
        for colour in colours:
            writer.write(flat(colour, **shape))
    return path


def probe(path):
    """What ffmpeg says of a file."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    return subprocess.run([program, "-hide_banner", "-i", str(path)], capture_output=True, text=True).stderr


COLOURS = [(200, 30, 40), (20, 160, 60), (30, 50, 220)]


def test_frames_come_back_in_their_colours(tmp_path):
    frames = [*read_pictures(write(tmp_path / "clip.mp4", COLOURS))]
    assert len(frames) == 3
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame.astype(int) - colour).max() <= 3


def test_the_file_is_what_browsers_play(tmp_path):
    path = write(tmp_path / "clip.mp4", COLOURS)
    said = probe(path)
    assert "h264" in said and "yuv420p(tv, bt709" in said and "8 fps" in said
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays while it loads


@pytest.mark.parametrize(
    ("size", "written"),
    [
        ((64, 64), (256, 256)),
        ((48, 96), (288, 576)),
        ((720, 480), (720, 480)),
        ((65, 301), (260, 1204)),
        ((257, 256), (258, 256)),
    ],
)
def test_small_frames_are_enlarged_by_a_whole_factor_and_sizes_are_even(tmp_path, size, written):
    assert written_size(*size) == written
    path = write(tmp_path / "clip.mp4", COLOURS[:1], width=size[0], height=size[1])
    seen = next(read_pictures(path))
    assert seen.shape == (written[1], written[0], 3)
    assert as_given(seen, *size).shape == (size[1], size[0], 3)


def test_enlarging_keeps_pixels_sharp(tmp_path):
    frame = flat((0, 0, 0))
    frame[:, ::2] = 255
    with VideoWriter(tmp_path / "clip.mp4", width=64, height=64, fps=8) as writer:
        writer.write(frame)
    whole = next(read_pictures(tmp_path / "clip.mp4"))
    assert np.abs(as_given(whole, 64, 64).astype(int) - frame).max() < 30
    seen = whole[100, :, 1].astype(int)
    assert (seen.reshape(64, 4)[::2] > 225).all() and (seen.reshape(64, 4)[1::2] < 30).all()


def test_equal_frames_give_equal_bytes_in_chunks_or_one_by_one(tmp_path):
    one = write(tmp_path / "one.mp4", COLOURS)
    with VideoWriter(tmp_path / "chunk.mp4", width=64, height=64, fps=8) as writer:
        writer.write(np.stack([flat(colour) for colour in COLOURS]))
    assert one.read_bytes() == (tmp_path / "chunk.mp4").read_bytes()


def test_a_writer_that_is_left_by_an_exception_leaves_no_file(tmp_path):
    with (
        pytest.raises(RuntimeError, match="the decoder died"),
        VideoWriter(tmp_path / "clip.mp4", width=64, height=64, fps=8) as writer,
    ):
        writer.write(flat(COLOURS[0]))
        raise RuntimeError("the decoder died")
    assert [*tmp_path.iterdir()] == []


def test_an_encoder_that_cannot_write_says_why(tmp_path):
    with pytest.raises(MPVGError, match=r"clip\.mp4: ffmpeg failed: .*No such file or directory"):
        write(tmp_path / "missing" / "clip.mp4", COLOURS * 40)


def test_an_encoder_that_is_killed_is_an_error_and_leaves_no_file(tmp_path):
    with (
        pytest.raises(MPVGError, match="ffmpeg failed"),
        VideoWriter(tmp_path / "clip.mp4", width=64, height=64, fps=8) as writer,
    ):
        writer.write(flat(COLOURS[0]))
        writer._process.kill()
        writer._process.wait()
        for _ in range(50):
            writer.write(flat(COLOURS[1]))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("frame", [flat((1, 2, 3), 32, 64), flat((1, 2, 3)).astype(np.float32)])
def test_a_frame_of_another_size_or_type_is_refused(tmp_path, frame):
    with (
        pytest.raises(MPVGError, match="expected"),
        VideoWriter(tmp_path / "c.mp4", width=64, height=64, fps=8) as writer,
    ):
        writer.write(frame)


def test_no_frame_is_an_error(tmp_path):
    with pytest.raises(MPVGError, match="no frame"):
        write(tmp_path / "clip.mp4", [])


@pytest.mark.parametrize("left", [0, 40, 900])
def test_a_damaged_file_is_an_error_not_a_shorter_clip(tmp_path, left):
    path = write(tmp_path / "clip.mp4", COLOURS)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(MPVGError, match=r"clip\.mp4: (ffmpeg failed|is empty|holds no video)"):
        list(read_pictures(path))


def test_reading_may_stop_early(tmp_path):
    frames = read_pictures(write(tmp_path / "clip.mp4", COLOURS * 30))
    next(frames)
    frames.close()


def test_clips_are_joined_frame_for_frame_without_encoding_again(tmp_path):
    folder = tmp_path / "it's 电影"
    folder.mkdir()
    clips = [write(folder / f"{index}.mp4", [colour] * 9) for index, colour in enumerate(COLOURS)]
    join_clips(clips, folder / "film.mp4", tmp_path)
    alone = [frame for clip in clips for frame in read_pictures(clip)]
    joined = [*read_pictures(folder / "film.mp4")]
    assert len(joined) == 27
    assert all(np.array_equal(one, other) for one, other in zip(alone, joined, strict=True))
    assert "Duration: 00:00:03.38" in probe(folder / "film.mp4")


@pytest.mark.parametrize("sound", [0.4, 20.0])
def test_sound_is_cut_or_filled_up_to_the_film_and_the_picture_is_untouched(tmp_path, sound):
    film = write(tmp_path / "film.mp4", COLOURS * 8)
    noise = (np.sin(np.arange(int(8000 * sound)) / 5) * 9000).astype("<i2").tobytes()
    header = (
        b"RIFF"
        + (36 + len(noise)).to_bytes(4, "little")
        + b"WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data"
    )
    (tmp_path / "sound.wav").write_bytes(header + len(noise).to_bytes(4, "little") + noise)
    add_audio(film, tmp_path / "sound.wav", tmp_path / "loud.mp4", tmp_path, seconds=3.0)
    said = probe(tmp_path / "loud.mp4")
    assert "Audio: aac" in said and "Duration: 00:00:03.0" in said
    assert all(
        np.array_equal(*pair) for pair in zip(read_pictures(film), read_pictures(tmp_path / "loud.mp4"), strict=True)
    )


def test_a_file_that_is_no_sound_is_an_error_and_leaves_the_film_alone(tmp_path):
    film = write(tmp_path / "film.mp4", COLOURS)
    (tmp_path / "sound.wav").write_text("no sound")
    with pytest.raises(MPVGError, match="ffmpeg failed"):
        add_audio(film, tmp_path / "sound.wav", tmp_path / "loud.mp4", tmp_path, seconds=1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "sound.wav"]
