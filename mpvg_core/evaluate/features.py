"""What pictures are described by: `palette` (no download), or CLIP or DINO from a folder on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, Problem
from .colour import Floats
from .palette import Palette, box_around

KINDS = ("palette", "clip", "dino")
_GREY = 128.0


class Features(Protocol):
    """Describes pictures as unit vectors, so that a dot product is a likeness. `side`: the short side it looks at."""

    name: str
    side: int

    def describe(self, pictures: NDArray[np.uint8], weights: Floats) -> Floats:
        """Unit vectors [T, D] of what has weight, [T, H, W] in 0..1, in pictures [T, H, W, 3]."""
        ...

    def describe_texts(self, texts: tuple[str, ...]) -> Floats | None:
        """Unit vectors [n, D] of texts, to be compared with pictures; None where these features know no words."""
        ...


class PictureEncoder(Protocol):
    """What `backbone.encoders` gives: a network that turns pictures, and maybe texts, into unit vectors."""

    def pictures(self, pictures: list[NDArray[np.uint8]]) -> Floats: ...

    def texts(self, texts: tuple[str, ...]) -> Floats | None: ...


class Encoded:
    """Features of a network: what has no weight is painted grey, and the box around the rest is what it sees."""

    side = 256

    def __init__(self, name: str, encoder: PictureEncoder) -> None:
        self.name = name
        self._encoder = encoder

    def describe(self, pictures: NDArray[np.uint8], weights: Floats) -> Floats:
        return self._encoder.pictures([cut_out(p, w) for p, w in zip(pictures, weights, strict=True)])

    def describe_texts(self, texts: tuple[str, ...]) -> Floats | None:
        return self._encoder.texts(texts)


def cut_out(picture: NDArray[np.uint8], weights: Floats) -> NDArray[np.uint8]:
    """The box around what has weight [H, W] in a picture [H, W, 3], the rest of it grey."""
    top, bottom, left, right = box_around(weights)
    inner = picture[top:bottom, left:right], weights[top:bottom, left:right, None]
    return (inner[0] * inner[1] + _GREY * (1 - inner[1]) + 0.5).astype(np.uint8)


def load_features(kind: str, folder: Path | None) -> Features:
    """The features of this kind; `folder` holds the network of 'clip' and 'dino'.

    Raises InputError for an unknown kind, a folder that is missing or not wanted, and one that holds something else.
    """
    if kind not in KINDS:
        raise InputError(Problem("--features", f"{kind!r} is unknown", ", ".join(KINDS)))
    if kind == "palette":
        if folder is not None:
            remedy = "add --features clip or --features dino"
            raise InputError(Problem("--encoder", f"{folder} is given, but palette features need none", remedy=remedy))
        return Palette()
    if folder is None:
        remedy = "download a model's folder in transformers' layout and name it with --encoder"
        raise InputError(Problem(f"--features {kind}", "needs a model", "a folder", remedy))
    from ..backbone.encoders import load_encoder

    return Encoded(kind, load_encoder(kind, folder))
