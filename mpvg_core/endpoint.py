"""A language model behind an OpenAI-compatible endpoint: messages in, text out."""

from __future__ import annotations

import http.client
import json
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from .errors import InputError, MPVGError, Problem

_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
"""HTTP statuses that may be gone a moment later: time-outs, too many requests, an overloaded or restarting server."""
_THIS_ONE = {400, 413, 422, 451}
"""HTTP statuses that speak of this one request: malformed, too large, not allowed."""
_LONGEST_PAUSE = 60.0
_LONGEST_REPLY = 8_000_000  # bytes
_SHOWN = 200  # characters of a server's own words in a message


class RequestRefused(MPVGError):
    """The server or its model will not answer this very request; another one may well be answered."""


class _Passing(Exception):
    """A failure worth another try, perhaps after `wait` seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _NoRedirects(HTTPRedirectHandler):
    """A key goes to the server it was given for and to no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def chat(
    messages: Sequence[Mapping[str, Any]],
    *,
    endpoint: str,
    model: str,
    key_env: str = "OPENAI_API_KEY",
    timeout: float = 120.0,
    retries: int = 2,
    options: Mapping[str, Any] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """The model's reply to `messages`, as text without surrounding white space.

    messages: ``{"role": "user", "content": "…"}`` and so on; a content may also be a list of parts (text and images).
    endpoint: the API's base such as ``http://localhost:11434/v1``; ``/chat/completions`` is added where it is missing.
    key_env: the environment variable that holds the key. Servers that want none are asked without; the key appears in
    no message and follows no redirect.
    timeout: seconds for one whole answer. retries: further tries after time-outs, broken connections and statuses that
    pass (429, 503 …), with growing pauses, or those that the server asks for. options: further keys of the request, as
    temperature. sleep: waits so many seconds.

    Raises InputError for what is no web address, and where another endpoint or key is needed (HTTP 401, 404 …);
    RequestRefused where this one request is refused (HTTP 400, 413, 422, 451) or the reply is empty or cut off;
    MPVGError when all tries fail.
    """
    url, shown, key = *_addresses(endpoint), _key(key_env)
    body = json.dumps({**(options or {}), "model": model, "messages": list(messages)}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "mpvg"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    opener = build_opener(_NoRedirects)

    def words(text: object) -> str:
        """A server's words, short, on one line and without the key."""
        line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
        line = line.replace(key, "***") if key else line
        return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"

    for attempt in range(retries + 1):
        try:
            data = _ask(opener, Request(url, body, headers), timeout)
        except HTTPError as error:
            with error:
                failure: _Passing = _refusal(error, shown, key_env, words)
        except _Passing as error:
            failure = error
        else:
            return _reply(data, shown, words)
        if attempt < retries:
            grown = 2**attempt * random.uniform(0.8, 1.2)
            sleep(min(grown if failure.wait is None else failure.wait, _LONGEST_PAUSE))
    tries = f"{retries + 1} tries" if retries else "one try"
    raise MPVGError(f"{shown} gave no answer in {tries}: {words(failure)}; is the server up, and the right one?")


def require_endpoint(endpoint: str, key_env: str) -> None:
    """Raises InputError for an address that is none and a key that no header can carry; nothing is sent."""
    _addresses(endpoint)
    _key(key_env)


def _addresses(endpoint: str) -> tuple[str, str]:
    """(the URL to post to, the same as messages show it: without a query). Raises InputError for what is none."""
    expected = "a web address such as http://localhost:11434/v1"
    try:
        parts = urlsplit(endpoint.strip())
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if known and (parts.username or parts.password):
        remedy = "put the key into the environment variable"
        raise InputError(Problem("endpoint", "the address holds a user name or password", expected, remedy))
    if not known or any(character.isspace() or not character.isascii() for character in endpoint.strip()):
        raise InputError(Problem("endpoint", f"{endpoint!r} is no web address", expected, "check it"))
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    parts = parts._replace(path=path, fragment="")
    return parts._replace(path=f"{path}/chat/completions").geturl(), parts._replace(query="").geturl()


def _key(key_env: str) -> str:
    key = os.environ.get(key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        # http.client would print the key in its own message.
        what = f"the environment variable {key_env} holds signs that no key has"
        raise InputError(Problem("endpoint", what, "a key on one line", "copy it again"))
    return key


def _ask(opener: OpenerDirector, request: Request, timeout: float) -> bytes:
    """The answer's bytes. Raises HTTPError for an answer of 3xx, 4xx or 5xx, _Passing for none."""
    ends = time.monotonic() + timeout
    late = _Passing(f"no whole answer within {timeout:g} s")
    try:
        with opener.open(request, timeout=timeout) as answer:
            data = bytearray()
            while block := answer.read1(1 << 16):
                data += block
                if time.monotonic() > ends:
                    raise late
                if len(data) > _LONGEST_REPLY:
                    raise _Passing(f"an answer of more than {_LONGEST_REPLY} bytes")
            return bytes(data)
    except HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            raise late from None
        raise _Passing(str(reason) or type(reason).__name__) from None


def _refusal(error: HTTPError, shown: str, key_env: str, words: Callable[[object], str]) -> _Passing:
    """What may pass, as a `_Passing`; all else is raised as what it means for the artist."""
    said = words(_server_message(error))
    what = f"HTTP {error.code}" + (f": {said}" if said else "")
    if error.code in _PASSING:
        return _Passing(what, _seconds(error.headers.get("Retry-After")))
    if error.code in _THIS_ONE:
        raise RequestRefused(f"{shown} refuses the request ({what}).") from None
    remedy = "check the endpoint (its address mostly ends in /v1) and the model's name"
    if error.code in (401, 403):
        remedy = f"put a valid key into the environment variable {key_env}"
    elif 300 <= error.code < 400:
        remedy = "it leads elsewhere; name the address it leads to"
    raise InputError(Problem(shown, what, "", remedy)) from None


def _server_message(error: HTTPError) -> str:
    """The words in an error's body: OpenAI's error.message, or the body itself unless it is a web page."""
    try:
        text = error.read(1 << 16).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
    try:
        found = json.loads(text)
    except ValueError:
        return "" if "<html" in text.lower() else text
    found = found.get("error", found) if isinstance(found, dict) else found
    return str(found.get("message", "") if isinstance(found, dict) else found)


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; None where the server gives a date or nothing that can be read."""
    try:
        wait = float(header or "nan")
    except ValueError:
        return None
    return max(wait, 0.0) if math.isfinite(wait) else None


def _reply(data: bytes, shown: str, words: Callable[[object], str]) -> str:
    """The text of the first choice."""
    try:
        choice = json.loads(data)["choices"][0]
        message = choice["message"]
        content, refused, ended = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        start = words(data[:1000].decode("utf-8", "replace"))
        raise MPVGError(f"{shown} does not answer as a chat endpoint does: {start!r}; check its address.") from None
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if ended == "length":
        raise RequestRefused(
            f"{shown}: the reply was cut off at the model's limit; ask for less, or allow more tokens."
        )
    if not isinstance(content, str) or not content.strip():
        raise RequestRefused(f"{shown}: the model replied nothing ({words(refused or 'no reason given')}).")
    return content.strip()
