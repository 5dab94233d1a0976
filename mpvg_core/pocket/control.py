"""The pocket's control adapter: structure drawn exactly from scenes of the toy world, and the recipe that teaches it.

    python -m mpvg_core.pocket.control --runs DIR [--steps N] [--out FILE]
    python -m mpvg_core.pocket.control --runs DIR --measure [--scenes N] [--sheet FILE]

The first trains an adapter for --model, resuming from DIR/control; the second films scenes with it and says what of
their structure is there, against the same shots without it.

A control clip of this world is one of KINDS. Scenes take any phase and any place within their lane, which no prompt
tells and stories leave alone: what a prompt tells already, nobody needs structure for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..backbone.cogvideox import CogVideoXBackbone
from ..backbone.folder import CONTROL_FILE, ModelDefaults
from ..backbone.load import load_backbone
from ..diffusion.frames import latent_frames
from ..diffusion.guidance import HistoryGuidance
from ..diffusion.noise import shot_noise, step_generator
from ..diffusion.predict import Guided
from ..diffusion.schedule import Stepper
from ..film.durable import written_whole
from ..methods.control import Control, control, control_latents
from ..methods.control_adapter import (
    ControlAdapter,
    load_control_adapter,
    new_control_adapter,
    save_control_adapter,
)
from ..methods.regions import box_clip
from ..methods.structure import canny_clip
from ..methods.technique import Technique, sample_with
from ..storyboard.layout import Track
from ..training.control import Recipe, train_control
from ..training.settings import keep_settings
from ..training.transitions import FrozenPrompts, Progress
from .batches import DrawnBatches, actor_share, as_pixels, training_seed
from .figures import Figure, average, share
from .language import tell
from .latents import LatentBasis
from .reader import agreement, read_clip
from .transitions import measured_basis
from .trial import actors_truth
from .world import FRAMES, SIZE, Scene, background, draw_scene, draw_story

Kind = Literal["silhouettes", "boxes", "edges"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RANK = 8
STEPS, BATCH = 4400, 12
TOLD = 0.5  # of the prompts tell the looks
VARIED = 0.7  # of the scenes stand and begin where no story does
IMPORTANCE = 4.0  # of a cell full of actors, beside 1 for the place
_BEAT = 4  # frames before and after, over which a box holds its actor: half a beat of the world
_KEYS = 5  # boxes of a track, as many as a layout by hand may have


# ------------------------------------------------------------------------------------------------------------ structure


def actor_tracks(scene: Scene, clip: NDArray[np.uint8]) -> list[Track]:
    """A box for each role from left to right, at _KEYS times: what the actor covers within half a beat."""
    mask, count = actors_truth(scene, clip), len(scene.roles)
    found = []
    for lane in range(count):
        left, right = round(SIZE * lane / count), round(SIZE * (lane + 1) / count)
        line = []
        for key in range(_KEYS):
            time = key / (_KEYS - 1)
            frame = round(time * (len(clip) - 1))
            covered = np.any(mask[max(frame - _BEAT, 0) : frame + _BEAT + 1, :, left:right], axis=0)
            rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
            if not len(rows):
                continue  # it has left the picture
            x, y = left + int(columns[0]), int(rows[0])
            width, height = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
            line.append((time, (x / SIZE, y / SIZE, width / SIZE, height / SIZE)))
        if line:
            found.append(tuple(line))
    return found


def draw_structure(
    scene: Scene, clip: NDArray[np.uint8], kind: Kind, order: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """The control clip of a scene drawn as `clip`, uint8 [T, 64, 64, 3].

    silhouettes: actors white on black. boxes: a box an actor, as a layout draws them; its colour says which line of the
    layout it is, not who: `order` of the actors in the layout, by default from left to right. edges: of everything.
    """
    if kind == "silhouettes":
        mask = actors_truth(scene, clip).astype(np.uint8) * np.uint8(255)
        return np.repeat(mask[..., None], 3, axis=-1)
    if kind == "edges":
        return canny_clip(clip)
    found = actor_tracks(scene, clip)
    chosen = [found[index] for index in (order if order is not None else range(len(found))) if index < len(found)]
    boxes: NDArray[np.uint8] = box_clip(chosen, len(clip), SIZE, SIZE).numpy()
    return boxes


def vary(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene begun at another part of a beat and, with one actor, standing elsewhere."""
    return replace(scene, phase=float(rng.integers(8)) / 8, shift=float(rng.uniform(-1, 1)))


