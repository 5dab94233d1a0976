"""The nodes that measure films and cut footage, run through the stand-in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import standin
import torch
from made import write_video
from toy_films import SQUARE, STAR, put_film, story

from mpvg_core.storyboard.read import read_storyboard

COLOURS = [(200, 30, 40), (20, 160, 60), (30, 50, 220)]
SCENES = {"threshold": 27.0, "min_frames": 4, "fps": 8.0, "hue": 1.0, "saturation": 1.0, "value": 1.0}
SCENES |= {"circular_hue": False, "filter": "events", "most_first_frames": 64}
REPORT = {
    "folder": "",
    "features": "palette",
    "encoder": "none",
    "file_name": "consistency",
    "actors": "",
    "places": "",
}
REPORT |= {"threshold": 27.0, "min_frames": 4}
BUILD = {"videos": "", "folder": "", "layout": "scenes", "width": 64, "height": 64, "fps": 8, "frames": 17, "jobs": 2}
BUILD |= {"min_scene": 1.0, "max_scene": 0.0, "threshold": 27.0}


class Comfy:
    """A ComfyUI with folders of its own, whose nodes can be run."""

    def __init__(self, base: Path, nodes: dict[str, Any]) -> None:
        self.base, self.nodes = base, nodes
        self.output, self.input, self.models = base / "output", base / "input", base / "models" / "mpvg"
        for folder in (self.output, self.input, self.models):
            folder.mkdir(parents=True)

    def run(self, name: str, **inputs: Any) -> Any:
        defaults = {"SceneCuts": SCENES, "ConsistencyReport": REPORT, "DatasetBuilder": BUILD}[name]
        return self.nodes[f"MPVG_{name}"].execute(**{**defaults, **inputs})

    def film(self, name: str) -> Any:
        """MPVG_FILM: the film of a folder in output/mpvg."""
        return sys.modules[f"{standin.PACK}.nodes.reading"].film_in(name)

    @property
    def error(self) -> Any:
        return sys.modules[f"{standin.PACK}.mpvg_core.errors"].MPVGError


@pytest.fixture
def comfy(nodes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    here = Comfy(tmp_path, nodes)
    folders = sys.modules["folder_paths"]
    monkeypatch.setattr(folders, "get_output_directory", lambda: str(here.output))
    monkeypatch.setattr(folders, "get_input_directory", lambda: str(here.input))
    monkeypatch.setattr(folders, "get_temp_directory", lambda: str(tmp_path / "temp"))
    monkeypatch.setattr(folders, "folder_names_and_paths", {"mpvg": ([str(here.models)], set())})
    for name in ("MPVG_SceneCuts", "MPVG_ConsistencyReport", "MPVG_DatasetBuilder"):
        monkeypatch.setattr(nodes[name], "hidden", SimpleNamespace(unique_id="7"), raising=False)
    monkeypatch.setattr(standin.ProgressBar, "made", [])
    yield here


@pytest.fixture
def cancelled(nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    """The artist has pressed Cancel: what the host raises from now on."""
    memory = sys.modules["comfy.model_management"]
    kind: type[BaseException] = memory.InterruptProcessingException

    def throw() -> None:
        raise kind

    monkeypatch.setattr(memory, "throw_exception_if_processing_interrupted", throw)
    return kind


def flats(each: int = 8) -> np.ndarray:
    return np.concatenate([np.full((each, 64, 64, 3), colour, np.uint8) for colour in COLOURS])


def image(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).float() / 255


def in_memory(frames: np.ndarray, rate: int) -> standin.VideoFromComponents:
    return standin.VideoFromComponents(SimpleNamespace(images=image(frames), frame_rate=rate))


# -- Scene Cuts ------------------------------------------------------------------------------------------------------


def test_scene_cuts_tells_scenes_as_text_json_number_and_pictures(comfy: Comfy) -> None:
    made = comfy.run("SceneCuts", clip=image(flats()))
    text, data, count, picture, first = made.args
    assert count == 3 and text.startswith("clip: 3 scenes, 2 cuts, 24 frames")
    assert [(part["start"], part["end"]) for part in json.loads(data)["segments"]] == [(0, 8), (8, 16), (16, 24)]
    assert torch.equal(first, image(flats())[[0, 8, 16]])
    assert picture.shape[0] == 1 and picture.dtype == torch.float32 and 0 <= picture.min() < picture.max() <= 1
    assert made.ui["mpvg_text"] == text.splitlines()
    assert (comfy.base / "temp" / made.ui["images"][0]["filename"]).is_file()


def test_a_video_file_is_read_as_a_stream_and_gives_the_scenes_of_its_pictures(comfy: Comfy) -> None:
    file = write_video(comfy.input / "three places.mp4", "snow moon beach", [17, 24, 9])
    text, data, count, _, first = comfy.run("SceneCuts", clip=standin.VideoFromFile(str(file))).args
    assert count == 3 and text.startswith("three places.mp4: 3 scenes")
    assert [part["start"] for part in json.loads(data)["segments"]] == [0, 17, 41]
    assert len(first) == 3 and first[0].mean() != first[1].mean()
    (bar,) = standin.ProgressBar.made
    assert bar.total == 50 and bar.shown == [16, 32, 48]


def test_a_video_has_its_own_rate_and_images_that_of_the_widget(comfy: Comfy) -> None:
    def ends(clip: Any, fps: float) -> list[float]:
        data = json.loads(comfy.run("SceneCuts", clip=clip, fps=fps).args[1])
        return [part["end_time"] for part in data["segments"]]

    assert ends(in_memory(flats(), 4), 8.0) == ends(image(flats()), 4.0) == [2.0, 4.0, 6.0]


def test_of_a_trimmed_video_only_what_is_left_is_looked_at(comfy: Comfy) -> None:
    class Trimmed(standin.VideoFromFile):
        def get_active_trim_window(self) -> tuple[float, float]:
            return 1.0, 0.0

        def get_components(self) -> Any:
            return SimpleNamespace(images=image(flats()[8:]), frame_rate=8)

    assert comfy.run("SceneCuts", clip=Trimmed("whole.mp4")).args[2] == 2


def test_only_so_many_first_frames_are_given_out_but_all_scenes_are_counted(comfy: Comfy) -> None:
    _, _, count, _, first = comfy.run("SceneCuts", clip=image(flats()), most_first_frames=2).args
    assert count == 3 and torch.equal(first, image(flats())[[0, 8]])


def test_weights_and_threshold_decide_what_a_cut_is(comfy: Comfy) -> None:
    clip = image(flats())
    assert comfy.run("SceneCuts", clip=clip, threshold=254.0).args[2] == 1
    with pytest.raises(comfy.error, match="weights"):
        comfy.run("SceneCuts", clip=clip, hue=0.0, saturation=0.0, value=0.0)


def test_cancel_ends_the_search_for_cuts(comfy: Comfy, cancelled: type[BaseException]) -> None:
    with pytest.raises(cancelled):
        comfy.run("SceneCuts", clip=image(flats()))


@pytest.mark.parametrize("node", ["SceneCuts", "ConsistencyReport"])
def test_without_matplotlib_a_measuring_node_names_the_extra_before_it_works(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    clip = {"SceneCuts": "clip", "ConsistencyReport": "film"}[node]
    with pytest.raises(comfy.error, match=r"mpvg\[report\]"):
        comfy.run(node, **{clip: None})


# -- Consistency Report ----------------------------------------------------------------------------------------------


def test_a_film_is_measured_from_its_takes_and_its_page_lies_beside_it(comfy: Comfy) -> None:
    folder = put_film(comfy.output / "mpvg" / "toys", story(STAR, SQUARE, SQUARE, STAR))
    (folder / "film.mp4").write_bytes(b"of another cut of the film")
    made = comfy.run("ConsistencyReport", film=comfy.film("toys"))
    picture, text, data, page = made.args
    assert Path(page) == folder / "consistency.html"
    html = Path(page).read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>") and "src='http" not in html and "<script" not in html
    figures = json.loads(data)
    assert figures["title"] == "Toys" and figures["shots"][0]["actors"] == ["Actor 1"]
    assert figures["cuts"]["wanted"] == [9, 18, 27]
    assert "actors across shots" in text and made.ui["mpvg_text"] == [
        *text.splitlines(),
        "output/mpvg/toys/consistency.html",
    ]
    assert picture.shape[0] == 1 and picture.shape[3] == 3
    assert (folder / "film.mp4").read_bytes() == b"of another cut of the film"
    assert not list(folder.rglob("measured*"))


def test_a_film_made_before_is_found_by_its_folder_and_names_are_those_of_the_storyboard(comfy: Comfy) -> None:
    prompts = ("Mia runs on the playground.", "Tom skis.", "Tom jumps.", "Mia dances.")
    put_film(comfy.output / "mpvg" / "named", story(STAR, SQUARE, SQUARE, STAR), prompts)
    board = SimpleNamespace(cast=[SimpleNamespace(name="Mia"), SimpleNamespace(name="Tom")], places=[])
    told = json.loads(comfy.run("ConsistencyReport", folder="named", storyboard=board).args[2])
    assert [shot["actors"] for shot in told["shots"]] == [["Mia"], ["Tom"], ["Tom"], ["Mia"]]
    node = comfy.nodes["MPVG_ConsistencyReport"]
    before = node.fingerprint_inputs(folder="named")
    record = comfy.output / "mpvg" / "named" / "film.json"
    record.write_bytes(record.read_bytes() + b" ")
    assert node.fingerprint_inputs(folder="named") != before


@pytest.mark.parametrize("folder", ["..", "../../input", "none", "."])
def test_a_folder_that_is_no_film_of_the_output_folder_is_refused(comfy: Comfy, folder: str) -> None:
    (comfy.output / "mpvg").mkdir()
    with pytest.raises(comfy.error, match=r"^folder: .*is not there; expected a film's folder under output/mpvg"):
        comfy.run("ConsistencyReport", folder=folder)


def test_the_page_of_a_video_lies_in_the_output_folder_whatever_the_file_name_says(comfy: Comfy) -> None:
    outside = write_video(comfy.input / "My footage.mp4", "snow moon", [9, 9])
    inside = write_video(comfy.output / "clips" / "a.mp4", "snow moon", [9, 9])
    pages = [
        comfy.run("ConsistencyReport", film=film, file_name="../../page").args[3]
        for film in (standin.VideoFromFile(str(outside)), standin.VideoFromFile(str(inside)))
    ]
    assert pages == [str(comfy.output / "mpvg" / "my-footage" / "page.html"), str(inside.parent / "page.html")]
    assert all(Path(page).is_file() for page in pages)


def test_a_video_in_memory_is_measured_as_the_same_video_in_a_file(comfy: Comfy) -> None:
    frames = np.concatenate([story(STAR, SQUARE, SQUARE, STAR)[index] for index in (0, 1)])
    _, _, data, page = comfy.run("ConsistencyReport", film=in_memory(frames, 8)).args
    figures = json.loads(data)
    assert [(shot["start"], shot["frames"]) for shot in figures["shots"]] == [(0, 9), (9, 9)]
    assert figures["fps"] == 8 and Path(page) == comfy.output / "mpvg" / "video" / "consistency.html"
    (bar,) = standin.ProgressBar.made
    assert bar.total == 36 and bar.shown == [16, 32]


def test_a_report_of_nothing_and_a_wrong_encoder_are_told_in_the_words_of_the_widgets(comfy: Comfy) -> None:
    with pytest.raises(comfy.error, match="film: is open, and no folder is named"):
        comfy.run("ConsistencyReport", folder=" ")
    clip = in_memory(flats(), 8)
    with pytest.raises(comfy.error, match=r"^features clip: needs a model; .* name it with encoder$"):
        comfy.run("ConsistencyReport", film=clip, features="clip")
    with pytest.raises(comfy.error, match="encoder: 'gone' is not there"):
        comfy.run("ConsistencyReport", film=clip, features="clip", encoder="gone")


def test_encoders_are_the_folders_in_transformers_layout(comfy: Comfy) -> None:
    for name in ("clip/config.json", "clip/preprocessor_config.json", "no/config.json", "not/preprocessor_config.json"):
        (comfy.models / name).parent.mkdir(exist_ok=True)
        (comfy.models / name).write_text("{}")
    folders = sys.modules[f"{standin.PACK}.nodes.folders"]
    assert folders.encoder_names() == ["clip"] and folders.encoder_path("clip") == comfy.models / "clip"
    assert folders.encoder_path("none") is None


# -- Dataset Builder -------------------------------------------------------------------------------------------------


@pytest.fixture
def footage(comfy: Comfy) -> Path:
    """A folder of two videos with captions, in the input folder."""
    folder = comfy.input / "My holidays"
    for name, places in (("a", "snow moon"), ("b", "beach street")):
        write_video(folder / f"{name}.mp4", places, [17, 17])
        (folder / f"{name}.txt").write_text("\n".join(f"It is a {place}." for place in places.split()))
    return folder


def test_a_data_set_is_built_in_the_output_folder_and_goes_on_where_it_was(comfy: Comfy, footage: Path) -> None:
    made = comfy.run("DatasetBuilder", videos="My holidays")
    out, text, page = made.args
    assert Path(out) == comfy.output / "mpvg" / "datasets" / "my-holidays"
    assert text.startswith("2 of 2 videos gave 2 stories: 4 clips")
    assert Path(page) == Path(out) / "index.html" and "It is a moon." in Path(page).read_text(encoding="utf-8")
    assert made.ui["mpvg_text"] == [*text.splitlines(), "output/mpvg/datasets/my-holidays/index.html"]
    (bar,) = standin.ProgressBar.made
    assert bar.total == 4 and bar.shown == [1, 2, 3, 4]
    clips = {clip: clip.stat().st_mtime_ns for clip in Path(out).rglob("*.mp4")}
    again = comfy.run("DatasetBuilder", videos=str(footage), folder="../My  Holidays")
    assert len(clips) == 4 and again.args[1] == text and Path(again.args[0]) == Path(out)
    assert {clip: clip.stat().st_mtime_ns for clip in Path(out).rglob("*.mp4")} == clips


def test_files_that_give_nothing_are_named(comfy: Comfy, footage: Path) -> None:
    (footage / "a.txt").unlink()
    (footage / "broken.mp4").write_text("no video")
    text = comfy.run("DatasetBuilder", videos=str(footage)).args[1]
    assert "a.mp4: 2 of 2 clips without caption" in text and "broken.mp4: " in text


def test_cancel_ends_a_build_and_the_next_run_goes_on(
    comfy: Comfy, footage: Path, cancelled: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(cancelled):
        comfy.run("DatasetBuilder", videos=str(footage))
    memory = sys.modules["comfy.model_management"]
    monkeypatch.setattr(memory, "throw_exception_if_processing_interrupted", lambda: None)
    assert comfy.run("DatasetBuilder", videos=str(footage)).args[1].startswith("2 of 2 videos")


@pytest.mark.parametrize("named", ["", "../secret", "no such folder", "/no/such/folder", "My holidays/../../output"])
def test_a_path_that_is_not_there_or_leads_out_of_the_input_folder_is_refused_when_queued(
    comfy: Comfy, footage: Path, named: str
) -> None:
    (comfy.base / "secret").mkdir()
    node = comfy.nodes["MPVG_DatasetBuilder"]
    assert "expected a whole path, or one inside ComfyUI's input folder" in str(node.validate_inputs(videos=named))
    assert node.validate_inputs(videos=f' "{footage}" ') is True and node.validate_inputs(videos=None) is True


def test_what_no_clip_can_have_is_told_in_the_words_of_the_widgets(comfy: Comfy, footage: Path) -> None:
    wrong = {"frames": 10, "width": 50, "min_scene": 5.0, "max_scene": 2.0}
    with pytest.raises(comfy.error) as told:
        comfy.run("DatasetBuilder", videos=str(footage), **wrong)
    lines = str(told.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["size", "frames", "min_scene"] and "--" not in lines[1]


def test_a_film_is_cut_into_its_shots_and_its_prompts_are_the_captions(comfy: Comfy) -> None:
    folder = put_film(comfy.output / "mpvg" / "toys", story(STAR, SQUARE, SQUARE, STAR))
    before = sorted(folder.rglob("*"))
    made = comfy.run("DatasetBuilder", film=comfy.film("toys"))
    out, text, page = made.args
    assert Path(out) == comfy.output / "mpvg" / "datasets" / "toys"
    assert text.startswith("1 of 1 videos gave 1 stories: 4 clips")
    (told,) = read_storyboard(next(Path(out).rglob("story.yaml"))).shots[2:3]
    assert told.prompt == "Actor 2 is jumping on the playground." and told.prompt in Path(page).read_text("utf-8")
    assert sorted(folder.rglob("*")) == before, "the film stays as it was"


def test_of_videos_and_a_film_the_film_counts_and_no_path_is_asked_for(comfy: Comfy) -> None:
    node = comfy.nodes["MPVG_DatasetBuilder"]
    assert node.validate_inputs(videos="no such folder", film=None) is True, "what is connected comes as None"
    assert isinstance(node.validate_inputs(videos="no such folder"), str)


def test_a_new_caption_makes_the_build_run_again(comfy: Comfy, footage: Path) -> None:
    node = comfy.nodes["MPVG_DatasetBuilder"]
    before = node.fingerprint_inputs(videos=str(footage), folder="")
    assert node.fingerprint_inputs(videos=str(footage), folder="") == before
    (footage / "a.txt").write_text("It is something else.\nAnd this too.")
    assert node.fingerprint_inputs(videos=str(footage), folder="") != before
