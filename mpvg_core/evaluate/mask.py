"""Where the subject of a shot is, without a segmenter: what moves, and what goes with it in colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .colour import Floats, lab

MOVED = 8.0
"""A pixel has moved when it is this far (CIE76) from its median over time; compression and grain stay below."""
_REACH = 0.16  # of the short side: how far a body reaches from what moves of it
_REACH_OF_A_PART, _PART = 0.4, 0.05  # the same where less than this share of the picture moves, as with a waving arm
_BINS = (10, 14, 14)  # of L, a, b
_CAMERA = 0.45  # share of moving pixels from which on the whole picture is taken to move


@dataclass(frozen=True)
class SubjectMask:
    """How much each pixel belongs to the subject: weights [T, H, W] in 0..1, and how they were found.

    kind: 'motion' = from what moves; 'centre' = from the middle of the picture, because nothing moves or all does.
    place [H, W, 3]: the picture without the subject as far as any frame shows it (the median over time).
    """

    weights: Floats
    kind: Literal["motion", "centre"]
    place: NDArray[np.uint8]


def subject_mask(frames: NDArray[np.uint8]) -> SubjectMask:
    """The subject's weights in frames [T, H, W, 3] of one shot.

    A pixel's prior is how near it is to what moves (the distance from the median over time, spread by 16 % of the short
    side, by 40 % if less than a twentieth of the picture moves); where nothing moves, or nearly half of the picture
    does, how near it is to the middle (and that alone, if the middle has no colours of its own). Its weight is
    prior · n(c) / (n(c) + f(c)): c its colour, n and f the shares of that colour near and far from the subject by that
    prior, over the whole shot. It is 0 for colours of the place, near 1 for colours only the subject has.

    Fooled by: a moving camera (then it is a guess by the middle), a subject in the place's colours, moving water or
    leaves, two subjects of which one stands still (only the moving one is found).
    """
    colours = lab(frames)  # [T, H, W, 3]
    usual = np.median(frames, axis=0).astype(np.uint8)
    away = np.sqrt(((colours - lab(usual)) ** 2).sum(-1))  # [T, H, W]
    moved = away > MOVED
    share = float(moved.any(axis=0).mean())
    by_motion = 0.002 < share < _CAMERA
    prior = _near_motion(moved) if by_motion else np.broadcast_to(_near_middle(*moved.shape[1:]), moved.shape)
    weights = prior * _told_by_colour(colours, prior)
    if not by_motion and weights.max() < 0.1:
        weights = np.array(prior)  # the middle has no colours of its own either
    return SubjectMask(weights.astype(np.float32), "motion" if by_motion else "centre", usual)


def _near_motion(moved: NDArray[np.bool_]) -> Floats:
    """Each frame's own motion, and half as much what moves in any frame, spread and brought to 0..1."""
    ever = moved.mean(axis=0, dtype=np.float32)
    share = _REACH_OF_A_PART if (ever > 0).mean() < _PART else _REACH
    reach = max(1, round(share * min(moved.shape[1:])))
    seeds = np.maximum(moved.astype(np.float32), 0.5 * np.minimum(1, 4 * ever))
    spread = _blurred(seeds, reach)
    strongest = spread.max(axis=(1, 2), keepdims=True)
    return np.minimum(1, 1.5 * spread / np.maximum(strongest, 1e-6))


def _near_middle(height: int, width: int) -> Floats:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = ((y / height - 0.5) / 0.28) ** 2 + ((x / width - 0.5) / 0.22) ** 2
    return np.exp(-0.5 * far).astype(np.float32)


def _told_by_colour(colours: Floats, prior: Floats) -> Floats:
    """n(c) / (n(c) + f(c)) of each pixel's colour."""
    bins = _colour_bins(colours)
    count = _BINS[0] * _BINS[1] * _BINS[2]
    near = np.bincount(bins.ravel(), prior.ravel().astype(np.float64), count)
    far = np.bincount(bins.ravel(), (1 - prior).ravel().astype(np.float64), count)
    near, far = near / max(near.sum(), 1e-9), far / max(far.sum(), 1e-9)
    ratio = near / np.maximum(near + far, 1e-12)
    sure = np.clip((ratio - 0.5) / 0.4, 0, 1).astype(np.float32)
    return sure[bins]


def _colour_bins(colours: Floats) -> NDArray[np.int64]:
    parts = np.stack([colours[..., 0] / 100, colours[..., 1] / 200 + 0.5, colours[..., 2] / 200 + 0.5], axis=-1)
    index = np.clip((parts * _BINS).astype(np.int64), 0, np.array(_BINS) - 1)
    return (index[..., 0] * _BINS[1] + index[..., 1]) * _BINS[2] + index[..., 2]


def _blurred(maps: Floats, reach: int) -> Floats:
    """Maps [T, H, W] averaged over windows of about `reach`, three times, which comes near a Gaussian."""
    side = max(1, reach // 2) * 2 + 1
    for axis in (1, 2) * 3:
        pad = [(0, 0)] * 3
        pad[axis] = (side // 2 + 1, side // 2)
        total = np.cumsum(np.pad(maps, pad), axis=axis, dtype=np.float32)
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(side, None), slice(None, -side)
        maps = ((total[tuple(ahead)] - total[tuple(behind)]) / side).astype(np.float32)
    return maps
