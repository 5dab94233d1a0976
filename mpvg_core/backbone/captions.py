"""BLIP says what a picture shows: one sentence, from a folder on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MPVGError, Problem
from .device import device_named
from .weights import load_part

_MOST_TOKENS = 40
_BEAMS = 3
_REMEDY = "take a folder of BlipForConditionalGeneration in transformers' layout"


class BlipCaptioner:
    """`BlipForConditionalGeneration` from `folder` (config.json, *.safetensors, processor and tokenizer files).

    Of several pictures it looks at the middle one, and it knows of no earlier scenes. The same picture gives the same
    sentence. Raises InputError for a folder that holds no such model, MPVGError for files that do not load.
    """

    at_once = 1

    def __init__(self, folder: Path, device: str = "auto") -> None:
        _require_blip(folder)

        from transformers import BlipForConditionalGeneration, BlipProcessor

        place = device_named(device)
        try:
            self._processor: Any = BlipProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MPVGError(f"{folder}: the processor does not load ({error}); download the whole folder") from error
        self._model = load_part(BlipForConditionalGeneration, folder).to(place)
        self._device = place
        self._fingerprint = _fingerprint(folder)

    @property
    def name(self) -> str:
        return f"blip {self._fingerprint}"

    def describe(self, pictures: Sequence[NDArray[np.uint8]], earlier: Sequence[str] = ()) -> str:
        """A sentence for the middle one of `pictures`, uint8 [H, W, 3]; `earlier` is not looked at."""
        import torch

        picture = pictures[len(pictures) // 2]
        inputs = self._processor(images=picture, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=_MOST_TOKENS, num_beams=_BEAMS, do_sample=False)
        text: str = self._processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return text.strip()

    def stop(self) -> None:
        """Nothing waits here: a sentence takes a moment."""


def _require_blip(folder: Path) -> None:
    """Raises InputError for a folder that is no BLIP for captions, before anything heavy is loaded."""
    config = folder / "config.json"
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Problem("--blip", f"{config} cannot be read ({error})", "a BLIP folder", _REMEDY)) from None
    kind = found.get("model_type") if isinstance(found, dict) else None
    names = found.get("architectures") or ["BlipForConditionalGeneration"] if isinstance(found, dict) else []
    if kind != "blip" or "BlipForConditionalGeneration" not in names:
        what = f"{folder} holds {' '.join(map(str, names)) or 'no model'} ({kind})"
        raise InputError(Problem("--blip", what, "BLIP for captions", _REMEDY))
    if not any(folder.glob("*.safetensors")):
        remedy = "MPVG loads no pickled weights; save them as safetensors"
        raise InputError(Problem("--blip", f"{folder} has no weights that can be read", "*.safetensors", remedy))


def _fingerprint(folder: Path) -> str:
    """A hash of the configuration and the weights, 16 hex digits."""
    digest = hashlib.sha256()
    for file in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as data:
            while block := data.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
