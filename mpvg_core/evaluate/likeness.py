"""Likeness of pictures described as unit vectors: within a shot, across shots, and with words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .colour import Floats


def steadiness(vectors: Floats) -> float:
    """How alike the frames of one shot are, given the unit vectors [T, D] of frames in order: -1..1, 1 = all equal.

    VBench's subject and background consistency (Huang et al. 2024): the mean over t >= 2 of
    (<v1, vt> + <v(t-1), vt>) / 2. There v is DINO's for the subject and CLIP's for the background, of the whole frame;
    here it is of whichever features are chosen, and of the subject's or the place's pixels alone. 1 for a single frame.

    Fooled by a shot that does not move, which is why motion is always reported beside it.
    """
    if len(vectors) < 2:
        return 1.0
    to_first = vectors[1:] @ vectors[0]
    to_before = (vectors[1:] * vectors[:-1]).sum(axis=1)
    return float(((to_first + to_before) / 2).mean())


def mean_direction(vectors: Floats) -> Floats:
    """The unit vector [D] of the mean of unit vectors [T, D]; zeros if they cancel out."""
    mean = vectors.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return (mean / length if length > 1e-6 else np.zeros_like(mean)).astype(np.float32)


def likeness(shots: Floats) -> Floats:
    """<u_i, u_j> for the mean directions [n, D] of n shots: [n, n], -1..1.

    The figure "across shots" of HoloCine, MultiShotMaster and OneStory with other encoders and masks: its values are
    not to be compared with theirs, only among films measured with the same features. Palette features lie in 0..1.
    """
    return np.clip(shots @ shots.T, -1, 1).astype(np.float32)


def pair_mean(matrix: Floats, pairs: Sequence[tuple[int, int]]) -> float | None:
    """The mean of the matrix [n, n] over pairs of indices; None where there is none."""
    return float(np.mean([matrix[i, j] for i, j in pairs])) if pairs else None


def text_likeness(frames: Floats, text: Floats) -> float:
    """How well a shot's frames [T, D] fit its prompt [D], both CLIP's: the mean of their dot products, -1..1.

    CLIPScore (Hessel et al. 2021) without its factor of 2.5; about 0.2 to 0.35 for photographs and their captions. CLIP
    counts badly, mixes up who does what, and reads 77 tokens at most.
    """
    return float((frames @ text).mean())
