"""Training a control adapter: the model learns to follow structure and stays as it is."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import build_model

from mpvg_core.backbone.load import load_backbone, model_limits
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.film.video import VideoWriter
from mpvg_core.methods.control_adapter import new_control_adapter, widened
from mpvg_core.methods.structure import canny_clip
from mpvg_core.training.control import Recipe, train_control
from mpvg_core.training.structures import StructureBatches, encode_structures, plan_structures
from mpvg_core.training.transitions import FrozenPrompts, noise_up

PROMPT = "Actor 1 is running on the snow."
SHAPE = (5, 4, 8, 8)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: build_model(root / kind, kind, channels=4) for kind in ("2b", "5b")}


@pytest.fixture
def backbone(models):
    return load_backbone(str(models["2b"]), device="cpu", dtype="float32")


def batches(start: int):
    """Flat clips, each of a level that its control clip alone tells."""
    while True:
        level = 2 * torch.randn(4, 1, 1, 1, 1, generator=torch.Generator().manual_seed(start))
        clip = level.expand(4, *SHAPE).clone()
        yield {"latents": clip, "control": -clip, "prompts": [PROMPT] * 4}
        start += 1


def frozen(backbone) -> FrozenPrompts:
    return FrozenPrompts.read(backbone, [PROMPT])


def new(backbone, rank: int = 2):
    torch.manual_seed(5)
    return new_control_adapter(backbone.transformer, rank=rank)


def train(folder: Path, backbone, adapter=None, prompts=None, given=batches, **changes):
    recipe = Recipe(**{"steps": 3, "batch": 4, "save_every": 2, "lr": 1e-2, "decay": 0.5} | changes)
    adapter = new(backbone) if adapter is None else adapter
    return train_control(folder, backbone, adapter, prompts or frozen(backbone), given, recipe)


def weights(module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(some, others) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def error_with(backbone, adapter, control: torch.Tensor, clip: torch.Tensor) -> float:
    noised = noise_up(clip, backbone.new_scheduler().alphas_cumprod.float(), torch.Generator().manual_seed(9))
    embeds = frozen(backbone)([PROMPT] * len(clip))
    states = torch.cat([noised.noisy, control], dim=2)
    with torch.no_grad(), widened(backbone.transformer, adapter):
        found = backbone.denoise(states, noised.timesteps, embeds, branch="b")
    return float((found - noised.target).square().mean())


@pytest.mark.parametrize("rank", [0, 2])
def test_a_trained_adapter_follows_its_control_clip_and_the_model_stays_as_it_was(backbone, tmp_path, rank) -> None:
    before = weights(backbone.transformer)
    adapter = train(tmp_path, backbone, new(backbone, rank), steps=60, dropout=0.0)
    assert same(before, weights(backbone.transformer))
    batch = next(batches(1000))
    clip, control = batch["latents"], batch["control"]
    right = error_with(backbone, adapter, control, clip)
    untold = error_with(backbone, new(backbone, rank), control, clip)
    wrong = error_with(backbone, adapter, control.roll(1, 0), clip)
    assert right < 0.8 * untold
    assert right < 0.8 * wrong


@pytest.mark.parametrize("kind", ["2b", "5b"])
def test_a_killed_run_ends_where_an_undisturbed_one_does(models, tmp_path, kind) -> None:
    def fresh():
        return load_backbone(str(models[kind]), device="cpu", dtype="float32")

    whole = train(tmp_path / "whole", fresh(), steps=4)
    with pytest.raises(StopIteration):
        train(tmp_path / "killed", fresh(), steps=4, given=lambda start: islice(batches(start), 3))
    resumed = train(tmp_path / "killed", fresh(), steps=4)
    assert same(weights(whole), weights(resumed))
    log = [json.loads(line) for line in (tmp_path / "killed" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in log] == [0, 3]


def test_parts_of_a_batch_computed_one_by_one_teach_what_the_batch_does(models, tmp_path) -> None:
    def after(folder: str, **changes):
        backbone = load_backbone(str(models["2b"]), device="cpu", dtype="float32")
        adapter = train(tmp_path / folder, backbone, steps=1, decay=0.0, **changes)
        return adapter.proj.weight.detach()

    together, apart = after("together"), after("apart", at_once=1)
    moved, differ = float(together.abs().sum()), float((together - apart).abs().sum())
    assert moved > 0
    assert differ < 0.2 * moved  # bfloat16 rounds them differently, and Adam's first step is a sign


def test_computing_activations_twice_teaches_the_same(models, tmp_path) -> None:
    plain = load_backbone(str(models["2b"]), device="cpu", dtype="float32")
    sparing = load_backbone(str(models["2b"]), device="cpu", dtype="float32")
    sparing.transformer.enable_gradient_checkpointing()
    some, others = train(tmp_path / "plain", plain), train(tmp_path / "sparing", sparing)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(weights(some), weights(others), strict=True))
    assert any(bool(weight.any()) for weight in weights(some))


def test_cells_that_do_not_count_teach_nothing(backbone, tmp_path) -> None:
    def unimportant(start: int):
        for batch in batches(start):
            yield batch | {"importance": torch.zeros(4, 5, 1, 8, 8)}

    adapter = train(tmp_path, backbone, given=unimportant)
    assert same(weights(adapter), weights(new(backbone)))


def test_a_step_may_compute_some_latent_frames_alone(backbone, models, tmp_path) -> None:
    assert not same(weights(train(tmp_path / "some", backbone, frames=3)), weights(new(backbone)))
    rotary = load_backbone(str(models["5b"]), device="cpu", dtype="float32")
    with pytest.raises(InputError, match="rotary"):
        train(tmp_path / "rotary", rotary, frames=3)


def test_a_run_is_not_shortened_afterwards(backbone, tmp_path) -> None:
    train(tmp_path, backbone, steps=3)
    with pytest.raises(InputError, match="3 steps already"):
        train(tmp_path, backbone, steps=2)


def test_models_that_cannot_be_taught_are_refused(models, backbone, tmp_path) -> None:
    other = load_backbone(str(build_model(tmp_path / "eps", channels=4, prediction="epsilon")), device="cpu")
    with pytest.raises(InputError, match="v_prediction"):
        train(tmp_path / "run", other)
    wide = load_backbone(str(build_model(tmp_path / "wide", channels=8)), device="cpu")
    with pytest.raises(InputError, match="was made for channels 4; expected channels 8"):
        train(tmp_path / "run", wide, new(backbone))


def test_a_loss_that_is_no_number_stops_the_run_before_it_spoils_a_checkpoint(backbone, tmp_path) -> None:
    broken = FrozenPrompts({prompt: value * float("nan") for prompt, value in frozen(backbone).embeds.items()})
    with pytest.raises(MPVGError, match="loss is nan in step 1"):
        train(tmp_path, backbone, prompts=broken, save_every=1)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_every_wrong_number_of_a_recipe_is_named() -> None:
    with pytest.raises(InputError) as caught:
        Recipe(steps=0, lr=-1.0, batch=0, at_once=0, dropout=2.0, noise=-1.0, gamma=0.0, decay=1.0, frames=-1)
    assert len(caught.value.problems) == 9


# ---------------------------------------------------------------------------------------------------- from a data set


STORY = """
title: Two clips
fps: 8
size: [64, 64]
shots:
  - {name: scene 001, prompt: Actor 1 is running on the snow., frames: 35}
  - {name: scene 002, prompt: Actor 1 is dancing on the moon., frames: 9}
  - {name: scene 003, prompt: Actor 1 is dancing on the moon., frames: 5}
