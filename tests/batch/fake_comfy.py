"""A small server that speaks as ComfyUI does, and misbehaves on demand: slow, gone, refusing, failing, silent."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import WSMsgType, web

FILM = b"a film " * 5000
SHEET = b"a contact sheet"
MADE = {
    "4": {"images": [{"filename": "film.mp4", "subfolder": "mpvg/some film", "type": "output"}], "animated": [True]},
    "5": {"images": [{"filename": "contact.png", "subfolder": "mpvg/some film", "type": "output"}]},
    "3": {"images": [{"filename": "preview.png", "subfolder": "", "type": "temp"}]},
}


def lines(shots: int = 2, steps: int = 3) -> list[str]:
    return [f"shot {a} of {shots}, step {b} of {steps}, 0:0{b} left" for a in range(1, shots + 1) for b in range(steps)]


class FakeComfy:
    """Set its attributes before or during a test; what it was asked is in `posted`, `deleted` and `interrupted`."""

    def __init__(self) -> None:
        self.lines = lines()
        self.pace = 0.005  # seconds a line
        self.made: dict[str, Any] = MADE
        self.refuses: dict[str, Any] | None = None  # the body of a 400
        self.warns: dict[str, Any] = {}  # node_errors of a 200
        self.fails: dict[str, Any] | None = None  # an execution_error
        self.interrupts_itself = False
        self.post_status = 200
        self.vanishes_at: int | None = None  # after so many lines
        self.mute_at: int | None = None  # answers nothing any more after so many lines
        self.forgets_at: int | None = None  # stays, but loses the film after so many lines
        self.cuts_downloads = 0  # so many downloads end early
        self.foreign: list[list[Any]] = []  # queue entries of others: the first runs, and none ever ends
        self.posted: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.interrupted: list[Any] = []
        self.most_at_once = 0
        self.gone = self.mute = False
        self._own: list[list[Any]] = []
        self._history: dict[str, Any] = {}
        self._sockets: dict[str, tuple[web.WebSocketResponse, web.Request]] = {}
        self._stopped: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    # -- from the test -----------------------------------------------------------------------------------------------

    def start(self) -> FakeComfy:
        self._thread.start()
        self._do(self._open())
        return self

    def stop(self) -> None:
        async def end() -> None:
            for task in self._tasks:
                task.cancel()
            for _, request in self._sockets.values():
                if request.transport is not None:
                    request.transport.abort()
            await self._runner.cleanup()

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._listener.close()

    def vanish(self) -> None:
        self._do(self._vanish())

    def come_back(self) -> None:
        """Started anew: the queue and the history are empty."""

        async def again() -> None:
            self._own.clear()
            self._history.clear()
            self.vanishes_at = None
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.gone = False
            await web.SockSite(self._runner, self._listener).start()

        self._do(again())

    @property
    def ids(self) -> list[str]:
        return [post["prompt_id"] for post in self.posted]

    def wait_for(self, condition: Callable[[], object], seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "what the test waits for never came"
            time.sleep(0.01)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    # -- the server --------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        @web.middleware
        async def moods(request: web.Request, handler: Any) -> web.StreamResponse:
            if self.gone and request.transport is not None:
                request.transport.abort()
            while self.mute:
                await asyncio.sleep(0.05)
            answer: web.StreamResponse = await handler(request)
            return answer

        app = web.Application(middlewares=[moods])
        app.router.add_get("/ws", self._ws)
        app.router.add_get("/prompt", self._info)
        app.router.add_post("/prompt", self._prompt)
        app.router.add_get("/queue", self._queue)
        app.router.add_post("/queue", self._delete)
        app.router.add_post("/interrupt", self._interrupt)
        app.router.add_get("/history/{id}", self._record)
        app.router.add_get("/view", self._view)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    async def _vanish(self) -> None:
        self.gone = True
        for site in list(self._runner.sites):
            await site.stop()
        for _, request in self._sockets.values():
            if request.transport is not None:
                request.transport.abort()

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[request.query["clientId"]] = socket, request
        await self._tell(request.query["clientId"], "status", {"status": self._exec_info()})
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        return socket

    def _exec_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": len(self.foreign) + len(self._own)}}

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(self._exec_info())

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posted.append(body)
        if self.post_status != 200:
            return web.Response(status=self.post_status)
        if self.refuses is not None:
            return web.json_response(self.refuses, status=400)
        self._own.append([len(self.posted), body["prompt_id"], body["prompt"], {}, []])
        self.most_at_once = max(self.most_at_once, len(self._own))
        if not self.foreign:
            task = asyncio.ensure_future(self._film(body["prompt_id"], body["client_id"]))
            self._tasks.add(task)
        return web.json_response({"prompt_id": body["prompt_id"], "number": 1, "node_errors": self.warns})

    async def _queue(self, _: web.Request) -> web.Response:
        whole = [*self.foreign, *self._own]
        return web.json_response({"queue_running": whole[:1], "queue_pending": whole[1:]})

    async def _delete(self, request: web.Request) -> web.Response:
        wanted = (await request.json())["delete"]
        self.deleted.extend(wanted)
        running = [*self.foreign, *self._own][:1]
        self._own = [entry for entry in self._own if entry[1] not in wanted or entry in running]
        return web.Response()

    async def _interrupt(self, request: web.Request) -> web.Response:
        wanted = (await request.json()).get("prompt_id")
        self.interrupted.append(wanted)
        self._stopped.add(wanted)
        return web.Response()

    async def _record(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        return web.json_response({id: self._history[id]} if id in self._history else {})

    async def _view(self, request: web.Request) -> web.StreamResponse:
        data = FILM if request.query["filename"].endswith(".mp4") else SHEET
        assert request.query["subfolder"] == "mpvg/some film" and request.query["type"] == "output"
        if not self.cuts_downloads:
            return web.Response(body=data)
        self.cuts_downloads -= 1
        answer = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await answer.prepare(request)
        await answer.write(data[: len(data) // 2])
        assert request.transport is not None
        request.transport.close()
        return answer

    async def _film(self, id: str, client: str) -> None:
        await self._tell(client, "execution_start", {"prompt_id": id})
        end = ("execution_success", {"prompt_id": id})
        for number, line in enumerate(self.lines):
            await asyncio.sleep(self.pace)
            if id in self._stopped or self.interrupts_itself:
                end = ("execution_interrupted", {"prompt_id": id, "node_id": "3"})
                break
            if number == self.vanishes_at:
                await self._vanish()
                return
            if number == self.forgets_at:
                self._own.clear()
                return
            if number == self.mute_at:
                self.mute = True
                return
            await self._tell(client, "text", line)
        else:
            if self.fails is not None:
                end = ("execution_error", {"prompt_id": id, **self.fails})
        await self._tell(client, *end)
        await asyncio.sleep(0.02)  # ComfyUI writes its history a moment after the message
        done = end[0] == "execution_success"
        status = {"status_str": "success" if done else "error", "completed": done, "messages": [end]}
        self._history[id] = {"outputs": self.made if done else {}, "status": status}
        self._own = [entry for entry in self._own if entry[1] != id]

    async def _tell(self, client: str, kind: str, data: Any) -> None:
        socket, _ = self._sockets[client]
        try:
            if kind == "text":
                await socket.send_bytes((3).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"3" + data.encode())
            else:
                await socket.send_str(json.dumps({"type": kind, "data": data}))
        except ConnectionError:
            pass
