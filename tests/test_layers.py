"""Imports run downwards, and each library is imported where it belongs; read from the source, so no path is missed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the bottom up: each part of the tree may import itself and what stands before it.
LAYERS = (
    "errors",
    "endpoint",
    "storyboard",
    "backbone",
    "diffusion",
    "history",
    "methods",
    "film",
    "evaluate",
    "datasets",
    "training",
    "pocket",
    "batch",
    "cli",
    "nodes",
)
BY_INTERFACE_ONLY = ("diffusion", "history", "methods", "film")
COMFY_SERVICES = {"comfy", "comfy_extras", "execution", "folder_paths", "latent_preview", "server"}
COMFY = {*COMFY_SERVICES, "comfy_api", "comfy_execution"}  # these two declare what a node is


class Import:
    """One import statement: where it stands, what it names ("diffusers", "mpvg_core.film.video"), its layer if ours."""

    def __init__(self, file: Path, line: int, name: str, relative: bool) -> None:
        self.name, self.relative = name, relative
        self.where = f"{file.relative_to(ROOT)}:{line}: {name}"

    @property
    def layer(self) -> str | None:
        parts = self.name.split(".")
        if parts[0] == "nodes":
            return "nodes"
        return parts[1] if parts[0] == "mpvg_core" and len(parts) > 1 else None

    @property
    def library(self) -> str:
        return self.name.split(".")[0]


def layer_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return "nodes" if parts[0] == "nodes" else parts[1]


def imports(file: Path) -> Iterator[Import]:
    """Every import of a file, also those in functions and for type checkers."""
    package = file.relative_to(ROOT).parent.parts

    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, relative=False)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            for last in [node.module] if node.module else [alias.name for alias in node.names]:
                yield Import(file, node.lineno, ".".join([*base, last]), relative=node.level > 0)


FILES = sorted([*ROOT.glob("mpvg_core/**/*.py"), *ROOT.glob("nodes/*.py")])
IMPORTS = [(layer_of(file), found) for file in FILES for found in imports(file)]


def test_every_part_of_the_tree_has_its_layer():
    parts = {layer_of(file) for file in FILES} - {"__init__", "__main__"}
    assert parts == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_downwards(layer):
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    assert [found.where for own, found in IMPORTS if own == layer and found.layer in above] == []


@pytest.mark.parametrize("layer", BY_INTERFACE_ONLY)
def test_what_computes_knows_a_backbone_by_its_interface_only(layer):
    known = [found for own, found in IMPORTS if own == layer and found.layer == "backbone"]
    assert [found.where for found in known if found.name != "mpvg_core.backbone.interface"] == []


def test_only_the_backbone_imports_diffusers_and_transformers():
    libraries = {"diffusers", "transformers"}
    assert [found.where for layer, found in IMPORTS if found.library in libraries and layer != "backbone"] == []


def test_the_storyboard_imports_neither_torch_nor_numpy():
    heavy = {"torch", "numpy", "PIL"}
    assert [found.where for layer, found in IMPORTS if found.library in heavy and layer == "storyboard"] == []


def test_the_core_imports_no_comfyui():
    assert [found.where for layer, found in IMPORTS if found.library in COMFY and layer != "nodes"] == []


def test_only_two_files_touch_comfyuis_services():
    doors = {"nodes/host.py", "nodes/folders.py"}
    touching = {found.where.partition(":")[0] for _, found in IMPORTS if found.library in COMFY_SERVICES}
    assert touching == doors


def test_inside_the_pack_imports_are_relative():
    own = {"mpvg_core", "nodes"}
    assert [found.where for _, found in IMPORTS if found.library in own and not found.relative] == []
