"""The graphs that come with the pack fit the nodes, as far as that can be told without a ComfyUI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
FOR_THE_API = sorted((ROOT / "workflows" / "api").glob("*.json"))
FOR_THE_PAGE = sorted((ROOT / "example_workflows").glob("*.json"))
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
COMFYUIS_OWN = {"SolidMask": "MASK", "MaskComposite": "MASK", "ImageFromBatch": "IMAGE", "PreviewAny": "STRING"}
"""Nodes that every ComfyUI has, and what they give."""


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def faults_of_api_graph(graph: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """What ComfyUI would refuse, and what it would ignore."""
    for id, node in graph.items():
        if node["class_type"] in COMFYUIS_OWN:
            continue
        schema = schemas.get(node["class_type"])
        if schema is None:
            yield f"{id}: there is no node {node['class_type']}"
            continue
        slots = {slot.id: slot for slot in schema.inputs}
        for name, value in node["inputs"].items():
            if (slot := slots.get(name)) is None:
                yield f"{id}: {schema.node_id} has no input {name}"
            elif isinstance(value, list):
                given = type_given(graph[value[0]]["class_type"], value[1], schemas)
                if given not in slot.type.split(","):
                    yield f"{id}: {name} wants {slot.type}, gets {given}"
            elif slot.type == "COMBO" and value not in slot.options["options"]:
                yield f"{id}: {name} is {value!r}"
            elif slot.type in ("INT", "FLOAT") and not slot.options["min"] <= value <= slot.options["max"]:
                yield f"{id}: {name} is {value}"
        for slot in schema.inputs:
            if not slot.options.get("optional") and slot.id not in node["inputs"]:
                yield f"{id}: {slot.id} is missing"


def type_given(kind: str, output: int, schemas: dict[str, Any]) -> str:
    given: str = COMFYUIS_OWN[kind] if kind in COMFYUIS_OWN else schemas[kind].outputs[output].type
    return given


def page_nodes(graph: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = [node for part in (graph.get("definitions") or {}).get("subgraphs", []) for node in part["nodes"]]
    yield from (*graph["nodes"], *inner)


@pytest.mark.parametrize("path", FOR_THE_API, ids=lambda path: path.stem)
def test_a_graph_for_the_api_fits_the_nodes(path: Path, schemas: dict[str, Any]) -> None:
    assert list(faults_of_api_graph(read(path), schemas)) == []


def test_a_graph_with_a_wrong_socket_a_wrong_link_and_a_missing_input_is_found_out(schemas: dict[str, Any]) -> None:
    graph = read(ROOT / "workflows" / "api" / "film_a_storyboard.json")
    film = next(node for node in graph.values() if node["class_type"] == "MPVG_FilmStoryboard")
    film["inputs"]["stepz"] = film["inputs"].pop("steps")
    film["inputs"]["model"] = film["inputs"]["storyboard"]
    faults = " / ".join(faults_of_api_graph(graph, schemas))
    assert "no input stepz" in faults and "steps is missing" in faults and "model wants MPVG_MODEL" in faults


@pytest.mark.parametrize("path", FOR_THE_PAGE, ids=lambda path: path.stem)
def test_a_graph_for_the_page_names_the_nodes_widgets_in_their_order(path: Path, schemas: dict[str, Any]) -> None:
    own = [node for node in page_nodes(read(path)) if node["type"].startswith("MPVG_")]
    assert own
    for node in own:
        schema = schemas[node["type"]]
        widgets = [slot.id for slot in schema.inputs if slot.type in WIDGETS]
        named = [slot["name"] for slot in node["inputs"] if "widget" in slot]
        assert named == widgets, schema.node_id
        extra = sum(1 for slot in schema.inputs if slot.options.get("control_after_generate"))
        assert len(node.get("widgets_values") or []) == len(widgets) + extra, schema.node_id
        assert [slot["name"] for slot in node["outputs"]] == [slot.id for slot in schema.outputs], schema.node_id


@pytest.mark.parametrize("path", FOR_THE_PAGE, ids=lambda path: path.stem)
def test_a_graph_for_the_page_has_a_thumbnail_and_a_twin_for_the_api(path: Path) -> None:
    with Image.open(path.with_suffix(".jpg")) as thumbnail:
        assert thumbnail.format == "JPEG" and min(thumbnail.size) >= 256
    twin = re.sub(r"[ -]", "_", re.sub("[,']", "", path.stem.removeprefix("MPVG - ")))
    assert (ROOT / "workflows" / "api" / f"{twin}.json").is_file()


def test_nothing_in_a_graph_for_the_page_comes_from_another_pack() -> None:
    known = {"MarkdownNote", *COMFYUIS_OWN}
    for path in FOR_THE_PAGE:
        graph = read(path)
        subgraphs = {part["id"] for part in (graph.get("definitions") or {}).get("subgraphs", [])}
        foreign = {node["type"] for node in page_nodes(graph)} - known - subgraphs
        assert all(name.startswith("MPVG_") for name in foreign), path.name
