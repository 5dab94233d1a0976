from collections.abc import Callable

import numpy as np
import pytest
import torch

from mpvg_core.pocket.batches import FIRST_TRAINING_SEED, as_pixels
from mpvg_core.pocket.latents import BLOCK, STATIC, LatentBasis, fit_basis
from mpvg_core.pocket.world import SIZE, draw_scene, draw_story


@pytest.fixture(scope="session")
def fitted_clips() -> np.ndarray:
    """Clips of the training side of the world, for fitting a basis."""
    stories = [draw_story(FIRST_TRAINING_SEED + index, shots=1) for index in range(40)]
    return np.stack([draw_scene(story.scenes[0]) for story in stories])


@pytest.fixture(scope="session")
def basis(fitted_clips: np.ndarray) -> LatentBasis:
    return fit_basis(fitted_clips)


@pytest.fixture(scope="session")
def round_trip(basis: LatentBasis) -> Callable[[np.ndarray], np.ndarray]:
    """Encodes a clip uint8 [T, 64, 64, 3] and decodes it with the transposed basis."""

    def through(clip: np.ndarray) -> np.ndarray:
        latents = basis.encode(as_pixels(clip[None]))[0].permute(0, 2, 3, 1) / basis.scale  # (F, h, w, 16)
        still = latents[..., :STATIC] @ basis.static + basis.mean
        change = latents[1:, ..., STATIC:] @ basis.changing
        cells = SIZE // BLOCK
        rest = still[1:, ..., None, :] + change.unflatten(-1, (4, -1))
        blocks = torch.cat([still[:1], rest.permute(0, 3, 1, 2, 4).flatten(0, 1)])  # (T, h, w, 48)
        pixels = blocks.reshape(-1, cells, cells, BLOCK, BLOCK, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, SIZE, SIZE, 3)
        return ((pixels + 1) * 127.5).round().clamp(0, 255).byte().numpy()

    return through
