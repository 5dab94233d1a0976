"""Loads a model: the embedded pocket, or any CogVideoX 2b or 5b folder in diffusers' layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError, Problem
from .device import device_named
from .folder import find_model
from .weights import load_part

if TYPE_CHECKING:
    import torch

    from ..storyboard.plan import ModelLimits
    from .cogvideox import CogVideoXBackbone, ReadTokens

_DTYPES = ("float32", "bfloat16", "float16")


def model_limits(model: str = "pocket") -> ModelLimits:
    """What `model` can film, from its configurations and tokenizer alone: loads no torch. It may be a control model.
    Raises InputError."""
    return find_model(model, control=True).limits()


def load_backbone(
    model: str = "pocket",
    *,
    device: str = "auto",
    dtype: str = "auto",
    managed: bool = False,
    text_encoder: ReadTokens | None = None,
    control: bool = False,
) -> CogVideoXBackbone:
    """The model, ready to film.

    device: "auto" takes a GPU if there is one. dtype: "auto" is float32 on a CPU and bfloat16 on a GPU (float16 where
    the GPU cannot do bfloat16). What does not fit a GPU stays outside, see memory.py.
    managed: a transformer that fits and the decoder wait in main memory; the caller, who shares the device with other
    models, moves them there for as long as they work (`streamed` says whether the transformer takes care of itself).
    text_encoder: reads prompts in place of the folder's own, which then need not be there.
    control: the model may be a control model (`control_channels` says so), which films nothing without a control clip.
    Raises InputError for what is missing or unknown, MPVGError for files that do not load.
    """
    folder = find_model(model, without=() if text_encoder is None else ("text_encoder",), control=control)
    place = device_named(device)
    precision = _dtype(dtype, place)

    import torch
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

    from .cogvideox import CogVideoXBackbone
    from .memory import free_bytes, place_parts, stream_blocks, weight_bytes

    transformer = load_part(CogVideoXTransformer3DModel, folder.path / "transformer", torch_dtype=precision)
    vae = load_part(AutoencoderKLCogVideoX, folder.path / "vae", torch_dtype=precision)
    placement = place_parts(free_bytes(place), weight_bytes(transformer), folder.weight_bytes("text_encoder"))
    if placement.transformer == "streamed":
        stream_blocks(transformer, place)
    elif not managed:
        transformer.to(place)
    if not managed:
        vae.to(place)
    reader = place if placement.text_encoder == "device" else torch.device("cpu")
    streamed = placement.transformer == "streamed"
    return CogVideoXBackbone(
        folder, transformer, vae, place, precision, text_device=reader, streamed=streamed, read=text_encoder
    )


def _dtype(name: str, device: torch.device) -> torch.dtype:
    import torch

    if name == "auto":
        if device.type == "cpu":
            name = "float32"
        elif device.type == "cuda" and not torch.cuda.is_bf16_supported():
            name = "float16"
        else:
            name = "bfloat16"
    if name not in _DTYPES:
        raise InputError(Problem("--dtype", f"{name!r} is unknown", f"auto, {', '.join(_DTYPES)}"))
    precision: torch.dtype = getattr(torch, name)
    return precision
