"""The graphs that come with the pack, queued as another program would queue them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import real_comfy as host

GRAPHS = sorted((host.ROOT / "workflows" / "api").glob("*.json"))


def shown_films(outcome: host.Outcome) -> list[dict[str, Any]]:
    outputs = [done["output"] or {} for done in outcome.of("executed")]
    return [file for output in outputs if "animated" in output for file in output["images"]]


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_a_graph_makes_its_film_with_previews_and_progress(path: Path, server: host.Server) -> None:
    server.forget()  # graphs that film the same storyboard share its takes
    outcome = server.run(host.quick(json.loads(path.read_text(encoding="utf-8"))))
    assert outcome.end == "execution_success", outcome.events[-1]
    films = shown_films(outcome)
    assert films
    for film in films:
        file = server.base / "output" / film["subfolder"] / film["filename"]
        assert file.stat().st_size > 1000
    assert all(image[4:6] == b"\xff\xd8" or b"\xff\xd8" in image[:16] for _, image in outcome.of("preview"))
    assert outcome.of("preview")
    if any(node["class_type"] == "MPVG_FilmStoryboard" for node in json.loads(path.read_text()).values()):
        assert any(line.startswith("shot 1 of") and "step 1 of 1" in line and "left" in line for line in outcome.lines)


def test_a_graph_queued_again_runs_no_node(server: host.Server) -> None:
    graph = host.quick(json.loads((host.ROOT / "workflows" / "api" / "film_a_storyboard.json").read_text()))
    server.run(graph)
    again = server.run(graph)
    assert again.end == "execution_success"
    assert not [data for data in again.of("executing") if data["node"] is not None]
