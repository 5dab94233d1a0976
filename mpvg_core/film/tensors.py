"""A take's tensors: its latent, and the features of its clip, computed once when a later shot first remembers it."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor

from ..backbone.interface import ClipFeatures
from ..errors import MPVGError
from .durable import move_into_place
from .takes import LATENT, Take

_PARTS = [part.name for part in fields(ClipFeatures)]


def write_latent(latent: Tensor, draft: Path) -> None:
    """Store a clip's latent [F, C, h, w] in the folder of a take in the making."""
    save_file({"latent": latent.detach().cpu().contiguous()}, draft / LATENT)


def set_aside(latent: Tensor, path: Path, scratch: Path) -> None:
    """Keep a latent until its clip is decoded: hours of sampling must not be lost to a decoder out of memory."""
    _save_sealed({"latent": latent.detach().cpu().contiguous()}, path, scratch)


def taken_up(path: Path) -> Tensor | None:
    """A latent that was set aside, on the CPU; None when there is none, or it is damaged."""
    stored = _read_checked(path, ["latent"])
    return stored["latent"] if stored else None


def read_latent(take: Take) -> Tensor:
    """A take's latent [F, C, h, w] on the CPU. Raises MPVGError when it cannot be read."""
    try:
        with safe_open(take.latent, framework="pt") as file:
            return file.get_tensor("latent").clone()  # else it maps the file, which Windows then cannot remove
    except (OSError, SafetensorError) as error:
        raise MPVGError(f"take {take.id}: its latent cannot be read: {error}") from error


def clip_features(take: Take, model: str, scratch: Path, describe: Callable[[Tensor], ClipFeatures]) -> ClipFeatures:
    """The clip features [T, D_v] of a take: read if they lie beside its latent, else described and laid there.

    `model` is the fingerprint of the model that describes; those of another are not used, damaged ones are made anew.
    """
    path = take.folder / f"features-{hashlib.sha256(model.encode()).hexdigest()[:16]}.safetensors"
    if (stored := _read_checked(path, _PARTS)) is not None:
        return ClipFeatures(**stored)
    features = describe(read_latent(take))
    tensors = {name: getattr(features, name).detach().cpu().contiguous() for name in _PARTS}
    _save_sealed(tensors, path, scratch)
    return ClipFeatures(**tensors)  # as they will be read next time


def _save_sealed(tensors: dict[str, Tensor], path: Path, scratch: Path) -> None:
    temporary = scratch / f"{uuid.uuid4().hex}.safetensors"
    save_file(tensors, temporary, metadata={"sha256": _digest(tensors)})
    try:
        move_into_place(temporary, path)
    except PermissionError:
        if os.name != "nt":
            raise
        # Another process reads the same file, of the same bytes; ours goes with the scratch folder.


def _read_checked(path: Path, parts: Sequence[str]) -> dict[str, Tensor] | None:
    if not os.path.exists(path):
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in parts}  # see `read_latent`
            return tensors if (file.metadata() or {}).get("sha256") == _digest(tensors) else None
    except (OSError, SafetensorError):
        return None


def _digest(tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(save(tensors)).hexdigest()
