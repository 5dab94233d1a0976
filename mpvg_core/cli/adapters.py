"""`mpvg train control` and `mpvg train cross-shot`: adapters that a frozen model learns from footage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, Problem
from .bench import Device, Threads
from .board import Model
from .outcome import with_exit_codes
from .progress import Bar

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbone.cogvideox import CogVideoXBackbone
    from ..training.story_footage import StoryClip

_LARGE = 2**30  # bytes of weights from which on activations are computed twice rather than kept

Data = Annotated[Path, typer.Option(metavar="DIR", help="A data set of `mpvg dataset build`.")]
Out = Annotated[Path, typer.Option(metavar="FILE", help="The adapter, .safetensors; its run is kept in FILE.run.")]
Steps = Annotated[int, typer.Option(help="Steps in all, those before a resume included.")]
Rate = Annotated[float, typer.Option(help="Learning rate at its highest.")]
Seed = Annotated[int, typer.Option(help="Of what is drawn.")]
Recompute = Annotated[
    bool | None,
    typer.Option(help="Compute activations twice instead of keeping them.", show_default="for models over 1 GiB"),
]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")]


@with_exit_codes
def control(
    context: typer.Context,
    data: Data,
    out: Out,
    model: Model = "pocket",
    structure: Annotated[
        str,
        typer.Option(
            metavar="edges|NAME",
            help="What is to be followed: the clips' own edges, or the videos beside them, scene-001.NAME.mp4.",
        ),
    ] = "edges",
    steps: Steps = 2000,
    lr: Rate = 1e-3,
    batch: Annotated[int, typer.Option(help="Clips a step.")] = 8,
    at_once: Annotated[
        int | None, typer.Option(help="Clips computed at a time; fewer need less memory.", show_default="all")
    ] = None,
    rank: Annotated[int, typer.Option(min=0, help="Of the low-rank changes; 0: the patch embedding alone.")] = 8,
    dropout: Annotated[float, typer.Option(help="Share of the prompts that are empty.")] = 0.2,
    seed: Seed = 0,
    recompute: Recompute = None,
    save_every: SaveEvery = 100,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Teach MODEL to follow structure: edges, depth, poses, whatever a clip of it shows. The model itself stays as it
    is: what is learned lies in FILE, for `method: {control: {adapter: FILE}}`.

    Run it again to go on after a stop, or with more --steps.
    """
    import torch

    from ..film.durable import written_whole
    from ..methods.control_adapter import new_control_adapter, save_control_adapter
    from ..training.control import Recipe, train_control
    from ..training.settings import keep_settings
    from ..training.story_footage import ControlFootage
    from ..training.transitions import FrozenPrompts

    recipe = Recipe(steps=steps, lr=lr, batch=batch, at_once=at_once, seed=seed, dropout=dropout, save_every=save_every)
    run = _run_of(out, threads)
    stories, embeds = _footage(model, device, data, run, structure)
    backbone = _trainable(model, device, recompute)
    made = {"data": str(data.resolve()), "structure": structure, "rank": rank} | _model(backbone)
    keep_settings(run, asdict(recipe) | made, free={"steps", "save_every", "at_once"})
    torch.manual_seed(seed)
    adapter = new_control_adapter(backbone.transformer, rank=rank)
    with Bar("training", "loss") as advance:
        adapter = train_control(
            run,
            backbone,
            adapter,
            FrozenPrompts(embeds),
            ControlFootage(stories, batch, seed=seed),
            recipe,
            report=lambda now: advance(now.step, now.steps, f"loss {now.loss:.4f}"),
        )
    with written_whole(out) as temporary:
        save_control_adapter(
            adapter, temporary, recipe="mpvg train control", base=backbone.fingerprint, steps=steps, kinds=[structure]
        )
    typer.echo(str(out))