class ControlBatches(DrawnBatches):
    """Batches for training: latents and control [B, F, 16, h, w], prompts, and importance [B, F, 1, h, w]: actors
    count more than the place."""

    stream = 11

    def __init__(
        self, basis: LatentBasis, batch: int, *, seed: int, skip: int = 0, kinds: Sequence[Kind] = KINDS
    ) -> None:
        super().__init__(basis, batch, seed=seed, skip=skip)
        self.kinds = tuple(kinds)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        clips, structures, masks, prompts = [], [], [], []
        for _ in range(self.batch):
            scene = draw_story(training_seed(rng), shots=1).scenes[0]
            if rng.random() < VARIED:
                scene = vary(scene, rng)
            clip = draw_scene(scene)
            clips.append(clip)
            order = [int(index) for index in rng.permutation(len(scene.roles))]
            structures.append(draw_structure(scene, clip, self.kinds[int(rng.integers(len(self.kinds)))], order))
            masks.append(actor_share(clip, scene))
            told, cast_first = bool(rng.random() < TOLD), bool(rng.random() < 0.5)
            prompts.append(tell(scene, rng, told=told, cast_first=cast_first))
        return {
            "latents": self.basis.encode(as_pixels(np.stack(clips))),
            "control": self.basis.encode(as_pixels(np.stack(structures))),
            "prompts": prompts,
            "importance": 1 + IMPORTANCE * torch.from_numpy(np.stack(masks)),
        }


# ------------------------------------------------------------------------------------------------------------- training


class _Reading(FrozenPrompts):
    """Embeddings that are read when a prompt first comes: the world tells its scenes in very many words."""

    def __init__(self, backbone: CogVideoXBackbone) -> None:
        self._backbone, self._read = backbone, dict[str, Tensor]()
        super().__init__(self._read)

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._read]
        self._read |= {
            prompt: text.embeds.cpu() for prompt, text in zip(new, self._backbone.encode_text(new), strict=True)
        }
        return super().__call__(prompts)


def basis_of(backbone: CogVideoXBackbone, folder: Path) -> LatentBasis:
    """The model's latent space, measured once and kept in `folder`."""
    from safetensors.torch import load_file, save_file

    file = folder / f"basis-{backbone.fingerprint}.safetensors"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as temporary:
            save_file(measured_basis(backbone).state(), temporary)
    return LatentBasis(**load_file(file))


def train(
    backbone: CogVideoXBackbone, folder: Path, recipe: Recipe, *, rank: int, kinds: Sequence[Kind], workers: int
) -> ControlAdapter:
    """The pocket's control adapter, trained to `recipe.steps`, resuming from `folder`."""
    made_of = asdict(recipe) | {"rank": rank, "kinds": list(kinds), "model": backbone.fingerprint}
    keep_settings(folder, made_of, free=("steps", "save_every", "at_once"))
    basis = basis_of(backbone, folder)
    torch.manual_seed(recipe.seed)
    adapter = new_control_adapter(backbone.transformer, rank=rank)

    def say(now: Progress) -> None:
        if now.step % 20 == 0:
            print(f"{now.step}/{now.steps} loss {now.loss:.4f}", flush=True)

    return train_control(
        folder,
        backbone,
        adapter,
        _Reading(backbone),
        lambda start: ControlBatches(basis, recipe.batch, seed=recipe.seed, skip=start, kinds=kinds).ahead(workers),
        recipe,
        report=say,
    )


# ------------------------------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True)
class Followed:
    """How well shots follow their scene: overlap of the actors' pixels with the scene's (intersection over union), and
    the reader's agreement in number, shapes, motions, place and colours."""

    overlap: Figure
    count: Figure
    shape: Figure
    motion: Figure
    place: Figure
    colour: Figure


def followed(scenes: Sequence[Scene], clips: Sequence[NDArray[np.uint8]]) -> Followed:
    """Figures of clips that were to follow these scenes."""
    overlaps, agreed = [], []
    for scene, clip in zip(scenes, clips, strict=True):
        wanted, found = actors_truth(scene, draw_scene(scene)), drawn_actors(scene, clip)
        overlaps.append(float((wanted & found).sum() / max((wanted | found).sum(), 1)))
        agreed.append(agreement(read_clip(clip), scene))
    return Followed(
        overlap=average(overlaps),
        count=share(bool(one["count"]) for one in agreed),
        shape=average(float(one["shape"]) for one in agreed),
        motion=average(float(one["motion"]) for one in agreed),
        place=share(bool(one["place"]) for one in agreed),
        colour=average(float(one["colour"]) for one in agreed),
    )


