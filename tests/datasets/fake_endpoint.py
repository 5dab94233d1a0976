"""A server that speaks OpenAI's chat completions, in a thread."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeEndpoint:
    """Answers with `say(number of the request)`, or first with each of `faults`: (status, headers, body)."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.headers: list[dict] = []
        self.paths: list[str] = []
        self.faults: list[tuple[int, dict, str]] = []
        self.say = lambda number: f"Actor 1 is in picture {number}."
        self.raw: str | None = None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.paths.append(self.path)
                endpoint.headers.append(dict(self.headers))
                if endpoint.faults:
                    status, headers, text = endpoint.faults.pop(0)
                    self.answer(status, headers, text)
                    return
                endpoint.asked.append(body)
                words = endpoint.say(len(endpoint.asked))
                answer = {"choices": [{"message": {"role": "assistant", "content": words}}]}
                self.answer(200, {}, endpoint.raw or json.dumps(answer))

            def answer(self, status: int, headers: dict, text: str) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
