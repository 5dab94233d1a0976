"""Noise as a means: shared between shots, moved along a path within a shot, and a background that both shots share.

What a shot starts from decides its rough layout long before the prompt does, so shots that begin alike look alike, and
noise that wanders takes the picture along. Everything here keeps each number of the noise standard normal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..diffusion.frames import TEMPORAL_COMPRESSION
from ..diffusion.noise import mix_noise
from ..diffusion.sampler import Constrain
from ..diffusion.schedule import Stepper, in_interval, interval_problems
from ..errors import InputError, MPVGError, Problem
from ..storyboard.layout import Track, box_at
from .regions import inside
from .technique import Technique

MOVING = "moving noise"


def shared_noise(shared: Tensor, ratio: float) -> Technique:
    """The shot starts from sqrt(r) shared + sqrt(1 - r) own noise; two such shots correlate by r.

    shared [1, F, C, h, w]; ratio 0 is the shot's own noise itself, 1 the shared one. Raises InputError unless
    0 <= ratio <= 1.
    """
    mix_noise(shared, shared, ratio)

    def mix(own: Tensor) -> Tensor:
        return own if ratio == 0.0 else mix_noise(shared.to(own), own, ratio)

    return Technique("shared noise", noise=mix, by_noise=ratio > 0.0)


def path(
    points: Sequence[tuple[float, float]], frames: int, *, spatial: int, temporal: int = TEMPORAL_COMPRESSION
) -> Tensor:
    """Where something is in each latent frame, against the first, in latent cells: float32 [F, 2] of (down, right).

    points: (down, right) in pixels, spread evenly over the clip, joined by straight lines; frames: F. Latent i >= 1
    stands for the pixel frames c(i-1)+1 .. ci, c = `temporal`, and is put where the last of them is; so a speed of d
    pixels a frame is c d / `spatial` cells a latent frame.
    """
    if not points:
        raise InputError(Problem("path", "it has no points", "at least one, (down, right) in pixels"))
    known = torch.tensor(points, dtype=torch.float64)
    last = max(temporal * (frames - 1), 1)
    at = torch.arange(frames, dtype=torch.float64) * temporal / last * (len(known) - 1)
    lower = at.floor().long().clamp(0, max(len(known) - 2, 0))
    upper = (lower + 1).clamp(max=len(known) - 1)
    where = torch.lerp(known[lower], known[upper], (at - lower)[:, None])
    return ((where - where[:1]) / spatial).float()


def box_path(track: Track, frames: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """A box as something that takes its noise along: the way of its middle, as `path` gives ways, and the cells that it
    holds in the first latent frame, bool [h, w]. frames, rows, columns: F, h, w of the latents."""
    boxes = [box_at(track, frame / max(frames - 1, 1)) for frame in range(frames)]
    middles = torch.tensor([((y + h / 2) * rows, (x + w / 2) * columns) for x, y, w, h in boxes], dtype=torch.float64)
    return (middles - middles[:1]).float(), inside(track, (0.0,), rows, columns)[0]


def move_noise(
    noise: Tensor, shifts: Tensor, *, ratio: float = 1.0, whole: bool = True, region: Tensor | None = None
) -> Tensor:
    """Noise [1, F, C, h, w] in which the first frame's noise wanders by `shifts` [F, 2], cells (down, right).

    Cells that the wandering noise does not reach, or comes to from outside the picture, keep their own. ratio: the
    correlation with the wandering noise, sqrt(r) moved + sqrt(1 - r) own; 0 is `noise` itself. region [h, w] bool: the
    part of the first frame that wanders; None: all of it.

    whole: shifts are rounded to cells, which leaves cells independent of one another. Otherwise the four cells that a
    shifted one lies between are mixed, divided by the root of the sum of their squared weights: the variance stays 1,
    but neighbours correlate, which a model reads as blur.

    Raises InputError unless 0 <= ratio <= 1, MPVGError for another number of frames.
    """
    _, frames, _, rows, columns = noise.shape
    if shifts.shape != (frames, 2):
        raise MPVGError(f"A path of {list(shifts.shape)} for noise of {frames} latent frames; expected [{frames}, 2].")
    if ratio == 0.0:
        return noise
    base = noise[:, 0].float()
    wanders = torch.ones(rows, columns, dtype=torch.bool) if region is None else region.cpu()
    result = [noise[:, 0]]
    for frame in range(1, frames):
        down, right = (float(shift) for shift in shifts[frame])
        if whole:
            down, right = float(round(down)), float(round(right))
        moved, reached = _moved(base, wanders, down, right)
        own = noise[:, frame].float()
        result.append(torch.where(reached.to(noise.device), mix_noise(moved, own, ratio), own).to(noise.dtype))
    return torch.stack(result, dim=1)


def _moved(base: Tensor, wanders: Tensor, down: float, right: float) -> tuple[Tensor, Tensor]:
    """base [1, C, h, w] moved by (down, right), and where all it is mixed from wanders and lies in the picture."""
    rows, columns = base.shape[2:]
    top, left = int(down // 1), int(right // 1)
    y, x = down - top, right - left
    total, squares = torch.zeros_like(base), 0.0
    reached = torch.ones(rows, columns, dtype=torch.bool)
    for dy, dx, weight in (
        (0, 0, (1 - y) * (1 - x)),
        (0, 1, (1 - y) * x),
        (1, 0, y * (1 - x)),
        (1, 1, y * x),
    ):
        if weight == 0.0:
            continue
        from_row = torch.arange(rows) - top - dy
        from_column = torch.arange(columns) - left - dx
        inside = ((from_row >= 0) & (from_row < rows))[:, None] & ((from_column >= 0) & (from_column < columns))
        source = (from_row.clamp(0, rows - 1)[:, None], from_column.clamp(0, columns - 1))
        total = total + weight * base[:, :, source[0], source[1]]
        squares += weight * weight
        reached &= inside & wanders[source]
    return total / squares**0.5, reached


def noise_of_boxes(boxes: Sequence[tuple[Tensor, Tensor]], *, ratio: float = 0.5) -> Technique:
    """The shot starts from noise in which every box takes its own along, see `box_path`; where two come to one place,
    the later one's is there. Ratio 0 is the shot's own noise itself."""
    for shifts, _ in boxes:
        mix_noise(shifts, shifts, ratio)

    def move(own: Tensor) -> Tensor:
        noise = own
        for shifts, region in boxes:
            moved = move_noise(own, shifts, ratio=ratio, region=region)
            noise = torch.where(_where_moved(own.shape, shifts, region).to(own.device), moved, noise)
        return noise

    return Technique(MOVING, noise=move, by_noise=ratio > 0.0)


def _where_moved(shape: torch.Size, shifts: Tensor, region: Tensor) -> Tensor:
    """Where noise that wanders from `region` arrives: bool [1, F, 1, h, w], nowhere in the first frame."""
    _, frames, _, rows, columns = shape
    there, empty = torch.zeros(1, frames, 1, rows, columns, dtype=torch.bool), torch.zeros(1, 1, rows, columns)
    for frame in range(1, frames):
        down, right = (float(round(float(shift))) for shift in shifts[frame])
        there[0, frame, 0] = _moved(empty, region.cpu(), down, right)[1]
    return there


def moving_noise(shifts: Tensor, *, ratio: float = 0.5, whole: bool = True, region: Tensor | None = None) -> Technique:
    """The shot starts from noise that wanders, see `move_noise`; ratio 0 is the shot's own noise itself."""
    mix_noise(shifts, shifts, ratio)

    def move(own: Tensor) -> Tensor:
        return move_noise(own, shifts, ratio=ratio, whole=whole, region=region)

    return Technique(MOVING, noise=move, by_noise=ratio > 0.0)


