"""The pack in a fresh ComfyUI: all nodes are there, nothing heavy is loaded, and the record of the nodes is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import real_comfy as host

RECORDED = json.loads((Path(__file__).parents[1] / "nodes" / "schema.json").read_text(encoding="utf-8"))


def written(info: dict[str, Any]) -> dict[str, Any]:
    inputs = []
    for need in ("required", "optional"):
        for name in info["input_order"].get(need, ()):
            kind = info["input"][need][name][0]
            inputs.append([name, "COMBO" if isinstance(kind, list) else kind, need])
    return {"inputs": inputs, "outputs": [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)]}


def test_every_node_is_registered_with_the_sockets_and_the_widget_order_on_record(server: host.Server) -> None:
    info = server.get("/object_info")
    assert {name for name in info if name.startswith("MPVG_")} == set(RECORDED)
    assert {name: written(info[name]) for name in RECORDED} == RECORDED


def test_a_started_comfyui_has_loaded_nothing_heavy_for_the_pack(server: host.Server) -> None:
    assert "torch" in server.loaded
    assert not {"diffusers", "imageio_ffmpeg", "sentencepiece"} & server.loaded


def test_the_log_of_the_start_says_nothing_against_the_pack(server: host.Server) -> None:
    starting, started, _ = server.said().partition("Starting server")
    assert started and f"seconds: {server.base / 'custom_nodes' / server.name}" in starting
    assert not re.search(rf"(Error|FAILED|Traceback).*{re.escape(server.name)}|MPVG lies in", starting)


def test_translations_and_example_graphs_with_their_thumbnails_are_served(server: host.Server) -> None:
    assert "MPVG_TokenSelector" in server.get("/i18n")["zh"]["nodeDefs"]
    templates = server.get("/workflow_templates")[server.name]
    there = {path.stem for path in (host.ROOT / "example_workflows").glob("*.json")}
    assert set(templates) == there and len(there) >= 22
    for name in templates:
        address = f"/api/workflow_templates/{server.name}/{quote(name)}"
        assert json.loads(server.read(f"{address}.json"))["nodes"]
        assert server.read(f"{address}.jpg").startswith(b"\xff\xd8")


def test_every_node_has_its_help_page_where_the_page_looks_for_it(server: host.Server) -> None:
    for node, info in server.get("/object_info").items():
        if node in RECORDED:
            pack = info["python_module"].split(".")[1]  # as the page tells it
            pages = f"/extensions/{pack}/docs/{node}"
            assert b"## Example" in server.read(f"{pages}.md")
            assert "## 示例" in server.read(f"{pages}/zh.md").decode()
            assert server.read(f"{pages}/node.png").startswith(b"\x89PNG")
