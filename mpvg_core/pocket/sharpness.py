"""How sharp the pocket's autoencoder is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .batches import as_pixels
from .figures import Figure, average
from .world import draw_scene, draw_story


@torch.no_grad()
def autoencoder_psnr(vae: Any = None, clips: int = 40) -> Figure:
    """Peak signal-to-noise ratio in dB of held-out clips, encoded and decoded by the pocket's own (or another) VAE."""
    if vae is None:
        from ..backbone.load import load_backbone

        vae = load_backbone("pocket", device="cpu", dtype="float32").vae
    found = []
    for seed in range(clips):
        video = as_pixels(np.stack([draw_scene(draw_story(seed, shots=1).scenes[0])])).transpose(1, 2)
        again = vae.decode(vae.encode(video).latent_dist.mean).sample.clamp(-1, 1)
        found.append(float(10 * torch.log10(4 / (again - video).square().mean())))
    return average(found)
