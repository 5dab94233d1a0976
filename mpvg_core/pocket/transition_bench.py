"""Does a model of the toy world cut when, and only when, its prompt wants a cut; and are both scenes the right ones?

Held-out prompts in the groups of TAV (Transition-Aware Video): A one sentence (one segment wanted), B two sentences
that imply a change, C explicit ("Previous scene: …; then next scene: …"), two wanted each. Beside them A2, one scene
told in several sentences: a model that merely counts sentences cuts there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import torch

from ..backbone.cogvideox import CogVideoXBackbone
from ..diffusion.frames import latent_frames
from ..diffusion.guidance import HistoryGuidance
from ..diffusion.noise import shot_noise
from ..diffusion.sampler import sample
from ..evaluate.cuts import CutSettings, Scenes
from ..evaluate.segments import Counted, SegmentFigures, count_segments, segment_figures
from .batches import as_pixels
from .figures import Figure, average, look_at, look_figures, look_of, motion_degree, share
from .latents import LatentBasis
from .reader import agreement, read_clip
from .transitions import CUT_FRAME, CUT_LATENT, Cutting, Kind, draw_cutting
from .world import FRAMES, PLACES, Look, Scene, draw_scene, draw_story

GROUPS: Mapping[str, Kind] = {"A": "one", "A2": "told twice", "B": "implied", "C": "explicit"}
FIRST_SEED = 300_000  # held out: training draws from a million on
_READABLE = 5  # frames that the reader of clips needs
_HALF = 8


@dataclass(frozen=True)
class Made:
    """A clip as a model made it, uint8 [T, 64, 64, 3], for a prompt and from a seed."""

    cutting: Cutting
    seed: int
    clip: np.ndarray
    scenes: Scenes


@dataclass(frozen=True)
class GroupRow:
    """A group's segments and what is right in them, scene by scene as the prompt names them.

    place, motion: of each wanted scene, in the segment of its number; a segment that is missing or too short to be read
    is wrong. all_places: clips with every place right, in order and number. colour: actors that have in the last part
    of the clip the colour that they had in the first, the two halves of one scene or the two scenes of a clip that has
    two; a first part that cannot be read leaves its actors out. moves: see `figures.motion_degree`, within segments.
    """

    segments: SegmentFigures
    place: Figure
    motion: Figure
    all_places: Figure
    colour: Figure
    moves: Figure


@dataclass(frozen=True)
class KnownClips:
    """The detector on clips whose cuts are known, drawn by the world and decoded by the model from their true latents.

    lowest_cut, highest_other: V_t at the cuts of all pairs of places, and the highest V_t anywhere else, scenes without
    a cut included. found: share of cuts found at their frame; false: share of one-scene clips in which a cut was found;
    pairs_missed: places of the cuts that were not.
    """

    lowest_cut: float
    highest_other: float
    found: float
    false: float
    clips: int
    pairs_missed: tuple[str, ...]


def bench_prompts(number: int) -> dict[str, list[Cutting]]:
    """`number` different held-out prompts of each group."""
    groups: dict[str, list[Cutting]] = {}
    for place, (group, kind) in enumerate(GROUPS.items()):
        chosen: dict[str, Cutting] = {}
        seed = FIRST_SEED + 20_000 * place
        while len(chosen) < number:
            cutting = draw_cutting(kind, np.random.default_rng([seed, 11]), seed, held_out=True)
            chosen.setdefault(cutting.prompt, cutting)
            seed += 1
        groups[group] = list(chosen.values())
    return groups


@torch.no_grad()
def film(
    backbone: CogVideoXBackbone,
    cuttings: Sequence[Cutting],
    seeds: Sequence[int],
    guidance: HistoryGuidance,
    steps: int,
    settings: CutSettings,
    *,
    batch: int = 20,
) -> list[Made]:
    """A clip for every prompt and seed. The noise depends on the prompt's number and the seed alone: two models are
    compared from the same noise."""
    limits, side = backbone.limits(), backbone.spatial_compression
    shape = (1, latent_frames(FRAMES), backbone.latent_channels, limits.height // side, limits.width // side)
    wanted = [(number, cutting, seed) for seed in seeds for number, cutting in enumerate(cuttings)]
    empty = backbone.encode_text([""])[0].embeds
    made = []
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        noises = [
            shot_noise(seed * 100_003 + number, shape, backbone.device, backbone.dtype) for number, _, seed in part
        ]
        texts = backbone.encode_text([cutting.prompt for _, cutting, _ in part])
        latents = sample(
            backbone,
            noise=torch.cat(noises),
            positive=torch.stack([text.embeds for text in texts]),
            negative=empty.expand(len(part), -1, -1),
            guidance=guidance,
            scheduler=backbone.new_scheduler(),
            steps=steps,
        )
        for (_, cutting, seed), latent in zip(part, latents, strict=True):
            clip = np.concatenate(list(backbone.decode(latent)))
            made.append(Made(cutting, seed, clip, count_segments(clip, settings)))
    return made


def group_row(made: Sequence[Made]) -> GroupRow:
    """The figures of one group's clips."""
    places, motions, whole, looks, moves = [], [], [], [], []
    for one in made:
        segments = one.scenes.segments
        right = []
        for number, scene in enumerate(one.cutting.scenes):
            found = None
            if number < len(segments) and segments[number].end - segments[number].start >= _READABLE:
                seen = one.clip[segments[number].start : segments[number].end]
                found = agreement(read_clip(seen), scene)
            right.append(found is not None and bool(found["place"]))
            motions.append(0.0 if found is None else float(found["motion"]))
        places += right
        whole.append(all(right) and len(segments) == one.cutting.wanted)
        looks += _looks(one)
        parts = [one.clip[segment.start : segment.end] for segment in segments]
        moves += [motion_degree(part) for part in parts if len(part) > 1]
    counts = [Counted(len(one.scenes.segments), one.cutting.wanted, one.seed) for one in made]
    return GroupRow(
        segments=segment_figures(counts),
        place=share(places),
        motion=average(motions),
        all_places=share(whole),
        colour=look_figures(looks)["colour"],
        moves=average(moves),
    )


