"""Captions from a model behind an OpenAI-compatible endpoint, which is shown pictures of a scene.

Source of the format: OpenAI API reference, "Create chat completion", image input as data URLs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..endpoint import RequestRefused, chat, require_endpoint
from ..errors import InputError, MPVGError
from .describe import CaptionRefused
from .pool import Stopped

INSTRUCTION = (
    "These pictures are taken from one scene of a film, in order. Say in one sentence of at most 30 words what the"
    " scene shows: who, what they do, where. Call people Actor 1, Actor 2 and so on, the same person by the same name"
    " in every scene. Answer with the sentence alone."
)
TRIES = 6  # over half a minute: a build may have run for hours
_SIDE = 512  # pixels of the longer side of a picture
_TOKENS = 400  # of a reply, in which some models think first


class EndpointCaptioner:
    """Asks `model` at `endpoint` for captions, as `mpvg_core.endpoint.chat` does; `key_env` names the key's variable.

    Raises InputError for what is no web address, and for a key that no header can carry.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        key_env: str,
        *,
        at_once: int = 4,
        instruction: str = INSTRUCTION,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        require_endpoint(endpoint, key_env)
        self._endpoint, self._model, self._key_env = endpoint, model, key_env
        self._at_once, self._instruction = at_once, instruction
        self._stopped = threading.Event()
        self._sleep = sleep or self._wait

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
        try:
            return chat(
                [{"role": "user", "content": content}],
                endpoint=self._endpoint,
                model=self._model,
                key_env=self._key_env,
                retries=TRIES - 1,
                options={"max_tokens": _TOKENS},
                sleep=self._sleep,
            )
        except RequestRefused as error:
            raise CaptionRefused(str(error)) from None
        except InputError:
            raise
        except MPVGError as error:
            raise MPVGError(f"{error} What is there is kept, the same command goes on.") from None

    def stop(self) -> None:
        self._stopped.set()

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped


def data_url(picture: NDArray[np.uint8]) -> str:
    """A picture [H, W, 3] as a JPEG inside a URL, at most 512 pixels on its longer side."""
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
