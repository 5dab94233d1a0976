"""Clips of structure: edges where they are, boxes and depth as they are given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mpvg_core.errors import InputError
from mpvg_core.methods.structure import canny_clip, connected, depth_clip, layout_clip, sobel


def picture(seed: int = 0) -> np.ndarray:
    """Blurred noise with a bright disc, uint8 [60, 80, 3]: grey, so that its luma is itself."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :80]
    grey = 60 + 130 / (1 + np.exp(np.hypot(x - 40, y - 28) - 15)) + rng.normal(0, 12, (60, 80))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def test_edges_are_those_of_opencv():
    cv2 = pytest.importorskip("cv2")
    for seed in range(3):
        frame = picture(seed)
        for low, high in ((60, 120), (100, 200)):
            wanted = cv2.Canny(frame[..., 0], low, high) > 0
            found = canny_clip(frame[None], low, high)[0, ..., 0] > 0
            assert wanted.any()
            assert (found != wanted).mean() < 0.002


def test_a_square_has_its_outline_and_nothing_else():
    clip = np.zeros((2, 32, 40, 3), np.uint8)
    clip[:, 8:24, 10:30] = 200
    edges = canny_clip(clip)
    assert edges.shape == clip.shape
    assert set(np.unique(edges)) == {0, 255}
    assert np.array_equal(edges[0], edges[1])
    y, x = np.nonzero(edges[0, ..., 0])
    near = np.minimum.reduce([np.abs(y - 7.5), np.abs(y - 23.5), np.abs(x - 9.5), np.abs(x - 29.5)])
    assert near.max() <= 1
    assert not edges[0, 12:20, 14:26].any()


def test_a_flat_picture_has_no_edges():
    assert not canny_clip(np.full((1, 16, 16, 3), 77, np.uint8)).any()


def test_higher_thresholds_find_fewer_edges_and_a_blur_forgives_grain():
    frame = picture()[None]
    few, many = canny_clip(frame, 150, 300), canny_clip(frame, 40, 80)
    assert 0 < (few > 0).sum() < (many > 0).sum()
    smooth = canny_clip(frame, 40, 80, smooth=2.0)
    assert 0 < (smooth > 0).sum() < (many > 0).sum()


def test_thresholds_the_wrong_way_round_are_refused():
    with pytest.raises(InputError, match="edge thresholds: 200 and 100; expected 0 <= low <= high"):
        canny_clip(np.zeros((1, 8, 8, 3), np.uint8), 200, 100)


def test_sobel_of_a_slope_is_its_slope():
    across, down = sobel(3.0 * np.arange(10)[None] + 5.0 * np.arange(8)[:, None])
    assert np.allclose(across[1:-1, 1:-1], 8 * 3)
    assert np.allclose(down[1:-1, 1:-1], 8 * 5)


def test_what_hangs_together_with_a_seed_is_kept_over_corners_too():
    allowed = np.zeros((6, 6), bool)
    allowed[[0, 1, 2], [0, 1, 2]] = allowed[5, 4:] = True
    seeds = np.zeros_like(allowed)
    seeds[0, 0] = seeds[3, 3] = True
    found = connected(seeds, allowed)
    assert np.array_equal(np.argwhere(found), [[0, 0], [1, 1], [2, 2]])


def test_depth_is_scaled_once_for_the_whole_clip():
    depth = np.stack([np.full((4, 6), value) for value in (2.0, 3.0, 4.0)])
    clip = depth_clip(depth)
    assert clip.shape == (3, 4, 6, 3)
    assert [int(frame.mean()) for frame in clip] == [0, 128, 255]
    assert not depth_clip(depth[:1]).any()
    for wrong in (depth[0], depth * np.nan):
        with pytest.raises(InputError, match="finite numbers"):
            depth_clip(wrong)


def test_a_layout_becomes_boxes_that_move_in_colours_of_their_own():
    layout = [
        SimpleNamespace(entity="fox", at=0.0, box=(0.0, 0.0, 0.5, 0.5)),
        SimpleNamespace(entity="hare", at=0.0, box=(0.5, 0.5, 0.5, 0.5)),
        SimpleNamespace(entity="fox", at=1.0, box=(0.5, 0.0, 0.5, 0.5)),
    ]
    clip = layout_clip(layout, 3, 8, 8)
    assert clip.shape == (3, 8, 8, 3)
    fox, hare = clip[0, 1, 1], clip[0, 6, 6]
    assert fox.any() and hare.any() and not np.array_equal(fox, hare)
    assert np.array_equal(clip[2, 1, 6], fox)
    assert not clip[2, 1, 1].any()
    assert np.array_equal(clip[2, 6, 6], hare)
