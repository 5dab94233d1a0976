from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from fake_endpoint import FakeEndpoint


@pytest.fixture
def endpoint():
    server = FakeEndpoint()
    yield server
    server.stop()
