"""Servers that speak as ComfyUI does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_comfy import FakeComfy


@pytest.fixture
def comfy() -> Iterator[Callable[[], FakeComfy]]:
    """Starts a server each time it is called."""
    running: list[FakeComfy] = []

    def start() -> FakeComfy:
        running.append(FakeComfy().start())
        return running[-1]

    yield start
    for server in running:
        server.stop()
