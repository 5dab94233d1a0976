"""Tests in a real ComfyUI. COMFYUI_DIR names its folder (else ~/ComfyUI), COMFYUI_PYTHON the Python that runs it (else
the one that runs the tests). Where there is none, or its Python lacks something, they are skipped and say what.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import real_comfy as host


@pytest.fixture(autouse=True, scope="session")
def _a_comfyui() -> None:
    if host.folder() is None:
        pytest.skip("no ComfyUI: set COMFYUI_DIR to its folder, or put it into ~/ComfyUI")
    pytest.importorskip("websockets", reason="no websockets here: pip install -r requirements-dev.txt")
    if lacks := host.what_it_lacks():
        pytest.skip(lacks)


@pytest.fixture(scope="session")
def server(_a_comfyui: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[host.Server]:
    running = host.Server(tmp_path_factory.mktemp("comfy"))
    running.start()
    yield running
    running.stop()
