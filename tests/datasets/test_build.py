"""A data set built from videos with known cuts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from made import scene, write_video

from mpvg_core.datasets import build, cut
from mpvg_core.datasets.build import build_dataset
from mpvg_core.datasets.describe import CaptionRefused
from mpvg_core.datasets.read import iter_stories, iter_transitions
from mpvg_core.datasets.settings import ClipSettings
from mpvg_core.datasets.sources import find_sources
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.storyboard import read_storyboard


class Speaker:
    """A captioner that numbers what it is shown; `refuses` are the numbers it says nothing to."""

    at_once = 2

    def __init__(self, name="speaker", refuses=(), breaks=False):
        self.name, self.refuses, self.breaks = name, refuses, breaks
        self.shown, self.earlier = [], []

    def describe(self, pictures, earlier):
        self.shown.append(pictures)
        self.earlier.append(tuple(earlier))
        if self.breaks:
            raise MPVGError("the server is gone")
        if len(self.shown) in self.refuses:
            raise CaptionRefused("not this one")
        return f"Scene {len(self.shown)} of Actor 1"

    def stop(self):
        self.stopped = True


class Desk:
    def __init__(self, folder: Path) -> None:
        self.videos, self.out = folder / "videos", folder / "out"
        self.videos.mkdir()

    def video(self, name, places, lengths, captions=None, **how):
        file = write_video(self.videos / name, places, lengths, **how)
        if captions:
            (self.videos / f"{file.stem}.txt").write_text("\n".join(captions), "utf-8")
        return file

    def build(self, captioner=None, jobs=1, **changes):
        given = {"layout": "scenes", "fps": 8, "size": (64, 64), "frames": 49, "min_scene": 1.0, "max_scene": None}
        settings = ClipSettings(**{**given, "threshold": 27.0, **changes})
        return build_dataset(find_sources([self.videos], self.out), self.out, settings, captioner, jobs=jobs)

    def transitions(self, captioner=None, **changes):
        return self.build(captioner, layout="transitions", **{"frames": 81, **changes})

    def written(self):
        """When each file of the data set was last written."""
        return {file: file.stat().st_mtime_ns for file in self.out.rglob("*") if file.is_file()}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def same_pictures(frames, drawn):
    return np.abs(frames.astype(int) - drawn).mean() < 5


def test_a_story_is_the_scenes_of_a_video_in_order(desk):
    desk.video("a.mp4", "snow moon beach", [17, 30, 9], ["on the snow", "on the moon", "at the beach"])
    manifest = desk.build()
    (story,) = iter_stories(desk.out)
    assert [shot.prompt for shot in story.shots] == ["on the snow", "on the moon", "at the beach"]
    for shot, place, start, frames in zip(story.shots, ("snow", "moon", "beach"), (0, 2, 0), (17, 25, 9), strict=True):
        assert same_pictures(shot.clip.read(), scene(place, 30)[start : start + frames])
    counts = manifest.counts()
    assert (counts["videos"], counts["scenes"], counts["clips"], counts["stories"]) == (1, 3, 3, 1)
    assert counts["seconds"] == pytest.approx((17 + 25 + 9) / 8, abs=1e-3) and not manifest.faulty()
    assert json.loads((desk.out / "dataset.json").read_text("utf-8")) == json.loads(json.dumps(manifest.as_json()))


def test_a_story_file_is_a_storyboard_that_can_be_filmed(desk):
    desk.video("my story_1.mp4", "snow moon", [17, 17], ["on the snow", "on the moon"])
    desk.build()
    (file,) = desk.out.glob("stories/*/story.yaml")
    board = read_storyboard(file)
    assert (board.title, board.fps, board.size) == ("my story 1", 8, (64, 64))
    assert [shot.frames for shot in board.shots] == [17, 17]


def test_a_transition_is_cut_where_the_video_first_cuts(desk):
    desk.video("a.mp4", "snow moon beach", [20, 30, 50], ["on the snow", "on the moon", "at the beach"])
    desk.transitions()
    (transition,) = iter_transitions(desk.out)
    frames = transition.clip.read()
    assert (len(frames), transition.cut_frame) == (49, 20)
    assert same_pictures(frames[:20], scene("snow", 20)) and same_pictures(frames[20:], scene("moon", 30)[:29])
    assert transition.explicit == "Previous scene: on the snow; then next scene: on the moon"
    assert transition.implicit == "on the snow; on the moon"


def test_clips_of_other_rates_and_sizes_cover_the_picture_and_keep_the_pace(desk):
    desk.video("a.mp4", "snow moon", [60, 72], ["snow", "moon"], fps=24, size=(320, 128))
    desk.build(size=(64, 64))
    (story,) = iter_stories(desk.out)
    assert [shot.clip.frames for shot in story.shots] == [17, 17]
    # 320x128 is written doubled; 64 of its 160 pixels in 64 rows are seen.
    drawn = scene("moon", 72)[np.arange(17) * 3 + 9]
    columns = np.arange(48, 112) * 64 // 160
    assert np.abs(story.shots[1].clip.read().astype(int) - drawn[:, :, columns]).mean() < 12


def test_scenes_that_are_too_short_are_counted_and_leave_their_number_free(desk):
    desk.video("a.mp4", "snow moon beach", [17, 7, 17], ["snow", "moon", "beach"])
    manifest = desk.build()
    (story,) = iter_stories(desk.out)
    assert [(shot.name, shot.prompt) for shot in story.shots] == [("scene 001", "snow"), ("scene 003", "beach")]
    assert manifest.counts()["too short"] == 1 and not manifest.faulty()


def test_damaged_empty_and_other_files_are_listed_and_the_rest_is_built(desk):
    whole = desk.video("a.mp4", "snow moon", [17, 17], ["snow", "moon"]).read_bytes()
    (desk.videos / "cut off.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (desk.videos / "empty.mp4").write_bytes(b"")
    (desk.videos / "text.mp4").write_text("no video")
    (desk.videos / "notes.pdf").write_text("notes")
    manifest = desk.build()
    assert len([*iter_stories(desk.out)]) == 1
    told = {Path(video.source).name: (video.status, *video.problems) for video in manifest.faulty()}
    assert {name: status for name, (status, *_) in told.items()} == {
        "cut off.mp4": "damaged",
        "empty.mp4": "damaged",
        "text.mp4": "damaged",
        "notes.pdf": "no video",
    }
    assert all(problem for _, *problems in told.values() for problem in problems)
    counts = manifest.counts()
    assert (counts["videos"], counts["damaged"], counts["no video"]) == (4, 3, 1)
    page = (desk.out / "index.html").read_text("utf-8")
    assert all(name in page for name in told)


def test_building_again_writes_no_clip_again(desk):
    desk.video("a.mp4", "snow moon", [17, 17], ["snow", "moon"])
    desk.build()
    before = desk.written()
    desk.build()
    anew = {file.name for file, at in desk.written().items() if before.get(file) != at}
    assert before and anew <= {"index.html", ".lock"}


def test_a_source_that_was_renamed_is_not_cut_again(desk):
    file = desk.video("a.mp4", "snow moon", [17, 17], ["snow", "moon"])
    desk.build()
    clips = {path: path.stat().st_mtime_ns for path in desk.out.glob("stories/*/*.mp4")}
    file.rename(desk.videos / "b.mp4")
    (desk.videos / "a.txt").rename(desk.videos / "b.txt")
    desk.build()
    assert {path: path.stat().st_mtime_ns for path in desk.out.glob("stories/*/*.mp4")} == clips
    (story,) = iter_stories(desk.out)
    assert story.title == "b" and Path(story.source).name == "b.mp4"


def test_other_bytes_or_settings_give_other_clips_and_the_manifest_lists_only_those(desk):
    desk.video("a.mp4", "snow moon", [17, 17], ["snow", "moon"])
    desk.build()
    desk.video("a.mp4", "beach forest", [17, 17])
    desk.build()
    desk.build(fps=4, frames=9)
    assert len([*desk.out.glob("stories/*")]) == 3
    (story,) = iter_stories(desk.out)
    assert [(shot.clip.fps, shot.clip.frames) for shot in story.shots] == [(4, 9), (4, 9)]


def test_a_build_goes_on_at_the_first_clip_that_is_missing(desk):
    desk.video("a.mp4", "snow moon beach", [17, 17, 17], ["snow", "moon", "beach"])
    desk.build()
    (home,) = desk.out.glob("stories/*")
    kept, lost = home / "scene-001.mp4", home / "scene-002.mp4"
    bytes_of_lost, at = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    (home / ".scene-002.mp4.part").write_bytes(b"half a clip")
    (home / "story.yaml").unlink()
    desk.build()
    assert lost.read_bytes() == bytes_of_lost and kept.stat().st_mtime_ns == at
    assert len(next(iter_stories(desk.out)).shots) == 3 and not [*home.glob(".*.part")]


def test_the_same_video_twice_is_one_story(desk):
    desk.video("a.mp4", "snow moon", [17, 17], ["snow", "moon"])
    shutil.copy(desk.videos / "a.mp4", desk.videos / "z.mp4")
    manifest = desk.build()
    assert len([*iter_stories(desk.out)]) == 1 and manifest.counts()["duplicates"] == 1
    assert manifest.videos[1].same_as == manifest.videos[0].source


def test_videos_of_one_name_in_two_folders_do_not_collide(desk):
    desk.video("one/a.mp4", "snow moon", [17, 17], size=(64, 64))
    desk.video("two/a.mp4", "beach forest", [17, 17], size=(64, 64))
    desk.build(Speaker())
    first, second = iter_stories(desk.out)
    assert same_pictures(first.shots[0].clip.read(), scene("snow", 17))
    assert same_pictures(second.shots[0].clip.read(), scene("beach", 17))


def test_what_has_no_text_beside_it_is_described_by_the_captioner_once(desk):
    desk.video("a.mp4", "snow moon", [17, 17], ["on the snow", "on the moon"])
    desk.video("b.mp4", "beach forest", [17, 25])
    speaker = Speaker()
    desk.build(speaker)
    prompts = [[shot.prompt for shot in story.shots] for story in iter_stories(desk.out)]
    assert prompts == [["on the snow", "on the moon"], ["Scene 1 of Actor 1", "Scene 2 of Actor 1"]]
    assert speaker.earlier == [(), ("Scene 1 of Actor 1",)]
    for pictures, place, wanted in zip(speaker.shown, ("beach", "forest"), ((2, 8, 14), (4, 12, 20)), strict=True):
        assert same_pictures(np.stack(pictures), scene(place, 25)[[*wanted]])
    desk.build(speaker)
    assert len(speaker.shown) == 2
    desk.build(Speaker("another"))
    assert [shot.prompt for story in iter_stories(desk.out) for shot in story.shots][2] == "Scene 1 of Actor 1"


def test_a_caption_corrected_by_hand_stays(desk):
    desk.video("a.mp4", "snow moon", [17, 17])
    desk.build(Speaker())
    (book,) = desk.out.glob("stories/*/captions.json")
    book.write_text(book.read_text("utf-8").replace("Scene 2 of Actor 1", "Actor 1 on the moon"), "utf-8")
    desk.build(speaker := Speaker())
    assert [shot.prompt for shot in next(iter_stories(desk.out)).shots] == ["Scene 1 of Actor 1", "Actor 1 on the moon"]
    assert not speaker.shown


def test_each_side_of_a_cut_is_described_by_its_own_pictures(desk):
    desk.video("a.mp4", "snow moon", [20, 29])
    speaker = Speaker()
    desk.transitions(speaker)
    before, after = speaker.shown
    assert same_pictures(np.stack(before), scene("snow", 20)[[3, 10, 16]])
    assert same_pictures(np.stack(after), scene("moon", 29)[[4, 14, 24]])
    assert next(iter_transitions(desk.out)).explicit.endswith("next scene: Scene 2 of Actor 1")


def test_without_words_a_clip_is_kept_and_is_no_part_of_the_data_set(desk):
    desk.video("a.mp4", "snow moon", [17, 17])
    manifest = desk.build()
    assert [*iter_stories(desk.out)] == [] and len([*desk.out.glob("stories/*/*.mp4")]) == 2
    (video,) = manifest.faulty()
    assert (video.status, video.without_caption) == ("without captions", 2)
    before = {path: path.stat().st_mtime_ns for path in desk.out.glob("stories/*/*.mp4")}
    (desk.videos / "a.txt").write_text("snow\nmoon")
    assert not desk.build().faulty()
    assert {path: path.stat().st_mtime_ns for path in desk.out.glob("stories/*/*.mp4")} == before


def test_captions_that_do_not_fit_are_a_fault_that_names_the_file(desk):
    desk.video("a.mp4", "snow moon", [17, 17], ["a", "b", "c"])
    (video,) = desk.build().faulty()
    assert re.search(r"a\.txt: has 3 lines; expected 2", video.problems[0])


def test_a_caption_that_is_refused_leaves_out_its_clip_and_is_asked_for_again(desk):
    desk.video("a.mp4", "snow moon beach", [17, 17, 17])
    (video,) = desk.build(Speaker(refuses={2})).faulty()
    assert video.without_caption == 1 and "scene-002: not this one" in video.problems
    assert [shot.name for shot in next(iter_stories(desk.out)).shots] == ["scene 001", "scene 003"]
    again = Speaker()
    assert not desk.build(again).faulty() and len(again.shown) == 1


def test_a_captioner_that_fails_ends_the_build_and_keeps_clips_and_captions(desk):
    desk.video("a.mp4", "snow moon", [17, 17])
    with pytest.raises(MPVGError, match="the server is gone"):
        desk.build(speaker := Speaker(breaks=True))
    assert len(speaker.shown) == 1 and speaker.stopped
    assert len([*desk.out.glob("stories/*/*.mp4")]) == 2 and not (desk.out / "dataset.json").exists()


def test_a_video_without_a_cut_gives_no_transition(desk):
    desk.video("a.mp4", "snow", [40], ["snow", "moon"])
    desk.video("b.mp4", "snow moon", [6, 40], ["snow", "moon"])
    manifest = desk.transitions()
    assert [video.status for video in manifest.videos] == ["no cut", "too short"] and not manifest.faulty()
    assert [*iter_transitions(desk.out)] == []


def test_a_folder_holds_one_layout_and_one_build_at_a_time(desk):
    desk.video("a.mp4", "snow moon", [17, 17], ["snow", "moon"])
    desk.build()
    with pytest.raises(InputError, match="holds a data set of layout 'scenes'; expected 'transitions'"):
        desk.transitions()
    from filelock import FileLock

    with FileLock(desk.out / ".lock"), pytest.raises(InputError, match="another build is writing here"):
        desk.build()


def test_the_page_needs_no_other_file_and_shows_every_clip_with_its_words(desk):
    desk.video("a <b>.mp4", "snow moon", [17, 17], ["<script>alert(1)</script>", "on the moon"])
    desk.build()
    page = (desk.out / "index.html").read_text("utf-8")
    assert page.count("src=") == page.count('src="data:image/jpeg;base64,') == 2
    assert "on the moon" in page and "0:02.12 to 0:04.25" in page
    assert "<script>" not in page and "&lt;script&gt;" in page and "a &lt;b&gt;.mp4" in page


def test_several_processes_build_what_one_does(desk, tmp_path):
    for name, places in (("a", "snow moon"), ("b", "beach forest"), ("c", "street snow")):
        desk.video(f"{name}.mp4", places, [17, 17], ["one", "two"])
    (desk.videos / "broken.mp4").write_text("no video")
    alone = desk.build().as_json()
    bytes_alone = {file.relative_to(desk.out): file.read_bytes() for file in desk.out.rglob("*.mp4")}
    shutil.rmtree(desk.out)
    assert desk.build(jobs=2).as_json() == alone
    assert {file.relative_to(desk.out): file.read_bytes() for file in desk.out.rglob("*.mp4")} == bytes_alone


def test_a_picture_that_the_file_turns_upright_is_not_squeezed(desk, tmp_path):
    lying = write_video(tmp_path / "lying.mp4", "beach snow", [17, 17], size=(256, 384))
    turn = ["-display_rotation", "90", "-i", str(lying), "-c", "copy", str(desk.videos / "a.mp4")]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *turn], check=True)
    manifest = desk.build(Speaker(), size=(384, 256))
    assert (manifest.videos[0].width, manifest.videos[0].height) == (384, 256)
    (story,) = iter_stories(desk.out)
    drawn = scene("beach", 17)[:, np.arange(384) * 64 // 384][:, :, np.arange(256) * 64 // 256]
    assert same_pictures(story.shots[0].clip.read(), np.rot90(drawn, axes=(1, 2)))


def test_a_long_video_gives_several_stories(desk, monkeypatch):
    monkeypatch.setattr(build, "STORY_SHOTS", 2)
    desk.video("a.mp4", "snow moon beach", [17, 17, 17], ["snow", "moon", "beach"])
    assert desk.build().counts()["stories"] == 2
    prompts = [[shot.prompt for shot in story.shots] for story in iter_stories(desk.out)]
    assert prompts == [["snow", "moon"], ["beach"]]


def test_a_video_is_read_no_farther_than_its_transition_needs(desk, monkeypatch):
    monkeypatch.setattr(cut, "_LOOKS", 16)
    desk.video("a.mp4", "snow moon", [20, 80], ["snow", "moon"])
    manifest = desk.transitions(frames=17)
    assert manifest.videos[0].length == 64 / 8
    (transition,) = iter_transitions(desk.out)
    assert (transition.clip.frames, transition.cut_frame) == (17, 8)
