"""Captions from the text beside a video."""

from __future__ import annotations

import pytest

from mpvg_core.datasets.sidecar import read_captions
from mpvg_core.errors import InputError

SCENES = [(0.0, 4.0), (4.0, 5.0), (5.0, 9.0)]
SRT = """1
00:00:00,000 --> 00:00:03,900
A dog <i>runs</i>.

2
00:00:04,200 --> 00:00:08,500
A cat sleeps
on a bed.

3
00:00:08,500 --> 00:00:09,000
It is 2026
"""


def captions(tmp_path, text, layout="scenes", name="a.txt", scenes=SCENES):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_captions([file], scenes, layout)


def test_a_line_is_a_scene(tmp_path):
    assert captions(tmp_path, "\ufeffa dog\r\n\r\n a  cat\r\na 1 horse") == ("a dog", "a cat", "a 1 horse")


def test_numbers_before_all_lines_are_layout(tmp_path):
    assert captions(tmp_path, "1. a dog\n2. a cat\n3. a cow") == ("a dog", "a cat", "a cow")


def test_one_line_is_for_all_scenes_or_tells_them_apart(tmp_path):
    assert captions(tmp_path, "a dog; and a cat") == ("a dog; and a cat",) * 3
    text = "Previous scene: a dog; next scene: a cat; next scene: a cow"
    assert captions(tmp_path, text) == ("a dog", "a cat", "a cow")


def test_too_few_or_too_many_lines_are_an_error_that_counts(tmp_path):
    with pytest.raises(InputError, match=r"a\.txt: has 2 lines; expected 3, a line a scene; index\.html shows"):
        captions(tmp_path, "a dog\na cat")
    with pytest.raises(InputError, match="has 4 lines; expected 3"):
        captions(tmp_path, "a\nb\nc\nd")


@pytest.mark.parametrize(
    "text", ["a dog\na cat", "a dog\na cat\na cow", "Previous scene: a dog; then next scene: a cat", "a dog; a cat"]
)
def test_a_transition_takes_what_is_before_and_after_the_first_cut(tmp_path, text):
    assert captions(tmp_path, text, "transitions") == ("a dog", "a cat")


def test_one_caption_is_not_enough_for_a_transition(tmp_path):
    with pytest.raises(InputError, match="has 1 line; expected a line for each side of the cut"):
        captions(tmp_path, "a dog", "transitions")


def test_a_cue_belongs_to_the_scenes_that_it_covers_for_the_most_part(tmp_path):
    said = captions(tmp_path, SRT, name="a.srt")
    assert said == ("A dog runs.", "A cat sleeps on a bed.", "A cat sleeps on a bed. It is 2026")
    assert captions(tmp_path, SRT, "transitions", name="a.srt") == said[:2]


def test_a_scene_without_a_cue_has_no_caption(tmp_path):
    assert captions(tmp_path, "1\n00:00:05,000 --> 00:00:09,000\na cow\n", name="a.srt") == ("", "", "a cow")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("00:00:05,000 --> 00:00:01,000\nx", "a.srt", r"a\.srt:1: the cue .* ends before it begins"),
        ("just text", "a.srt", "holds no cue"),
        (b"caf\xe9", "a.txt", "is no UTF-8"),
        (" \n", "a.txt", "is empty"),
    ],
)
def test_a_file_that_cannot_be_understood_is_an_error(tmp_path, text, name, said):
    with pytest.raises(InputError, match=said):
        captions(tmp_path, text, name=name)


def test_two_files_for_one_video_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"a\.srt and a\.txt: are both captions of one video"):
        read_captions([tmp_path / "a.srt", tmp_path / "a.txt"], SCENES, "scenes")