def drawn_actors(scene: Scene, clip: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of a filmed clip that are clearly none of the place's: a model's place is never exact."""
    empty = (background(scene.place, scene.mirrored) + 0.5).astype(np.int16)
    differs: NDArray[np.bool_] = np.abs(clip.astype(np.int16) - empty).sum(-1) > 60
    return differs


def control_scenes(count: int) -> list[Scene]:
    """Held-out scenes, varied as no story is."""
    return [vary(draw_story(seed, shots=1).scenes[0], np.random.default_rng([seed, 17])) for seed in range(count)]


@torch.no_grad()
def film(
    backbone: CogVideoXBackbone,
    scenes: Mapping[int, Scene],
    techniques: Sequence[Technique],
    how: ModelDefaults,
) -> list[NDArray[np.uint8]]:
    """A shot of every scene, by its seed, under a prompt that does not tell the looks; the same noise whatever the
    techniques."""
    prompts = [tell(scene, np.random.default_rng(seed), plain=True) for seed, scene in scenes.items()]
    embeds = torch.stack([text.embeds for text in backbone.encode_text(prompts)])
    negative = backbone.encode_text([""])[0].embeds.expand(len(scenes), -1, -1)
    side = SIZE // backbone.spatial_compression
    shape = (1, latent_frames(FRAMES), backbone.latent_channels, side, side)
    noise = torch.cat([shot_noise(seed, shape, backbone.device, backbone.dtype) for seed in scenes])
    guided = Guided(backbone, embeds, negative, None, HistoryGuidance(how.text_scale, 0.0))
    generators = [step_generator(seed) for seed in scenes]
    stepper = Stepper(backbone.new_scheduler(how.scheduler), how.steps, generators)
    latents = sample_with(techniques, guided, stepper, noise)
    return [np.concatenate(list(backbone.decode(latent))) for latent in latents]


def measure(
    backbone: CogVideoXBackbone,
    adapter: ControlAdapter,
    *,
    scenes: int,
    kinds: Sequence[Kind] = KINDS,
    settings: Control | None = None,
    how: ModelDefaults | None = None,
    sheet: Path | None = None,
    at_once: int = 8,
) -> dict[str, Followed]:
    """Figures of shots of varied, held-out scenes: without control, and after each kind of structure.

    how: the model's defaults unless given. sheet: a picture of the first scenes: what was to be, the shot without
    control, and for each kind a structure and the shot after it.
    """
    drawn, how = control_scenes(scenes), how or backbone.folder.defaults()
    true = [draw_scene(scene) for scene in drawn]
    structures = {
        kind: [draw_structure(scene, clip, kind) for scene, clip in zip(drawn, true, strict=True)] for kind in kinds
    }
    clips: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in ("none", *kinds)}
    for start in range(0, scenes, at_once):
        some = dict(list(enumerate(drawn))[start : start + at_once])
        clips["none"] += film(backbone, some, [], how)
        for kind in kinds:
            seen = torch.stack([control_latents(backbone, structures[kind][seed], FRAMES, SIZE, SIZE) for seed in some])
            clips[kind] += film(backbone, some, [control(seen, adapter, settings)], how)
    if sheet is not None:
        columns = [true, clips["none"], *(part for kind in kinds for part in (structures[kind], clips[kind]))]
        _draw_sheet(columns, sheet)
    return {name: followed(drawn, some) for name, some in clips.items()}


def _draw_sheet(columns: Sequence[Sequence[NDArray[np.uint8]]], file: Path, rows: int = 6) -> None:
    """A row a scene; in it three frames of each column's clip, the columns a grey line apart."""
    from PIL import Image

    lines = []
    for row in range(min(rows, len(columns[0]))):
        parts = []
        for column in columns:
            clip = column[row]
            parts += [clip[index] for index in (0, len(clip) // 2, len(clip) - 1)]
            parts.append(np.full((SIZE, 4, 3), 128, np.uint8))
        lines.append(np.concatenate(parts[:-1], axis=1))
    picture = np.concatenate(lines, axis=0)
    Image.fromarray(picture.repeat(2, 0).repeat(2, 1)).save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints and logs, in its folder control")
    parser.add_argument("--model", default="pocket", help="a model of the toy world")
    parser.add_argument("--out", type=Path, help=f"the adapter's file (default: RUNS/control/{CONTROL_FILE})")
    parser.add_argument("--steps", type=int, default=STEPS, help="in all, those before a resume included")
    parser.add_argument("--rank", type=int, default=RANK, help="of the low-rank changes; 0: the patch embedding alone")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=0, help="processes that draw")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--measure", action="store_true", help="film with the adapter instead of training it")
    parser.add_argument("--scenes", type=int, default=40, help="of --measure")
    parser.add_argument("--strength", type=float, default=1.0, help="of --measure")
    parser.add_argument("--sheet", type=Path, help="of --measure: a picture of the first scenes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = options.runs / "control"
    file = options.out or folder / CONTROL_FILE
    backbone = load_backbone(options.model, device=options.device, dtype="float32")
    if options.measure:
        adapter = load_control_adapter(file, device=backbone.device)
        figures = measure(
            backbone,
            adapter,
            scenes=options.scenes,
            kinds=options.kinds,
            settings=Control(strength=options.strength),
            sheet=options.sheet,
        )
        for name, one in figures.items():
            print(f"{name:12}", "  ".join(f"{part} {figure}" for part, figure in vars(one).items()))
        return
    recipe = Recipe(steps=options.steps, lr=options.lr, batch=options.batch, frames=3, seed=0)
    adapter = train(backbone, folder, recipe, rank=options.rank, kinds=options.kinds, workers=options.workers)
    with written_whole(file) as temporary:
        save_control_adapter(
            adapter,
            temporary,
            recipe="mpvg_core.pocket.control",
            base=backbone.fingerprint,
            steps=recipe.steps,
            kinds=list(options.kinds),
        )
    print(json.dumps({"adapter": str(file), "fingerprint": adapter.fingerprint}))


if __name__ == "__main__":
    main()
