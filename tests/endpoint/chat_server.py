"""A small server that speaks as an OpenAI-compatible endpoint does, by a script: one entry an answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass(frozen=True)
class Answer:
    """status and body of an answer; `wait`: seconds before it; `trickle`: seconds between its bytes; `hang_up`: none
    comes, the connection ends."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    trickle: float = 0.0
    hang_up: bool = False


def said(content: Any, **message: Any) -> Answer:
    """A reply of the model."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content, **message}}
    return Answer(body={"object": "chat.completion", "choices": [choice]})


class ChatServer:
    """Answers by `script` (the last entry stays); what it was asked is in `asked` (bodies), `paths` and `headers`."""

    def __init__(self, *script: Answer | Callable[[dict[str, Any]], Answer]) -> None:
        self.script = list(script)
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append(body)
                server.paths.append(self.path)
                server.headers.append(dict(self.headers.items()))
                answer = server.script[min(len(server.asked), len(server.script)) - 1]
                if callable(answer):
                    answer = answer(body)
                time.sleep(answer.wait)
                if answer.hang_up:
                    self.close_connection = True
                    return
                data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(data)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for start in range(0, len(data), 1 if answer.trickle else len(data)):
                        self.wfile.write(data[start : start + 1] if answer.trickle else data)
                        time.sleep(answer.trickle)
                except OSError:
                    pass  # the client has had enough

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


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
