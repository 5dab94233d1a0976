"""Networks that describe pictures: CLIP and DINO from folders in transformers' layout, for measuring films."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import InputError, Problem
from .weights import load_part

_TYPES = {"clip": ("clip",), "dino": ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")}
_NEEDED = ("config.json", "preprocessor_config.json")
_BATCH = 16


@dataclass(frozen=True)
class _Look:
    """How the network sees a picture: `size` pixels square, each channel less `mean`, divided by `std`."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def tensor(self, pictures: list[NDArray[np.uint8]]) -> Tensor:
        """[n, 3, size, size] of pictures [h, w, 3] of any sizes, padded with grey to squares."""
        squares = np.stack([_square(picture, self.size) for picture in pictures])
        pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
        return (pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


class DinoEncoder:
    """The class token of a DINO, DINOv2 or DINOv3 vision transformer, after its last norm."""

    def __init__(self, model: Any, look: _Look) -> None:
        self._model, self._look = model, look

    @torch.no_grad()
    def pictures(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors [n, D]."""
        return _in_batches(
            pictures, lambda some: self._model(pixel_values=self._look.tensor(some)).last_hidden_state[:, 0]
        )

    def texts(self, texts: tuple[str, ...]) -> None:
        """DINO knows no words."""
        return None


class ClipEncoder:
    """CLIP's projections of pictures and texts."""

    def __init__(self, model: Any, tokenizer: Any, look: _Look) -> None:
        self._model, self._tokenizer, self._look = model, tokenizer, look

    @torch.no_grad()
    def pictures(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors [n, D]."""

        def projected(some: list[NDArray[np.uint8]]) -> Tensor:
            seen = self._model.vision_model(pixel_values=self._look.tensor(some))
            return torch.as_tensor(self._model.visual_projection(seen.pooler_output))

        return _in_batches(pictures, projected)

    @torch.no_grad()
    def texts(self, texts: tuple[str, ...]) -> NDArray[np.float32]:
        """Unit vectors [n, D]; what goes beyond the model's 77 tokens is not read."""
        longest = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer([*texts], padding=True, truncation=True, max_length=longest, return_tensors="pt")
        read = self._model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return _unit(self._model.text_projection(read.pooler_output))


def load_encoder(kind: str, folder: Path) -> ClipEncoder | DinoEncoder:
    """The 'clip' or 'dino' network in `folder`, on the CPU in float32; safetensors only, nothing is downloaded.

    Raises InputError, with all that is wrong, for a folder that lacks files or holds another kind of model, MPVGError
    for weights that do not load.
    """
    config = _checked(kind, folder)
    import transformers

    vision = config.get("vision_config", config)
    look = _look(folder, int(vision.get("image_size", 224)))
    if kind == "clip":
        model = load_part(transformers.CLIPModel, folder, dtype=torch.float32)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            remedy = "download the tokenizer's files again"
            raise InputError(Problem(str(folder), f"the tokenizer does not load ({error})", remedy=remedy)) from error
        return ClipEncoder(model, tokenizer, look)
    options = {"add_pooling_layer": False} if config["model_type"] == "vit" else {}
    return DinoEncoder(load_part(transformers.AutoModel, folder, dtype=torch.float32, **options), look)


def _checked(kind: str, folder: Path) -> dict[str, Any]:
    """config.json of a folder that has all that is needed."""
    if not folder.is_dir():
        raise InputError(Problem("--encoder", f"{folder} is not there", f"the folder of a {kind.upper()} model"))
    remedy = "download the whole folder of the model"
    problems = [
        Problem(str(folder / name), "is missing", remedy=remedy) for name in _NEEDED if not (folder / name).is_file()
    ]
    if kind == "clip" and not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        problems.append(Problem(str(folder / "tokenizer.json"), "is missing", remedy=remedy))
    if not any(folder.glob("*.safetensors")):
        problems.append(Problem(str(folder), "no weights", "*.safetensors", "MPVG loads no pickled weights"))
    config: Any = {}
    if (folder / "config.json").is_file():
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except ValueError as error:
            problems.append(Problem(str(folder / "config.json"), f"is no JSON ({error})", remedy="download it again"))
        else:
            found = config.get("model_type") if isinstance(config, dict) else None
            if found not in _TYPES[kind]:
                wanted = f"a {kind.upper()} model (model_type {' or '.join(_TYPES[kind])})"
                problems.append(Problem(str(folder / "config.json"), f"this is a {found!r}", wanted, "check --encoder"))
    if problems:
        raise InputError(problems)
    return dict(config)


def _look(folder: Path, size: int) -> _Look:
    file = folder / "preprocessor_config.json"
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        mean, std = (tuple(float(value) for value in told[key]) for key in ("image_mean", "image_std"))
        crop = told.get("crop_size", told.get("size", size))
        side = int(crop if isinstance(crop, int) else crop.get("height", crop.get("shortest_edge", size)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(Problem(str(file), f"does not fit ({error})", "image_mean, image_std and a size")) from error
    if len(mean) != 3 or len(std) != 3 or not all(std) or side < 1:
        raise InputError(Problem(str(file), f"mean {mean}, std {std}, size {side}", "three channels and a size"))
    return _Look(side, mean, std)


def _square(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """[size, size, 3]: the whole picture in the middle of a grey square, its sides in proportion."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    square = Image.new("RGB", (size, size), (128, 128, 128))
    small = Image.fromarray(picture).resize(fitted, Image.Resampling.BICUBIC)
    square.paste(small, ((size - fitted[0]) // 2, (size - fitted[1]) // 2))
    return np.asarray(square)


def _in_batches(pictures: list[NDArray[np.uint8]], encode: Any) -> NDArray[np.float32]:
    return np.concatenate([_unit(encode(pictures[at : at + _BATCH])) for at in range(0, len(pictures), _BATCH)])


def _unit(vectors: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()
    return found