@with_exit_codes
def cross_shot(
    context: typer.Context,
    data: Data,
    out: Out,
    model: Model = "pocket",
    steps: Steps = 2000,
    lr: Rate = 1e-3,
    batch: Annotated[int, typer.Option(min=1, help="Shots of a story a step.")] = 4,
    seed: Seed = 0,
    recompute: Recompute = None,
    save_every: SaveEvery = 100,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Teach MODEL to see the same places in earlier shots of a story. The model itself stays as it is: what is learned
    lies in FILE, for `method: {cross_shot: {adapter: FILE}}`.

    Run it again to go on after a stop, or with more --steps.
    """
    import torch

    from ..film.durable import written_whole
    from ..methods.temporal_adapter import new_temporal_adapter, write_temporal_adapter
    from ..training.settings import keep_settings
    from ..training.story_footage import CrossShotFootage
    from ..training.temporal_adapter import AdapterRecipe, train_temporal_adapter

    recipe = AdapterRecipe(steps=steps, lr=lr, seed=seed, save_every=save_every)
    run = _run_of(out, threads)
    stories, embeds = _footage(model, device, data, run)
    backbone = _trainable(model, device, recompute)
    made = {"data": str(data.resolve()), "batch": batch} | _model(backbone)
    keep_settings(run, asdict(recipe) | made, free={"steps", "save_every"})
    torch.manual_seed(seed)
    adapter = new_temporal_adapter(backbone.transformer).to(backbone.device)
    lessons = CrossShotFootage(stories, embeds, adapter.per_clip, batch=batch, seed=seed)
    with Bar("training", "loss") as advance:
        adapter = train_temporal_adapter(
            run,
            backbone,
            adapter,
            lessons,
            embeds[""],
            recipe,
            report=lambda now: advance(now.step, now.steps, f"loss {now.loss:.4f}"),
        )
    adapter.trained |= {"recipe": "mpvg train cross-shot", "base": backbone.fingerprint, "batch": batch}
    with written_whole(out) as temporary:
        write_temporal_adapter(adapter, temporary)
    typer.echo(str(out))


def _run_of(out: Path, threads: int | None) -> Path:
    import torch

    if out.suffix != ".safetensors":
        raise InputError(Problem("--out", str(out), "a file name that ends in .safetensors"))
    if threads is not None:
        torch.set_num_threads(threads)
    return out.with_name(f"{out.name}.run")


def _footage(
    model: str, device: str, data: Path, run: Path, structure: str | None = None
) -> tuple[Sequence[Sequence[StoryClip]], Mapping[str, Tensor]]:
    """The data set's clips, encoded, and the embeddings of their prompts; the model is loaded for that in the precision
    in which it films, and only where something is missing."""
    from safetensors.torch import load_file, save_file

    from ..backbone.folder import find_model
    from ..backbone.load import load_backbone
    from ..film.durable import written_whole
    from ..training.story_footage import encode_stories, encoded, plan_stories
    from ..training.transitions import FrozenPrompts

    folder = find_model(model)
    stories = plan_stories(data, folder.limits(), run / "latents", folder.fingerprint(), structure=structure)
    wanted = dict.fromkeys(["", *(one.prompt for story in stories for one in story)])
    file = run / "prompts.safetensors"
    known = load_file(file) if file.exists() else {}
    if known.keys() >= wanted.keys() and encoded(stories):
        return stories, known
    backbone = load_backbone(model, device=device)
    with Bar("encoding clips", "") as advance:
        encode_stories(stories, backbone, lambda done, of: advance(done, of, ""))
    read = FrozenPrompts.read(backbone, wanted).embeds
    with written_whole(file) as temporary:
        save_file({prompt: tensor.contiguous() for prompt, tensor in read.items()}, temporary)
    return stories, read


def _trainable(model: str, device: str, recompute: bool | None) -> CogVideoXBackbone:
    from ..backbone.load import load_backbone
    from ..backbone.memory import weight_bytes

    backbone = load_backbone(model, device=device, dtype="float32")
    if backbone.streamed:
        remedy = "free memory on it, or train on a larger GPU"
        raise InputError(Problem("--device", f"model {backbone.name!r} in float32 does not fit the GPU", remedy=remedy))
    transformer: Any = backbone.transformer
    if recompute or (recompute is None and weight_bytes(transformer) > _LARGE):
        transformer.enable_gradient_checkpointing()
    return backbone


def _model(backbone: CogVideoXBackbone) -> dict[str, str]:
    return {"model": backbone.name, "fingerprint": backbone.fingerprint}
