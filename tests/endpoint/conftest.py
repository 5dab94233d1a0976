"""Endpoints that answer by a script."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chat_server import Answer, ChatServer


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    """Starts a server with a script each time it is called. No key lies in the environment."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running: list[ChatServer] = []

    def start(*script: Answer) -> ChatServer:
        running.append(ChatServer(*script))
        return running[-1]

    yield start
    for server in running:
        server.stop()
