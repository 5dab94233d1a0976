"""Captions from a server that speaks OpenAI's chat completions: `POST <url>/chat/completions` with pictures inside.

Source of the format: OpenAI API reference, "Create chat completion", image input as data URLs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import threading
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import InputError, MPVGError, Problem
from .describe import CaptionRefused
from .pool import Stopped

INSTRUCTION = (
    "These pictures are taken from one scene of a film, in order. Say in one sentence of at most 30 words what the"
    " scene shows: who, what they do, where. Call people Actor 1, Actor 2 and so on, the same person by the same name"
    " in every scene. Answer with the sentence alone."
)
TRIES = 6
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds; each pause is twice the one before
_SIDE = 512  # pixels of the longer side of a picture
_TOKENS = 200
_AGAIN = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
_THIS_ONE = frozenset((400, 413, 422, 451))
_MOST = 2**20  # bytes of an answer


class Endpoint:
    """Asks `model` at `url` (up to and with /v1) for captions; `key` goes into the Authorization header only.

    Tries again, with growing pauses or those the server asks for, what may pass: no connection, 429, 5xx.
    Redirects are not followed: the key is for this server. Raises InputError for what is no URL.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None,
        *,
        at_once: int = 4,
        instruction: str = INSTRUCTION,
        timeout: float = 120.0,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
            host = parts.hostname or ""
            self._shown = f"{host}:{parts.port}" if parts.port else host
        except ValueError:
            fine = False
        if not fine or parts.username or parts.password:
            what = "is no address of an endpoint, or holds a password or a query"
            raise InputError(Problem("--endpoint", what, "https://host/v1", "keep keys in an environment variable"))
        if key and not key.isascii():
            raise InputError(Problem("the key of --endpoint", "holds letters that no header can carry"))
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        self._url = urlunsplit((parts.scheme, parts.netloc, f"{path}/chat/completions", "", ""))
        self._model, self._key, self._instruction = model, key.strip() if key else "", instruction
        self._stopped = threading.Event()
        self._timeout, self._sleep, self._at_once = timeout, sleep or self._stopped.wait, at_once
        self._opener = build_opener(_NoRedirect)

    @property
    def name(self) -> str:
        said = hashlib.sha256(self._instruction.encode()).hexdigest()[:8]
        return f"endpoint {self._model}, instruction {said}"

    @property
    def at_once(self) -> int:
        return self._at_once

    def describe(self, pictures: Sequence[NDArray[np.uint8]], earlier: Sequence[str]) -> str:
        text = self._instruction
        if earlier:
            text += "\nThe scenes before it:\n" + "\n".join(f"- {caption}" for caption in earlier)
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        content += [{"type": "image_url", "image_url": {"url": data_url(picture)}} for picture in pictures]
        body = {"model": self._model, "messages": [{"role": "user", "content": content}], "max_tokens": _TOKENS}
        return self._caption(self._post(json.dumps(body).encode()))

    def stop(self) -> None:
        self._stopped.set()

    def _post(self, body: bytes) -> bytes:
        pause = _FIRST_PAUSE
        for attempt in range(1, TRIES + 1):
            asked: float | None = None
            try:
                headers = {"Content-Type": "application/json", "Accept": "application/json"}
                if self._key:
                    headers["Authorization"] = f"Bearer {self._key}"
                with self._opener.open(Request(self._url, body, headers), timeout=self._timeout) as answer:
                    data: bytes = answer.read(_MOST + 1)
                if len(data) > _MOST:
                    raise MPVGError(f"{self._shown}: the answer is larger than 1 MB; is this a chat endpoint?")
                return data
            except HTTPError as error:
                with error:
                    said = f"HTTP {error.code}: {self._words(error)}"
                    asked = _seconds(error.headers.get("Retry-After"))
                if error.code in _THIS_ONE:
                    raise CaptionRefused(f"{self._shown} refuses it ({said})") from None
                if error.code not in _AGAIN:
                    hint = "; check the key and its environment variable" if error.code in (401, 403) else ""
                    raise MPVGError(f"{self._shown} gives no captions ({said}){hint}") from None
            except (URLError, OSError, HTTPException) as error:
                reason = error.reason if isinstance(error, URLError) else error
                said = self._without_key(str(reason) or type(reason).__name__)
            if attempt < TRIES:
                self._sleep(min(_LONGEST_PAUSE, asked if asked is not None else pause * random.uniform(0.8, 1.2)))
                pause *= 2
            if self._stopped.is_set():
                raise Stopped
        raise MPVGError(
            f"{self._shown} gave no caption in {TRIES} tries ({said}); what is there is kept, the same command goes on"
        )

    def _caption(self, data: bytes) -> str:
        try:
            answer = json.loads(data)
            message = answer["choices"][0]["message"]
            text, refusal = message.get("content"), message.get("refusal")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            said = self._without_key(data[:200].decode("utf-8", "replace"))
            raise MPVGError(f"{self._shown} does not answer as a chat endpoint does: {said!r}") from None
        if not isinstance(text, str) or not text.strip():
            raise CaptionRefused(f"{self._shown} said nothing ({str(refusal or 'no content')[:200]})")
        return text

    def _words(self, error: HTTPError) -> str:
        """What the server says of an error, short and on one line."""
        try:
            text = error.read(2000).decode("utf-8", "replace")
        except (OSError, HTTPException):
            return "no reason given"
        try:
            told = json.loads(text)["error"]
            text = str(told["message"] if isinstance(told, dict) else told)
        except (ValueError, KeyError, TypeError):
            pass
        return self._without_key(" ".join(text.split())[:200]) or "no reason given"

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


def data_url(picture: NDArray[np.uint8]) -> str:
    """A picture [H, W, 3] as a JPEG inside a URL, at most 512 pixels on its longer side."""
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; a date, which few servers send, counts as none."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
