"""Change a clip that is there: by a new prompt from part of the way on, or within a mask only.

By strength (SDEdit): the clip is noised as far as the strength says and denoised from there. By inversion: the noise
that would make the clip is found by walking its own prompt's prediction upwards, so that more of the clip stays. Within
a mask (blended diffusion): what is known is put back after every step, and the mask alone is new.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, max_pool3d

from ..diffusion.frames import TEMPORAL_COMPRESSION
from ..diffusion.predict import Guided, Predict, Step
from ..diffusion.sampler import Constrain
from ..diffusion.schedule import Stepper
from ..errors import InputError, MPVGError, Problem
from .technique import Start, Technique


def start_index(steps: int, strength: float) -> int:
    """N - round(N strength): the step at which a clip changed by `strength` begins; N: no step, the clip itself.

    Raises InputError unless 0 <= strength <= 1.
    """
    if not 0.0 <= strength <= 1.0:
        raise InputError(Problem("strength", f"{strength}", "a number from 0 (the clip itself) to 1 (a new clip)"))
    return steps - math.floor(steps * strength + 0.5)


def video_to_video(clip: Tensor, strength: float) -> Technique:
    """Begin with the latents `clip` [F, C, h, w], noised as they are at step N - round(N strength).

    Strength 0 is the clip itself, strength 1 text-to-video with the same noise, both bit for bit. Raises InputError
    unless 0 <= strength <= 1.
    """
    return begun_from("video to video", clip, strength)


def begun_from(name: str, clip: Tensor, strength: float) -> Technique:
    """`video_to_video` under another name; `clip` may also be one for each clip of a batch, [B, F, C, h, w]."""
    start_index(1, strength)

    def begin(noise: Tensor, stepper: Stepper, guided: Guided) -> Start:
        known = _like(clip, noise, name)
        index = start_index(len(stepper.timesteps), strength)
        if index == len(stepper.timesteps):
            return Start(known, index)
        if index == 0:  # also where a schedule does not end at pure noise
            return Start(noise * stepper.initial_scale, 0)
        return Start(stepper.noised(known, noise, stepper.timesteps[index]), index)

    return Technique(name, start=begin)


def video_to_video_by_inversion(
    clip: Tensor, source: Callable[[Guided], Predict], strength: float, *, sharpen: int = 0
) -> Technique:
    """Begin with the latents `clip` [F, C, h, w], walked up to step N - round(N strength) by DDIM inversion.

    source: from the new clip's prediction to the one under the clip's own prompt (a `Guided` with text scale 1, or with
    an empty prompt; in windows, where the clip is longer than the model's). sharpen: see `invert`. Strength 0 is the
    clip itself bit for bit. Raises InputError unless 0 <= strength <= 1, and when the scheduler adds noise.
    """
    start_index(1, strength)
    name = "video to video by inversion"

    def begin(noise: Tensor, stepper: Stepper, guided: Guided) -> Start:
        index = start_index(len(stepper.timesteps), strength)
        return Start(invert(source(guided), stepper, _like(clip, noise, name), index, sharpen=sharpen), index)

    return Technique(name, start=begin)


@torch.no_grad()
def invert(source: Predict, stepper: Stepper, clip: Tensor, index: int, *, sharpen: int = 0) -> Tensor:
    """The latents of step `index` from which DDIM, asking `source`, comes back to `clip` [1, F, C, h, w].

    One step up, from level p to t: x0 = a_p y - s_p v, eps = s_p y + a_p v, y' = a_t x0 + s_t eps (for v-prediction),
    with v asked at the lower level; the error falls about as 1/N. The way down asks v at the upper level instead:
    `sharpen` times the step is made again with v asked at (y', t), one call more each, whose fixed point is exact.

    Raises InputError when the scheduler adds noise at every step.
    """
    if not stepper.deterministic:
        remedy = "choose the scheduler 'ddim', or change the clip by strength"
        raise InputError(Problem("inversion", "this scheduler adds noise at every step", "a deterministic one", remedy))
    total, dtype, latents = len(stepper.timesteps), clip.dtype, clip
    lowest = stepper.timesteps[-1].new_zeros(())
    for upper in range(total - 1, index - 1, -1):
        at, to = (stepper.timesteps[upper + 1] if upper + 1 < total else None), stepper.timesteps[upper]
        # The model knows no finished clip: it is asked about one at timestep 0, the least noise it has seen.
        asked = lowest if at is None else at
        prediction = source(latents, Step(min(upper + 1, total - 1), total, asked))
        x0, eps = stepper.parts(prediction, latents, at)
        a, s = stepper.level(to)
        higher = (a * x0 + s * eps).to(dtype)
        for _ in range(sharpen):
            higher = _again(source(higher, Step(upper, total, to)), stepper, latents, higher, at, to)
        latents = higher
    return latents


def _again(
    prediction: Tensor, stepper: Stepper, lower: Tensor, higher: Tensor, at: Tensor | None, to: Tensor
) -> Tensor:
    """`higher` moved so that a step down with this v ends at `lower`: down(x) = (a_p a_t + s_p s_t) x + ... v."""
    (a, s), (a_low, s_low) = stepper.level(to), stepper.level(at)
    slope = a_low * a + s_low * s
    if slope == 0.0:  # one step from pure noise to the clip: no noise is better than another
        return higher
    x0, eps = stepper.parts(prediction, higher, to)
    return (higher.float() + (lower.float() - a_low * x0 - s_low * eps) / slope).to(lower.dtype)


def latent_mask(
    mask: Tensor, *, spatial: int, temporal: int = TEMPORAL_COMPRESSION, dilate: int = 0, frames: int | None = None
) -> Tensor:
    """A pixel mask [T, H, W] as a mask of latents, bool [1, F, 1, h, w]: True where anything in the cell is to be new.

    mask: bool, or numbers that count from 0.5 on; T may be 1 with `frames` the clip's length, for a mask that stands.
    A cell is `spatial` x `spatial` pixels of the frames {0}, {1 .. c}, {c+1 .. 2c} ..., c = `temporal`. dilate: so many
    cells more on every side, for seams that are softer and objects that the mask fits too tightly.

    Raises InputError for a size or length that is no whole number of cells.
    """
    if frames is not None and len(mask) == 1:
        mask = mask.expand(frames, -1, -1)
    problems = []
    if mask.dim() != 3 or not len(mask) or (len(mask) - 1) % temporal:
        problems.append(Problem("mask", f"it has shape {list(mask.shape)}", f"1 + {temporal}n frames, [T, H, W]"))
    if frames is not None and len(mask) != frames:
        problems.append(Problem("mask", f"it has {len(mask)} frames", f"{frames}, as the clip, or 1 for all of them"))
    if mask.shape[-1] % spatial or mask.shape[-2] % spatial:
        size = f"{mask.shape[-1]}x{mask.shape[-2]}"
        problems.append(Problem("mask", f"it is {size} pixels", f"multiples of {spatial}", "scale it to the clip"))
    if dilate < 0:
        problems.append(Problem("dilate", f"{dilate} cells", "0 or more"))
    if problems:
        raise InputError(problems)
    hard = (mask if mask.dtype == torch.bool else mask >= 0.5).float()
    cells = max_pool2d(hard[:, None], spatial)[:, 0]  # [T, h, w]
    groups = [cells[:1]]
    if len(cells) > 1:
        groups.append(cells[1:].unflatten(0, (-1, temporal)).amax(1))
    pooled = torch.cat(groups)
    if dilate:
        pooled = max_pool3d(pooled[None, None], (1, 2 * dilate + 1, 2 * dilate + 1), 1, (0, dilate, dilate))[0, 0]
    return pooled[None, :, None] > 0


def masked_edit(clip: Tensor, mask: Tensor) -> Technique:
    """Make only what `mask` [1, F, 1, h, w] (True: new) covers; elsewhere the latents `clip` [F, C, h, w] stay.

    After every step x <- m x + (1 - m)(a' z + s' eps), eps being the noise the shot starts from; after the last one z
    itself is put back, so what is known is exact whatever the number of steps. A mask of True everywhere changes
    nothing, bit for bit. Goes with `video_to_video` for an edit that keeps some of what was under the mask.

    Raises InputError when clip and mask are of two sizes.
    """
    if (
        mask.dtype != torch.bool
        or mask.dim() != 5
        or mask.shape[1] != clip.shape[0]
        or mask.shape[3:] != clip.shape[2:]
    ):
        wanted = f"bool {[1, clip.shape[0], 1, *clip.shape[2:]]}, as the clip's latents"
        raise InputError(Problem("mask", f"is {mask.dtype} {list(mask.shape)}", wanted, "make it with `latent_mask`"))

    def constrain(noise: Tensor, stepper: Stepper) -> Constrain:
        known, new = _like(clip, noise, "masked edit"), mask.to(noise.device)

        def keep(latents: Tensor, timestep: Tensor | None) -> Tensor:
            return torch.where(new, latents, known if timestep is None else stepper.noised(known, noise, timestep))

        return keep

    return Technique("masked edit", constrain=constrain)


def paste(made: np.ndarray, known: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Frames `made` where `mask` is True and `known` elsewhere, so that known pixels come out untouched.

    made, known: uint8 [T, H, W, 3]; mask: bool [T, H, W], True for new. A latent cell stands for many pixels and the
    decoder looks beyond it, so that without this, pixels near the mask change a little.
    """
    if not made.shape == known.shape == (*mask.shape, 3):
        raise ValueError(f"frames {made.shape}, {known.shape} and mask {mask.shape} do not fit")
    return np.where(mask[..., None], made, known)


def _like(clip: Tensor, noise: Tensor, name: str) -> Tensor:
    """The clip as the loop has it, [B, F, C, h, w]. Raises MPVGError when the shot is of another shape."""
    if clip.shape[-4:] != noise.shape[1:]:
        raise MPVGError(
            f"{name}: the clip has latents {list(clip.shape[-4:])}, but the shot is to have {list(noise.shape[1:])}; "
            "give the shot the clip's length and size."
        )
    return clip.to(noise).expand(noise.shape)
