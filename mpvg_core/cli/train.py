"""`mpvg train`: teach a model when to cut; keep a clip's motion; follow structure; see earlier shots."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, Problem
from .adapters import control, cross_shot
from .bench import Device, Threads
from .board import Model
from .one_shot import one_shot
from .outcome import with_exit_codes
from .progress import Bar

if TYPE_CHECKING:
    from ..backbone.cogvideox import CogVideoXBackbone
    from ..training.transitions import Recipe

app = typer.Typer(help="Train a model further.", no_args_is_help=True)
app.command("one-shot")(one_shot)
app.command("control")(control)
app.command("cross-shot")(cross_shot)

TOY = "toy"
_LARGE = 2**30  # bytes of weights from which on activations are computed twice rather than kept


@app.callback()
def _group() -> None:
    """Train a model further."""


@app.command("transitions")
@with_exit_codes
def transitions(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new model; its run is kept in DIR/run.")],
    model: Model = "pocket",
    data: Annotated[
        str,
        typer.Option(
            metavar="toy|DIR",
            help="Endless clips of the pocket's world, or a data set of `mpvg dataset build --layout transitions`.",
        ),
    ] = TOY,
    steps: Annotated[int, typer.Option(help="Steps in all, those before a resume included.")] = 2000,
    lr: Annotated[float, typer.Option(help="Learning rate, constant.")] = 1e-4,
    batch: Annotated[int, typer.Option(help="Clips a step.")] = 16,
    at_once: Annotated[
        int | None, typer.Option(help="Clips computed at a time; fewer need less memory.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    gamma: Annotated[float, typer.Option(help="SNR beyond which moments of little noise stop counting more.")] = 5.0,
    weighting: Annotated[
        str, typer.Option(metavar="terminal|plain", help="min-SNR with pure noise at full weight, or as published.")
    ] = "terminal",
    decay: Annotated[float, typer.Option(help="Of the moving average of the weights.")] = 0.998,
    frames: Annotated[int, typer.Option(help="Latent frames that a step computes; 0: all (2b and pocket only).")] = 0,
    layers: Annotated[
        str, typer.Option(metavar="all|attention", help="What learns; attention alone needs less memory.")
    ] = "all",
    recompute: Annotated[
        bool | None,
        typer.Option(help="Compute activations twice instead of keeping them.", show_default="for models over 1 GiB"),
    ] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw toy clips beside the training.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Post-train MODEL on clips with a scene transition, so that it cuts when its prompt wants a cut.

    Run it again to go on after a stop, or with more --steps. The result is a model folder for --model; the history
    adapter of the old model does not come along.
    """
    import torch

    from ..backbone.load import load_backbone
    from ..backbone.memory import weight_bytes
    from ..training.result import write_model
    from ..training.transitions import FrozenPrompts, Recipe, train_transitions

    recipe = Recipe(
        steps=steps,
        lr=lr,
        batch=batch,
        at_once=at_once,
        seed=seed,
        gamma=gamma,
        weighting=weighting,  # type: ignore[arg-type]
        decay=decay,
        frames=frames,
        save_every=save_every,
    )
    if layers not in ("all", "attention"):
        raise InputError(Problem("--layers", f"{layers!r} is unknown", "all or attention"))
    if threads is not None:
        torch.set_num_threads(threads)
    if data == TOY:
        backbone = load_backbone(model, device=device, dtype="float32")
        _keep_settings(out, recipe, backbone, data=data, layers=layers)
        prompts, batches = _toy(backbone, recipe, out / "run", workers)
    else:
        lessons, frozen = _lessons(model, device, Path(data), out / "run")
        from ..training.footage import LessonBatches

        backbone = load_backbone(model, device=device, dtype="float32")
        _keep_settings(out, recipe, backbone, data=str(Path(data).resolve()), layers=layers)
        prompts, batches = FrozenPrompts(frozen), LessonBatches(lessons, recipe.batch, seed=recipe.seed)
    if backbone.streamed:
        remedy = "free memory on it, or train on a larger GPU"
        raise InputError(Problem("--device", f"model {backbone.name!r} in float32 does not fit the GPU", remedy=remedy))
    transformer: Any = backbone.transformer
    for name, parameter in transformer.named_parameters():
        parameter.requires_grad_(layers == "all" or ".attn1." in name)
    if recompute or (recompute is None and weight_bytes(transformer) > _LARGE):
        transformer.enable_gradient_checkpointing()
    with Bar("training", "loss") as advance:
        trained = train_transitions(
            out / "run",
            backbone,
            prompts,
            batches,
            recipe,
            report=lambda now: advance(now.step, now.steps, f"loss {now.loss:.4f}"),
        )
    typer.echo(str(write_model(out, backbone.folder, trained)))


