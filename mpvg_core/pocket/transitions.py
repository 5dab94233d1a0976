"""Two-scene clips of the toy world: a cut in the middle, and prompts that ask for it, imply it or want none.

Both scenes run for the whole clip, as before two cameras; the cut changes which of them is seen. A latent space that
describes blocks of four frames can then hold a cut exactly: latents up to the cut are the first scene's, the rest the
second's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch

from ..backbone.interface import Backbone
from ..datasets.prompts import transition_prompts
from ..errors import InputError, Problem
from .base import tokenizer
from .batches import FIRST_TRAINING_SEED, DrawnBatches, as_pixels, training_seed
from .language import MAX_TOKENS, tell
from .latents import BLOCK, CHANGING, STATIC, LatentBasis
from .world import MOTIONS, PLACES, SIZE, Scene, draw_scene, draw_story

CUT_LATENT = 3
CUT_FRAME = 4 * CUT_LATENT - 3  # of 17: nine frames of the first scene, eight of the second
Kind = Literal["one", "told twice", "implied", "explicit"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_IMPLIED = ("{}. {}.", "{}; {}", "{}. Then {}.", "{}, then {}.")
_SHARES = (0.3, 0.1, 0.3, 0.3)  # of the kinds in training
_TOLD = 0.3  # of the one-scene prompts tell the looks, beside those that tell them in a sentence of its own
_FIT_CLIPS = 32
_RIDGE = 1e-4
_MOST_UNEXPLAINED = 0.05


@dataclass(frozen=True)
class Cutting:
    """What one clip shows: a scene, or two with a cut between them; and its prompt."""

    scenes: tuple[Scene, ...]
    prompt: str
    kind: Kind
    parts: tuple[str, ...]  # of the prompt, what tells each scene

    @property
    def wanted(self) -> int:
        """The segments that the prompt wants."""
        return len(self.scenes)


def draw_cutting(kind: Kind, rng: np.random.Generator, seed: int, *, held_out: bool = False) -> Cutting:
    """One clip's scenes, from the story `seed`, and its prompt; of what is held out from training, or of the rest.

    one: one sentence. told twice: one scene in two or more sentences, looks first. implied: two sentences, no word of
    a scene. explicit: "Previous scene: …; then next scene: …". The two scenes of a clip differ in place, for a cut
    that nobody can see is none.
    """
    story = draw_story(seed, shots=2, max_actors=2)
    while True:
        first = _elsewhere(story.scenes[0], rng)
        second = _elsewhere(story.scenes[1], rng)
        scenes = (first,) if kind in ("one", "told twice") else (first, second)
        if is_held_out(scenes) == held_out and (len(scenes) == 1 or first.place != second.place):
            return _told(scenes, kind, rng)


def _told(scenes: tuple[Scene, ...], kind: Kind, rng: np.random.Generator) -> Cutting:
    if len(scenes) == 1:
        told = kind == "told twice" or bool(rng.random() < _TOLD)
        prompt = tell(scenes[0], rng, told=told, cast_first=kind == "told twice")
        return Cutting(scenes, prompt, kind, (prompt,))
    first, second = (tell(scene, rng).rstrip(".") for scene in scenes)
    form = _IMPLIED[int(rng.integers(len(_IMPLIED)))]
    prompt = transition_prompts(first, second)[0] if kind == "explicit" else form.format(first, second)
    return Cutting(scenes, prompt, kind, (first, second))


def is_held_out(scenes: Sequence[Scene]) -> bool:
    """Whether post-training never tells these scenes: a sixth of the pairs of place and motion for one scene, a seventh
    of the pairs of such pairs for two. Every place, motion and pair of places is in both parts."""
    numbers = [(list(PLACES).index(s.place), list(MOTIONS).index(s.roles[0].motion)) for s in scenes]
    if len(numbers) == 1:
        place, motion = numbers[0]
        return (place - motion) % len(PLACES) == 0
    (place, motion), (next_place, next_motion) = numbers
    return (place + 2 * next_place + 3 * motion + 5 * next_motion) % 7 == 0


def _elsewhere(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene's actors at a place and with a motion drawn anew."""
    motion = str(rng.choice(list(MOTIONS)))
    roles = tuple(replace(role, motion=motion) for role in scene.roles)
    return replace(scene, roles=roles, place=str(rng.choice(list(PLACES))))


def draw_cut(scenes: Sequence[Scene]) -> np.ndarray:
    """The clip's pixels, uint8 [17, 64, 64, 3]."""
    clips = [draw_scene(scene) for scene in scenes]
    if len(clips) == 1:
        return clips[0]
    return np.concatenate([clips[0][:CUT_FRAME], clips[1][CUT_FRAME:]])


