"""A model's own text encoder, to be trained further."""

from __future__ import annotations

from typing import Any

from .folder import ModelFolder
from .weights import load_part


def load_text_encoder(folder: ModelFolder) -> Any:
    """The T5 encoder of a model's folder in float32. Raises MPVGError for weights that do not load."""
    import torch
    from transformers import T5EncoderModel

    return load_part(T5EncoderModel, folder.path / "text_encoder", dtype=torch.float32)
