"""The nodes that measure films and cut footage, in a real ComfyUI."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import real_comfy as host

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))


def build(videos: str, **changes: Any) -> dict[str, Any]:
    plain = {"videos": videos, "folder": "", "layout": "scenes", "width": 64, "height": 64, "fps": 8, "frames": 17}
    plain |= {"jobs": 2, "min_scene": 1.0, "max_scene": 0.0, "threshold": 27.0}
    return {"build": {"class_type": "MPVG_DatasetBuilder", "inputs": plain | changes}}


def said(outcome: host.Outcome, node: str) -> list[str]:
    (done,) = [done["output"] for done in outcome.of("executed") if done["node"] == node]
    return list(done["mpvg_text"])


def test_a_film_is_measured_and_its_report_lies_beside_it(server: host.Server) -> None:
    graph = json.loads((host.ROOT / "workflows" / "api" / "measure_a_film.json").read_text(encoding="utf-8"))
    names = {node["class_type"]: id for id, node in graph.items()}
    outcome = server.run(host.quick(graph))
    assert outcome.end == "execution_success", outcome.events[-1]
    cuts, figures = said(outcome, names["MPVG_SceneCuts"]), said(outcome, names["MPVG_ConsistencyReport"])
    assert cuts[0].startswith("film.mp4: ") and cuts[0].endswith(", 36 frames")
    assert any(line.startswith("actors across shots") for line in figures)
    assert figures[-1].startswith("output/mpvg/")
    assert (server.base / figures[-1]).stat().st_size > 10_000


def test_a_data_set_is_built_from_a_folder_of_the_input_folder_and_again_when_a_caption_came(
    server: host.Server,
) -> None:
    from made import write_video

    videos = server.base / "input" / "holidays"
    write_video(videos / "winter.mp4", "snow moon", [17, 17])
    first = said(server.run(build("holidays")), "build")
    assert first[0].startswith("0 of 1 videos gave 0 stories") and first[1] == "2 without caption"
    (videos / "winter.txt").write_text("Snow falls.\nThe moon is up.\n", encoding="utf-8")
    second = said(server.run(build("holidays")), "build")
    assert second[0].startswith("1 of 1 videos gave 1 stories: 2 clips")
    assert second[-1] == "output/mpvg/datasets/holidays/index.html"
    assert (server.base / second[-1]).is_file()


def test_a_path_out_of_the_input_folder_is_refused_when_it_is_queued(server: host.Server) -> None:
    refused = server.run(build("../output")).refused
    assert refused is not None
    assert "leads out of the input folder" in refused["node_errors"]["build"]["errors"][0]["details"]