def same_background(
    anchor: Tensor,
    foreground: Tensor,
    *,
    strength: float = 0.6,
    interval: tuple[float, float] = (0.0, 0.5),
) -> Technique:
    """After each step of the interval the background is drawn towards that of another shot of the same place.

    x <- x + m a (y - x), y = a_t z + s_t eps being the anchor's latents `anchor` [F, C, h, w] at the level of the step
    with the noise the shot starts from, and m = 0 in the `foreground` (bool [1, F, 1, h, w]: where either shot has its
    actors; see `edit.latent_mask`). With DDIM both noises are nearly the same, and mixing does not calm the picture;
    DPM draws its own, and the noise of what is mixed is at first up to a fifth too small.
    strength a: 0 leaves the shot alone, bit for bit; 1 is the anchor's background itself.

    Raises InputError for a strength or interval out of range.
    """
    problems = []
    if not 0.0 <= strength <= 1.0:
        problems.append(Problem("strength of the background", f"{strength}", "a number from 0 to 1"))
    problems += interval_problems("interval of steps", interval)
    if foreground.dtype != torch.bool or foreground.dim() != 5:
        problems.append(Problem("foreground", f"is {foreground.dtype}", "a mask of latents, bool [1, F, 1, h, w]"))
    if problems:
        raise InputError(problems)
    if strength == 0.0:
        return Technique("same background")

    def constrain(noise: Tensor, stepper: Stepper) -> Constrain:
        if anchor.shape != noise.shape[1:]:
            raise MPVGError(f"The anchor has latents {list(anchor.shape)}, the shot {list(noise.shape[1:])}.")
        known, actors = anchor[None].to(noise), foreground.to(noise.device)
        steps = [int(timestep) for timestep in stepper.timesteps]

        def draw(latents: Tensor, timestep: Tensor | None) -> Tensor:
            done = len(steps) if timestep is None else steps.index(int(timestep))
            if not in_interval(done - 1, len(steps), interval):
                return latents
            there = stepper.noised(known, noise, timestep)
            return torch.where(actors, latents, torch.lerp(latents, there, strength))

        return draw

    return Technique("same background", constrain=constrain)