def _toy(backbone: CogVideoXBackbone, recipe: Recipe, run: Path, workers: int) -> tuple[Any, Any]:
    """Endless clips of the pocket's world, and its text encoder, which learns along: the pocket's knows only sentences
    of one scene."""
    import torch
    from safetensors.torch import load_file, save_file

    from ..backbone.text import load_text_encoder
    from ..backbone.tokens import PAD
    from ..film.durable import written_whole
    from ..pocket.latents import LatentBasis
    from ..pocket.transitions import CutBatches, measured_basis, require_words
    from ..training.transitions import LearningPrompts

    require_words(backbone)
    file = run / "basis.safetensors"
    if not file.exists():
        run.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as temporary:
            save_file(measured_basis(backbone).state(), temporary)
    basis = LatentBasis(**load_file(file))
    words, length = backbone.folder.words(), backbone.text_length

    def ids(prompt: str) -> torch.Tensor:
        found = words.ids(prompt)
        return torch.tensor(found + [PAD] * (length - len(found)))

    encoder = load_text_encoder(backbone.folder).to(backbone.device)
    return (
        LearningPrompts(encoder, ids, backbone.text_width),
        lambda start: CutBatches(basis, recipe.batch, seed=recipe.seed, skip=start).ahead(workers),
    )


def _lessons(model: str, device: str, data: Path, run: Path) -> tuple[Any, dict[str, Any]]:
    """The data set's lessons, encoded, and the embeddings of their prompts; the model is loaded for that in the
    precision in which it films, and only as far as something is missing."""
    from safetensors.torch import load_file

    from ..backbone.folder import find_model
    from ..backbone.load import load_backbone
    from ..training.footage import encode_lessons, plan_lessons
    from ..training.transitions import FrozenPrompts

    folder = find_model(model)
    lessons = plan_lessons(data, folder.limits(), run / "latents", folder.fingerprint())
    wanted = dict.fromkeys(lesson.prompt for lesson in lessons)
    file = run / "prompts.safetensors"
    known = load_file(file) if file.exists() else {}
    if known.keys() >= wanted.keys() and all(lesson.file.exists() for lesson in lessons):
        return lessons, known
    backbone = load_backbone(model, device=device)
    with Bar("encoding clips", "") as advance:
        encode_lessons(lessons, backbone, lambda done, of: advance(done, of, ""))
    read = FrozenPrompts.read(backbone, wanted).embeds
    _save_embeds(read, file)
    return lessons, dict(read)


def _save_embeds(embeds: Any, file: Path) -> None:
    from safetensors.torch import save_file

    from ..film.durable import written_whole

    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as temporary:
        save_file({prompt: tensor.contiguous() for prompt, tensor in embeds.items()}, temporary)


def _keep_settings(out: Path, recipe: Recipe, backbone: CogVideoXBackbone, **others: str) -> None:
    from ..training.settings import keep_settings

    now = asdict(recipe) | {"model": backbone.name, "fingerprint": backbone.fingerprint} | others
    keep_settings(out / "run", now, free={"steps", "save_every", "at_once"})