"""


@pytest.fixture
def data(tmp_path) -> Path:
    """Clips of 35, 9 and 5 frames with a bright square on black."""
    home = tmp_path / "set" / "stories" / "a-0123"
    home.mkdir(parents=True)
    for number, frames in ((1, 35), (2, 9), (3, 5)):
        clip = np.zeros((frames, 64, 64, 3), np.uint8)
        clip[:, 16:48, 16:48] = 220
        with VideoWriter(home / f"scene-{number:03}.mp4", width=64, height=64, fps=8) as writer:
            writer.write(clip)
    (home / "story.yaml").write_text(STORY, "utf-8")
    videos = [{"source": "a.mov", "folder": "stories/a-0123", "stories": ["story.yaml"]}]
    manifest = {"version": 1, "layout": "scenes", "videos": videos}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(manifest), "utf-8")
    return tmp_path / "set"


def test_clips_are_cut_into_pieces_and_encoded_with_their_structure_once(data, models, backbone, tmp_path) -> None:
    limits, cache = model_limits(str(models["2b"])), tmp_path / "cache"
    lessons = plan_structures(data, limits, cache, backbone.fingerprint, "canny")
    assert [(lesson.start, lesson.end) for lesson in lessons] == [(0, 17), (17, 34), (0, 9)]
    calls = []

    def structure(frames):
        calls.append(len(frames))
        return canny_clip(frames)

    encode_structures(lessons, backbone, structure)
    encode_structures(lessons, backbone, structure)
    assert calls == [17, 17, 9]
    other = plan_structures(data, limits, cache, backbone.fingerprint, "canny 50 100")
    assert not {lesson.file for lesson in lessons} & {lesson.file for lesson in other}
    batch = next(StructureBatches(lessons, 3, seed=0)(4))
    assert batch["latents"].shape == batch["control"].shape
    assert not torch.allclose(batch["latents"], batch["control"], atol=1e-2)
    again = next(StructureBatches(lessons, 3, seed=0)(4))
    assert torch.equal(batch["control"], again["control"]) and batch["prompts"] == again["prompts"]
    adapter = train(
        tmp_path / "run",
        backbone,
        prompts=FrozenPrompts.read(backbone, {lesson.prompt for lesson in lessons}),
        given=StructureBatches(lessons, 3, seed=0),
    )
    assert bool(adapter.proj.weight.any())


def test_clips_that_the_model_cannot_take_are_all_named(data, models, tmp_path) -> None:
    file = data / "stories" / "a-0123" / "story.yaml"
    file.write_text(STORY.replace("fps: 8", "fps: 24").replace("dancing on the moon", "dancing on Venus"), "utf-8")
    with pytest.raises(InputError) as caught:
        plan_structures(data, model_limits(str(models["2b"])), tmp_path, "x", "canny")
    said = str(caught.value)
    assert said.count("24 frames a second; expected 8, as the model films; build with --fps 8") == 3
    assert said.count("the model does not know Venus") == 2
