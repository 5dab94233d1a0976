"""The nodes of the pack, read through a stand-in for ComfyUI."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))  # films of its tests
sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))  # videos of its tests

import standin


@pytest.fixture(scope="session")
def nodes() -> Iterator[dict[str, Any]]:
    """Every node class by its id, in the order of the menus."""
    before = dict(sys.modules)
    sys.modules.update(standin.host_modules())
    try:
        extension = asyncio.run(standin.load_pack().comfy_entrypoint())
        asyncio.run(extension.on_load())
        yield {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}
    finally:
        for name in set(sys.modules) - set(before):
            if name in standin.host_modules() or name.startswith(standin.PACK):
                del sys.modules[name]


@pytest.fixture(scope="session")
def schemas(nodes: dict[str, Any]) -> dict[str, Any]:
    """Every node's schema by its id."""
    return {id: node.define_schema() for id, node in nodes.items()}