def scene_of_token(ids: Sequence[int], parts: Sequence[Sequence[int]]) -> list[int]:
    """For each token of a prompt the scene that it speaks of, given the ids of the prompt's parts in their order: 2 for
    the only one, 0 and 1 for the first and second of two, -1 for tokens of neither."""
    scenes, at = [-1] * len(ids), 0
    for number, part in enumerate(parts):
        at = next(start for start in range(at, len(ids)) if list(ids[start : start + len(part)]) == list(part))
        scenes[at : at + len(part)] = [2 if len(parts) == 1 else number] * len(part)
        at += len(part)
    return scenes


class CutBatches(DrawnBatches):
    """Batches for post-training: latents [B, F, 16, h, w], prompts of all kinds mixed, scenes [B, L] of their
    tokens, and cuts [B]: the latent frame with which a second scene begins, 0 for none."""

    stream = 7

    def __init__(self, basis: LatentBasis, batch: int, *, seed: int, skip: int = 0) -> None:
        super().__init__(basis, batch, seed=seed, skip=skip)
        self._words = tokenizer()

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        drawn = [
            draw_cutting(KINDS[int(rng.choice(len(KINDS), p=_SHARES))], rng, training_seed(rng))
            for _ in range(self.batch)
        ]
        pixels = as_pixels(np.stack([draw_cut(cutting.scenes) for cutting in drawn]))
        return {
            "latents": self.basis.encode(pixels),
            "prompts": [cutting.prompt for cutting in drawn],
            "scenes": torch.stack([self._scenes(cutting) for cutting in drawn]),
            "cuts": torch.tensor([CUT_LATENT if len(cutting.scenes) > 1 else 0 for cutting in drawn]),
        }

    def _scenes(self, cutting: Cutting) -> torch.Tensor:
        ids = self._words(cutting.prompt).input_ids
        parts = [self._words(part, add_special_tokens=False).input_ids for part in cutting.parts]
        return torch.tensor(scene_of_token(ids, parts) + [-1] * (MAX_TOKENS - len(ids)))


def require_words(backbone: Backbone) -> None:
    """Raises InputError for a model that lacks words of the transition prompts."""
    limits = backbone.limits()
    lacking = limits.unknown_words("previous scene: then next scene; .") if limits.unknown_words else ()
    if lacking:
        what = f"does not know {', '.join(repr(word) for word in lacking)}"
        raise InputError(Problem(f"model {backbone.name!r}", what, "words that prompts of two scenes are told with"))


def measured_basis(backbone: Backbone) -> LatentBasis:
    """The latent space of a model of the toy world, measured: the linear map that its own encoder was taught.

    Least squares from blocks of pixels to the latents that the encoder gives for clips of one scene each. The encoder
    itself has never seen a cut, and smears what follows one; the map does not look beyond its block.
    Raises InputError for a model whose latents are no such map.
    """
    limits = backbone.limits()
    if (limits.width, limits.height) != (SIZE, SIZE) or backbone.latent_channels != STATIC + CHANGING:
        raise _other_space(backbone.name, "films no clips of the toy world")
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + _FIT_CLIPS)
    clips = np.stack([draw_scene(draw_story(seed, shots=1).scenes[0]) for seed in seeds])
    given = torch.stack([backbone.encode_clip(clip).float().cpu() for clip in clips]).movedim(2, -1)
    size = BLOCK * BLOCK * 3
    plain = LatentBasis(torch.zeros(size), torch.eye(size), torch.eye(4 * size), torch.ones(5 * size))
    blocks = plain.encode(as_pixels(clips)).movedim(2, -1)
    still, change = blocks[..., :size].reshape(-1, size), blocks[:, 1:, ..., size:].reshape(-1, 4 * size)
    centre, level = still.mean(0), given[..., :STATIC].reshape(-1, STATIC).mean(0)
    static = _least_squares(still - centre, given[..., :STATIC].reshape(-1, STATIC) - level)
    changing = _least_squares(change, given[:, 1:, ..., STATIC:].reshape(-1, CHANGING))
    # The mean block is where the static channels are zero.
    mean = centre - torch.linalg.lstsq(static, level[:, None]).solution[:, 0]
    basis = LatentBasis(mean, static, changing, torch.ones(STATIC + CHANGING))
    left = basis.encode(as_pixels(clips)).movedim(2, -1) - given
    unexplained = float(left.square().mean() / (given - given.mean((0, 1, 2, 3))).square().mean())
    if not unexplained < _MOST_UNEXPLAINED:
        raise _other_space(backbone.name, f"{unexplained:.0%} of its latents are no linear map of pixel blocks")
    return basis


def _least_squares(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The matrix [n, m] that takes given [N, m] to wanted [N, n], with a slight ridge for what never varies."""
    normal = given.T @ given / len(given) + _RIDGE * torch.eye(given.shape[1])
    return torch.linalg.solve(normal, given.T @ wanted / len(given)).T.contiguous()


def _other_space(name: str, what: str) -> InputError:
    wanted = "a model made by the pocket's recipe"
    return InputError(Problem(f"model {name!r}", what, wanted, "name a data set with --data"))
