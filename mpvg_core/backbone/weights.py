"""Reads the weights of a model's part: safetensors, whole, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import MPVGError


def load_part(kind: Any, folder: Path, **options: Any) -> Any:
    """The module of class `kind` (of diffusers or transformers) in `folder`, ready for inference.

    Both libraries fill in random numbers for weights that are missing and only log it: here that is an error.
    Raises MPVGError naming the folder.
    """
    try:
        module, found = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise MPVGError(f"{folder}: the weights do not load ({error}); download them again") from error
    if missing := sorted(found["missing_keys"]):
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise MPVGError(f"{folder}: {len(missing)} weights are missing ({some}); download them again")
    return module.eval()
