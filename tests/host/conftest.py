"""Tests in a real ComfyUI. COMFYUI_DIR names its folder (else ~/ComfyUI), COMFYUI_PYTHON the Python that runs it.

Without one they are skipped, and say so. They need the package `websockets`.
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
    pytest.importorskip("websockets")


@pytest.fixture(scope="session")
def server(_a_comfyui: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[host.Server]:
    running = host.Server(tmp_path_factory.mktemp("comfy"))
    running.start()
    yield running
    running.stop()
