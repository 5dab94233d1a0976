"""Coarse to fine: a clip of key frames first, then clips between them, level after level (NUWA-XL).

A clip between two key frames is an ordinary clip whose first and last latent frames are known. That is of use by
itself: a shot with a given first and last picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..diffusion.predict import Guided
from ..diffusion.sampler import Constrain, StepInfo
from ..diffusion.schedule import Stepper
from ..errors import InputError, MPVGError, Problem
from .edit import begun_from
from .technique import Technique, sample_with


@dataclass(frozen=True)
class Segment:
    """One clip of the plan: clip `index` of its level, and the numbers of the film's frames that it shows."""

    level: int
    index: int
    frames: range

    @property
    def name(self) -> str:
        return f"level {self.level}, clip {self.index + 1}"


@dataclass(frozen=True)
class InfillPlan:
    """All clips of a film that is made coarse to fine, level after level; each has `length` frames.

    Clips of a level follow one another, sharing their end points and no other frame. Every `key_step`-th frame of a
    clip is a key frame: the end points of the next level's clips.
    """

    length: int
    key_step: int
    levels: tuple[tuple[Segment, ...], ...]

    @property
    def frames(self) -> int:
        """How many frames the film has."""
        return self.levels[0][0].frames[-1] + 1


def plan_infill(length: int, depth: int, keys: int | None = None) -> InfillPlan:
    """`depth` levels below the first clip, every clip of `length` L frames giving `keys` K key frames (all, if None).

    Level d has (K - 1)^d clips whose frames lie (K - 1)^(depth - d) apart in the film; the film has
    (L - 1)(K - 1)^depth + 1 frames, which is NUWA-XL's (L - 1)^m + 1 with all frames as keys and m = depth + 1.

    Raises InputError unless L >= 2, depth >= 0 and K - 1 divides L - 1.
    """
    keys = length if keys is None else keys
    problems = []
    if length < 2:
        problems.append(Problem("clip length", f"{length} frames", "at least 2"))
    if depth < 0:
        problems.append(Problem("depth", f"{depth} levels", "0 or more"))
    if keys < 2 or (length - 1) % (keys - 1):
        fitting = [count + 1 for count in range(1, length) if (length - 1) % count == 0]
        problems.append(Problem("key frames", f"{keys} of a clip", f"one of {', '.join(map(str, fitting))}"))
    if problems:
        raise InputError(problems)
    clips, levels = keys - 1, []
    for level in range(depth + 1):
        stride = clips ** (depth - level)
        reach = (length - 1) * stride
        ranges = (range(index * reach, (index + 1) * reach + 1, stride) for index in range(clips**level))
        levels.append(tuple(Segment(level, index, frames) for index, frames in enumerate(ranges)))
    return InfillPlan(length, (length - 1) // clips, tuple(levels))


def start_end(first: Tensor | None = None, last: Tensor | None = None) -> Technique:
    """Make a clip whose first and last latent frames are known: [C, h, w], or [B, C, h, w] for each clip of a batch.

    After every step a known frame is a' z + s' eps, eps being the noise that the clip starts from there; after the last
    one it is z itself, exactly. None leaves an end free; both free is the plain clip, bit for bit. A last latent frame
    stands for several pictures: see `bridge_latents`.

    Raises MPVGError when a known frame is of another size than the clip, or both ends are one frame.
    """
    known = {at: frame for at, frame in ((0, first), (-1, last)) if frame is not None}
    if not known:
        return Technique("start and end")

    def constrain(noise: Tensor, stepper: Stepper) -> Constrain:
        placed = {at: _placed(frame, noise, at) for at, frame in known.items()}

        def hold(latents: Tensor, timestep: Tensor | None) -> Tensor:
            latents = latents.clone()
            for at, frame in placed.items():
                latents[:, at] = stepper.noised(frame, noise[:, at], timestep)
            return latents

        return hold

    return Technique("start and end", constrain=constrain)


def _placed(frame: Tensor, noise: Tensor, at: int) -> Tensor:
    if noise.shape[1] < 2:
        raise MPVGError("A clip with a known first and last frame needs two latent frames or more.")
    if frame.shape[-3:] != noise.shape[2:] or frame.dim() not in (3, 4):
        where = "first" if at == 0 else "last"
        raise MPVGError(
            f"The {where} frame of the clip has latents {list(frame.shape)}, the clip {list(noise.shape[2:])}; "
            "give a picture of the clip's size."
        )
    return frame.to(noise).expand(noise[:, at].shape)


def bridged(bridge: Tensor, strength: float) -> Technique:
    """Begin with the noised latents `bridge` [F, C, h, w], or one for each clip of a batch, at step N - round(N s).

    For a clip with known ends: in the first, noisiest steps the ends tell nothing of themselves, and what lies between
    takes a look of its own. Strength s = 1 begins with the noise alone, bit for bit. Raises InputError unless
    0 <= s <= 1, MPVGError for a bridge of another size than the clip.
    """
    return begun_from("bridge", bridge, strength)


class Codec(Protocol):
    """What is needed of a backbone to hand pictures from level to level."""

    def decode(self, latents: Tensor) -> Iterator[np.ndarray]: ...

    def encode_clip(self, frames: np.ndarray) -> Tensor: ...


def bridge_latents(codec: Codec, first: np.ndarray, last: np.ndarray, length: int) -> Tensor:
    """The latents [F, C, h, w] of a clip of `length` frames that stands at `first` and, from its middle on, at `last`.

    Pictures are uint8 [H, W, 3]. Its ends are what `start_end` is to hold: the first latent frame stands for one
    picture, the last for several, which a picture encoded by itself would not.
    """
    after = length // 2
    return codec.encode_clip(
        np.concatenate([np.repeat(first[None], length - after, 0), np.repeat(last[None], after, 0)])
    )


Shoot = Callable[[Sequence[Segment], Sequence[Technique]], Tensor]
"""Clips of one level with these techniques, latents [number of clips, F, C, h, w]."""


def infill(
    plan: InfillPlan,
    shoot: Shoot,
    codec: Codec,
    *,
    batch: int = 1,
    strength: float = 1.0,
    on_clip: Callable[[Segment, Tensor], None] | None = None,
) -> Iterator[np.ndarray]:
    """The film's frames, uint8 [n, H, W, 3], one clip of the last level after the other, each frame once.

    batch: so many clips of a level are shot together; they know nothing of one another. strength: see `bridged`, of the
    clips between key frames; below 1 their look keeps closer to the key frames. on_clip: is told of every finished clip
    with its latents [F, C, h, w], whose known ends are exact. Depth 0 is the plain clip, whatever the strength. Only
    the key frames of a level are kept.
    """
    keys: list[np.ndarray] = []  # of the level above, in their order
    for segments in plan.levels:
        coming: list[np.ndarray] = []
        final = segments is plan.levels[-1]
        for start in range(0, len(segments), batch):
            some = segments[start : start + batch]
            for segment, latents in zip(
                some, shoot(some, _held(some, keys, codec, plan.length, strength)), strict=True
            ):
                if on_clip is not None:
                    on_clip(segment, latents)
                shared = segment.index + 1 < len(segments)  # its last picture is the next clip's first
                frames = np.concatenate(list(codec.decode(latents)))
                if final:
                    yield frames[: len(frames) - shared]
                else:
                    coming += list(frames[: len(frames) - shared : plan.key_step])
        keys = coming


def _held(
    segments: Sequence[Segment], keys: Sequence[np.ndarray], codec: Codec, length: int, strength: float
) -> list[Technique]:
    if not keys:
        return []
    pairs = [(keys[segment.index], keys[segment.index + 1]) for segment in segments]
    bridges = torch.stack([bridge_latents(codec, first, last, length) for first, last in pairs])
    return [bridged(bridges, strength), start_end(bridges[:, 0], bridges[:, -1])]


def shoot_with(
    guided: Guided,
    stepper: Callable[[Sequence[Segment]], Stepper],
    noise: Callable[[Segment], Tensor],
    prompt: Callable[[Segment], Tensor] | None = None,
    techniques: Sequence[Technique] = (),
    *,
    on_step: Callable[[StepInfo], None] | None = None,
) -> Shoot:
    """`Shoot` by the one loop, with more `techniques` and told of every step: clips of a batch are rows of it.

    stepper: for some clips; DPM needs a generator for each of them, or a clip would depend on its neighbours.
    noise: a clip's own, [1, F, C, h, w]. prompt: a clip's embedding [1, L, D] in place of the `guided` one.
    """

    def shoot(segments: Sequence[Segment], held: Sequence[Technique]) -> Tensor:
        count = len(segments)
        positive = guided.positive.expand(count, -1, -1)
        if prompt is not None:
            positive = torch.cat([prompt(segment) for segment in segments])
        negative = guided.negative.expand(count, -1, -1) if guided.negative is not None else None
        rows = replace(guided, positive=positive, negative=negative)
        start = torch.cat([noise(segment) for segment in segments])
        return sample_with([*techniques, *held], rows, stepper(segments), start, on_step=on_step)

    return shoot
