"""Which device a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError, Problem

if TYPE_CHECKING:
    import torch


def device_named(name: str) -> torch.device:
    """The device that torch calls so; "auto" is a GPU if there is one. Raises InputError for one that is not there."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise InputError(Problem("--device", f"{name!r} is unknown", "auto, cpu, cuda, cuda:1 or mps"))
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(Problem("--device", "this torch sees no Apple GPU", remedy="use auto or cpu"))
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise InputError(Problem("--device", f"{name!r}: this torch sees {count} CUDA GPUs", remedy="use auto or cpu"))
    return device
