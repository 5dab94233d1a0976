"""The pack in a fresh ComfyUI: all nodes are there, nothing heavy is loaded, and the record of the nodes is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

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


def test_the_log_says_nothing_against_the_pack(server: host.Server) -> None:
    assert not re.search(r"any-name\.mpvg.*(rror|IMPORT FAILED)|IMPORT FAILED.*any-name\.mpvg", server.said())


def test_help_pages_translations_and_example_graphs_are_served(server: host.Server) -> None:
    assert "MPVG_TokenSelector" in server.get("/i18n")["zh"]["nodeDefs"]
    templates = server.get("/workflow_templates")["any-name.mpvg"]
    there = {path.stem for path in (host.ROOT / "example_workflows").glob("*.json")}
    assert set(templates) == there and len(there) >= 16
