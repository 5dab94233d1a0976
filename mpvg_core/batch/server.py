"""One ComfyUI server as a client sees it: how busy it is, a graph filmed to its end, the files it made."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from ..errors import InputError, Problem
from .failures import FilmFailed, FilmRefused, ServerGone
from .messages import (
    MadeFile,
    made_files,
    node_failure,
    node_faults,
    one_line,
    queue_length,
    read_message,
    record_messages,
    refusal,
)

Say = Callable[[str], None]
_QUEUES = ("running", "pending")
_WS = {"http": "ws", "https": "wss"}
_LEAVE = 5.0  # seconds for taking a film back; a server that is gone must not hold up the others


class Server:
    """A server at `address`; one that says nothing for `timeout` seconds is gone. Methods raise ServerGone."""

    def __init__(self, address: str, session: aiohttp.ClientSession, timeout: float) -> None:
        url = server_url(address)
        self.name = str(url.with_user(None)).rstrip("/")  # without a password, which is not for the screen
        self._url, self._session, self._timeout = url, session, timeout

    async def load(self) -> int:
        """How many graphs run or wait there, of whatever client."""
        _, data = await self._ask("GET", "prompt", limit=min(self._timeout, _LEAVE))
        with self._reaching():
            return queue_length(data)

    async def film(self, graph: Mapping[str, Any], say: Say) -> tuple[MadeFile, ...]:
        """Queue `graph` and wait until it ends; `say` is told every line of its progress.

        The film is taken back from the server, and only this one, when the wait is cancelled or the server seems gone.
        Raises FilmRefused for a graph that is wrong, and FilmFailed when a node fails.
        """
        client, film = uuid.uuid4().hex, str(uuid.uuid4())
        async with self._socket(client) as socket:
            try:
                await self._queue(graph, film, client)
                await self._listen(socket, film, say)
                return await self._made(film)
            except FilmFailed:
                raise
            except BaseException:
                await self._take_back(film)
                raise

    async def download(self, file: MadeFile, target: Path) -> None:
        """Write a file of the output folder to `target`. Raises FilmFailed when it is not there, OSError for ours."""
        url = self._url / "view"
        query = {"filename": file.name, "subfolder": file.subfolder, "type": "output"}
        with self._reaching():
            answer = await self._session.get(url, params=query, timeout=self._patience(self._timeout))
        async with answer:
            if 400 <= answer.status < 500:
                raise FilmFailed(f"{self.name} does not give {one_line(file.name)} (HTTP {answer.status})")
            self._require_ok(answer.status)
            with target.open("wb") as written:
                while True:
                    with self._reaching():
                        block = await answer.content.readany()
                    if not block:
                        return
                    written.write(block)

    # -- a film ------------------------------------------------------------------------------------------------------

    async def _queue(self, graph: Mapping[str, Any], film: str, client: str) -> None:
        body = {"prompt": graph, "client_id": client, "prompt_id": film}
        asked = asyncio.ensure_future(self._ask("POST", "prompt", body, accept=(400,), limit=self._timeout))
        try:
            status, answer = await asyncio.shield(asked)
        except asyncio.CancelledError:
            # What was sent cannot be called back before it has arrived.
            await asyncio.wait({asked}, timeout=_LEAVE)
            asked.cancel()
            raise
        if status == 400:
            raise FilmRefused(refusal(answer))
        if faults := node_faults(answer):
            raise FilmRefused(faults)  # the server would run the rest of the graph, without the film

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, film: str, say: Say) -> None:
        """Until the film is done. A silent server is asked whether it still has the film."""
        begun = spoke = False
        receiving = asyncio.ensure_future(socket.receive())
        try:
            while True:
                await asyncio.wait({receiving}, timeout=self._timeout / 2)
                if not receiving.done():
                    if await self._has_ended(film):
                        return
                    continue
                with self._reaching():
                    message = receiving.result()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    raise ServerGone(f"{self.name} has closed the connection")
                receiving = asyncio.ensure_future(socket.receive())
                with self._reaching():
                    kind, data = read_message(message.data)
                if kind == "text":
                    spoke = True
                    say(data["text"])
                elif kind == "status":
                    with self._reaching():
                        waiting = queue_length(data)
                    if waiting > 1 and not begun:
                        say(f"waits, {waiting} in the queue")
                elif data.get("prompt_id") != film:
                    continue
                elif kind == "execution_start":
                    begun = True
                elif kind == "progress" and not spoke:
                    say(f"step {data.get('value')} of {data.get('max')}")
                elif _is_end(kind, data):
                    return
        finally:
            receiving.cancel()

    async def _has_ended(self, film: str) -> bool:
        """Raises ServerGone when the film is neither in the queue nor in the history: the server was started anew."""
        running, pending = await self._queued()
        # The queue first: a film that ends in between is then found in the history.
        if film in running or film in pending:
            return False
        if await self._record(film) is not None:
            return True
        raise ServerGone(f"{self.name} no longer knows the film")

    async def _made(self, film: str) -> tuple[MadeFile, ...]:
        """The files of a film that has ended; its record comes a moment after the message that it has."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout
        while (record := await self._record(film)) is None:
            if loop.time() > until:
                raise ServerGone(f"{self.name} has no record of the film")
            await asyncio.sleep(0.05)
        for kind, data in record_messages(record):
            _is_end(kind, data)
        files = made_files(record.get("outputs"))
        if not files:
            raise FilmFailed("the graph ended and made no file: does it assemble the film?")
        return files

    async def _take_back(self, film: str) -> None:
        """Remove the film from the server's queue, or interrupt it if it is the one that runs; as far as possible."""
        with suppress(ServerGone, asyncio.TimeoutError):
            await asyncio.wait_for(self._remove(film), min(self._timeout, _LEAVE))

    async def _remove(self, film: str) -> None:
        await self._ask("POST", "queue", {"delete": [film]})
        running, _ = await self._queued()
        if film in running:  # older servers interrupt whatever runs
            await self._ask("POST", "interrupt", {"prompt_id": film})

    # -- questions and answers ---------------------------------------------------------------------------------------

    async def _queued(self) -> tuple[set[str], set[str]]:
        """The ids of what runs and of what waits."""
        _, data = await self._ask("GET", "queue")
        with self._reaching():
            try:
                running, pending = ({str(entry[1]) for entry in data[f"queue_{kind}"]} for kind in _QUEUES)
            except (KeyError, TypeError, IndexError) as error:
                raise ValueError("no queue of ComfyUI") from error
            return running, pending

    async def _record(self, film: str) -> dict[str, Any] | None:
        _, data = await self._ask("GET", f"history/{film}")
        record = data.get(film) if isinstance(data, dict) else None
        return record if isinstance(record, dict) else None

    async def _ask(
        self, method: str, path: str, body: Any = None, *, accept: tuple[int, ...] = (), limit: float | None = None
    ) -> tuple[int, Any]:
        """Status and JSON (None for an empty answer). Raises ServerGone for every status but 200 and `accept`."""
        with self._reaching():
            async with self._session.request(
                method, self._url / path, json=body, timeout=self._patience(limit)
            ) as answer:
                if answer.status not in accept:
                    self._require_ok(answer.status)
                said = await answer.read()
                return answer.status, (await answer.json(content_type=None)) if said else None

    @asynccontextmanager
    async def _socket(self, client: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        url = (self._url / "ws").with_query(clientId=client)
        with self._reaching():
            opening = self._session.ws_connect(url.with_scheme(_WS[url.scheme]), max_msg_size=0)
            socket = await asyncio.wait_for(opening, self._timeout)
        try:
            yield socket
        finally:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(socket.close(), 1)

    def _patience(self, limit: float | None = None) -> aiohttp.ClientTimeout:
        seconds = self._timeout / 2 if limit is None else limit
        return aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)

    def _require_ok(self, status: int) -> None:
        if status != 200:
            raise ServerGone(f"{self.name} answers HTTP {status}")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Every way in which a connection fails is a server that is gone."""
        try:
            yield
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise ServerGone(f"{self.name} does not answer") from error
        except aiohttp.ClientConnectorError as error:
            said = error.os_error.strerror or error.os_error
            raise ServerGone(f"{self.name} cannot be reached ({one_line(said)})") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServerGone(f"{self.name} broke off ({one_line(error) or type(error).__name__})") from error
        except ValueError as error:
            raise ServerGone(f"{self.name} is no ComfyUI ({one_line(error)})") from error


def server_url(address: str) -> URL:
    """The URL of a server's address, with or without http://. Raises InputError for what is no address."""
    text = address if "://" in address else f"http://{address}"
    try:
        url = URL(text.rstrip("/") + "/")
        if url.scheme in _WS and url.host and not url.query_string and url.port:
            return url
    except ValueError:
        pass
    raise InputError(
        Problem("--server", f"{address!r} is no address", "http://host:port", "write it as in the browser")
    )


def _is_end(kind: str, data: Mapping[str, Any]) -> bool:
    """Whether a message says that the film is done. Raises FilmFailed when it says that it never will be."""
    if kind == "execution_error":
        raise FilmFailed(node_failure(dict(data)))
    if kind == "execution_interrupted":
        raise FilmFailed("was interrupted at the server by someone else")
    return kind == "execution_success" or (kind == "executing" and data.get("node") is None)
