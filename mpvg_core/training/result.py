"""A trained model as a folder of its own: what was trained anew, the rest as it was."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backbone.folder import DEFAULTS_FILE, PARTS, ModelFolder
from ..errors import MPVGError
from ..film.durable import patiently, remove_tree

_LINK_FROM = 256 * 2**20  # bytes from which on a file is shared with the model it comes from, where that can be


def write_model(out: Path, folder: ModelFolder, modules: Mapping[str, Any]) -> Path:
    """Writes `out` in diffusers' layout; `modules`: the trained parts, which are cast to the precision they are stored
    in. Each part is put in its place whole, the transformer last: before that the folder is no model.

    The history adapter is left behind: it was made for the model as it was.
    """
    making = out / ".making"
    remove_tree(making)
    making.mkdir(parents=True)
    remove_tree(out / "transformer")
    for part in ("tokenizer", *sorted(PARTS, key=lambda name: name == "transformer")):
        if part in modules:
            modules[part].to(_stored_dtype(folder.path / part))
            modules[part].save_pretrained(making / part, safe_serialization=True)
        else:
            shutil.copytree(folder.path / part, making / part, copy_function=_link_or_copy)
        if part == "transformer":
            for name in ("model_index.json", DEFAULTS_FILE):
                if (folder.path / name).is_file():
                    shutil.copyfile(folder.path / name, out / name)
        if not remove_tree(out / part):
            raise MPVGError(f"{out / part} cannot be replaced: a program holds it open; close it and run this again")
        patiently(os.rename, making / part, out / part)
    remove_tree(making)
    return out


def _stored_dtype(part: Path) -> Any:
    import torch

    file = sorted(part.glob("*.safetensors"))[0]
    with file.open("rb") as data:
        header = json.loads(data.read(int.from_bytes(data.read(8), "little")))
    kinds = {entry["dtype"] for name, entry in header.items() if name != "__metadata__"}
    known = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    return known[kinds.pop()] if len(kinds) == 1 and kinds <= known.keys() else torch.float32


def _link_or_copy(source: str, target: str) -> str:
    if os.path.getsize(source) >= _LINK_FROM:
        try:
            os.link(source, target)
        except OSError:
            pass  # another disk, or one without links
        else:
            return target
    return shutil.copy2(source, target)