def _looks(one: Made) -> list[tuple[Look | None, Look | None]]:
    """The looks of each actor who is in both parts of a clip: in the first part and in the last."""
    scenes, segments = one.cutting.scenes, one.scenes.segments
    if len(scenes) == 1:
        parts = [one.clip[:_HALF], one.clip[-_HALF:]]
    elif len(segments) == 2 and min(segment.end - segment.start for segment in segments) >= _READABLE:
        parts = [one.clip[segment.start : segment.end] for segment in segments]
    else:
        return []
    first, last = look_at(scenes[0], parts[0]), look_at(scenes[-1], parts[1])
    both = {role.index for role in scenes[0].roles} & {role.index for role in scenes[-1].roles}
    return [(look_of(first, index), look_of(last, index)) for index in sorted(both)]


@torch.no_grad()
def known_clips(
    backbone: CogVideoXBackbone, basis: LatentBasis, settings: CutSettings, *, rounds: int = 1
) -> KnownClips:
    """`rounds` clips of every ordered pair of places, and as many of one scene each."""
    cuts, others, hits, false, missed = [], [], [], [], []
    seed = FIRST_SEED + 90_000
    for _ in range(rounds):
        for pair in permutations(PLACES, 2):
            scenes = _pair(seed, pair)
            joined = torch.cat([_latents(basis, scenes[0])[:CUT_LATENT], _latents(basis, scenes[1])[CUT_LATENT:]])
            found = count_segments(_decoded(backbone, joined), settings)
            cuts.append(float(found.scores[CUT_FRAME]))
            # The frame after a cut is still in the decoder's shadow of it.
            others.append(float(np.delete(found.scores, [CUT_FRAME, CUT_FRAME + 1]).max()))
            hit = [cut.frame for cut in found.cuts] == [CUT_FRAME]
            hits.append(hit)
            if not hit:
                missed.append(f"{pair[0]} to {pair[1]}")
            alone = count_segments(_decoded(backbone, _latents(basis, scenes[0])), settings)
            others.append(float(alone.scores.max()))
            false.append(len(alone.segments) != 1)
            seed += 1
    return KnownClips(
        lowest_cut=min(cuts),
        highest_other=max(others),
        found=float(np.mean(hits)),
        false=float(np.mean(false)),
        clips=len(hits) + len(false),
        pairs_missed=tuple(missed),
    )


def _pair(seed: int, pair: tuple[str, str]) -> tuple[Scene, Scene]:
    first, second = draw_story(seed, shots=2, max_actors=2).scenes
    return replace(first, place=pair[0]), replace(second, place=pair[1])


def _latents(basis: LatentBasis, scene: Scene) -> torch.Tensor:
    return basis.encode(as_pixels(draw_scene(scene)[None]))[0]


def _decoded(backbone: CogVideoXBackbone, latents: torch.Tensor) -> np.ndarray:
    return np.concatenate(list(backbone.decode(latents)))


def run_bench(
    models: Mapping[str, CogVideoXBackbone],
    prompts: Mapping[str, Sequence[Cutting]],
    seeds: Sequence[int],
    guidance: HistoryGuidance,
    steps: int,
    settings: CutSettings,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, list[Made]]]:
    """Every model's clips by group."""
    clips: dict[str, dict[str, list[Made]]] = {}
    for name, backbone in models.items():
        clips[name] = {}
        for group, cuttings in prompts.items():
            report(f"{name}, group {group}")
            clips[name][group] = film(backbone, cuttings, seeds, guidance, steps, settings)
    return clips
