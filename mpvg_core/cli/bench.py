"""`mpvg bench history|methods|transitions` and `mpvg pocket evaluate`: figures that anyone can measure again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .board import Model
from .outcome import with_exit_codes

if TYPE_CHECKING:
    from ..backbone.folder import ModelDefaults
    from ..pocket.bench import Bench

app = typer.Typer(
    help="Measure a model: what it remembers, what each method changes, when it cuts.", no_args_is_help=True
)
pocket = typer.Typer(help="The embedded pocket model.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(metavar="DIR", help="Where table, sheets and JSON go.")]
Adapter = Annotated[Path | None, typer.Option(metavar="FILE", help="The history adapter; by default the model's own.")]
Actors = Annotated[int, typer.Option(min=2, help="Actors behind each figure.")]
LongShots = Annotated[int, typer.Option(min=2, max=16, help="Shots of the long films (a trial may take fewer).")]
EVERY_PART = "pairs,ways,sweep,long"
Parts = Annotated[
    str, typer.Option(metavar="NAME,…", help="What is filmed: some of pairs, ways, sweep, long (docs/pocket.md).")
]
Steps = Annotated[int | None, typer.Option(help="Denoising steps a shot.")]
TextScale = Annotated[float | None, typer.Option(help="How strongly the prompt pulls (w1).")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ddim|dpm", help="The noise scheduler; by default the model's own.")
]
HistoryScale = Annotated[float | None, typer.Option(help="How strongly the earlier shots pull (w2).")]
Dtype = Annotated[str, typer.Option(help="auto, float32 or bfloat16 (twice as fast on many CPUs).")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; by default torch's own choice.")]


@app.command("history")
@with_exit_codes
def history(
    context: typer.Context,
    model: Model = "pocket",
    adapter: Adapter = None,
    out: Out = Path("out/bench-history"),
    actors: Actors = 200,
    long_shots: LongShots = 16,
    parts: Parts = EVERY_PART,
    steps: Steps = None,
    text_scale: TextScale = None,
    history_scale: HistoryScale = None,
    scheduler: Scheduler = None,
    dtype: Dtype = "auto",
    threads: Threads = None,
) -> None:
    """Film held-out stories of the toy world, with history and in every other way, and read the pictures."""
    from ..pocket.report import table

    defaults = _defaults(model, steps, text_scale, history_scale, scheduler)
    bench = _measured(model, adapter, out, actors, long_shots, parts, defaults, dtype, threads)
    typer.echo(table(bench.rows))


@app.command("transitions")
@with_exit_codes
def transitions(
    context: typer.Context,
    model: Model = "pocket",
    tuned: Annotated[Path | None, typer.Option(metavar="DIR", help="The same model after post-training.")] = None,
    out: Out = Path("out/bench-transitions"),
    prompts: Annotated[int, typer.Option(min=2, help="Held-out prompts a group.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="Clips a prompt.")] = 3,
    steps: Steps = None,
    text_scale: TextScale = None,
    threshold: Annotated[float, typer.Option(help="V_t from which on a frame begins a new scene.")] = 27.0,
    min_frames: Annotated[int, typer.Option(min=1, help="Least frames from one cut to the next.")] = 4,
    dtype: Dtype = "auto",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Count the segments of clips for prompts that want a cut and that want none, before and after post-training."""
    import torch

    from ..backbone.load import load_backbone
    from ..diffusion.guidance import HistoryGuidance
    from ..evaluate.cuts import CutSettings
    from ..pocket.transition_bench import bench_prompts, group_row, known_clips, run_bench
    from ..pocket.transition_report import known_line, table, write_report
    from ..pocket.transitions import measured_basis, require_words

    if threads is not None:
        torch.set_num_threads(threads)
    models = {"before": load_backbone(model, device=device, dtype=dtype)}
    if tuned is not None:
        models["after"] = load_backbone(str(tuned), device=device, dtype=dtype)
    for backbone in models.values():
        require_words(backbone)
    settings = CutSettings(threshold=threshold, min_frames=min_frames)
    defaults = models["before"].folder.defaults()
    guidance = HistoryGuidance(defaults.text_scale if text_scale is None else text_scale, 0.0)
    steps = defaults.steps if steps is None else steps
    with torch.no_grad():
        known = known_clips(models["before"], measured_basis(models["before"]), settings)
    note = known_line(models["before"].name, known, threshold, min_frames)
    typer.echo(note, err=True)
    clips = run_bench(
        models,
        bench_prompts(prompts),
        range(seeds),
        guidance,
        steps,
        settings,
        report=lambda name: typer.echo(f"filming: {name}", err=True),
    )
    rows = {name: {group: group_row(made) for group, made in groups.items()} for name, groups in clips.items()}
    about = {
        "models": {name: {"name": b.name, "fingerprint": b.fingerprint} for name, b in models.items()},
        "prompts": prompts,
        "seeds": seeds,
        "steps": steps,
        "text_scale": guidance.text_scale,
        "dtype": str(models["before"].dtype).removeprefix("torch."),
        "detector": asdict(settings),
        "known_clips": asdict(known),
    }
    for file in write_report(rows, clips, [note], about, out):
        typer.echo(str(file), err=True)
    typer.echo(table(rows))
    typer.echo(f"\n{note}")


@app.command("methods")
@with_exit_codes
def methods(
    context: typer.Context,
    model: Model = "pocket",
    out: Out = Path("out/bench-methods"),
    seeds: Annotated[int, typer.Option(min=2, help="Boards a method, each filmed without it and with it.")] = 8,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="These methods alone; the others in DIR stay as they are.")
    ] = None,
    first_seed: Annotated[
        int | None, typer.Option(min=0, help="The first board's seed, for boards that no setting was chosen by.")
    ] = None,
    steps: Steps = None,
    text_scale: TextScale = None,
    scheduler: Scheduler = None,
    dtype: Dtype = "auto",
    threads: Threads = None,
) -> None:
    """Film toy storyboards without and with each method, and read what it changes.

    Methods that are trained need what they learned beside the model; the table says which are missing. Without --only
    the memory of a long shot is measured too.
    """
    import torch

    from ..backbone.load import load_backbone
    from ..diffusion.guidance import HistoryGuidance
    from ..errors import InputError, Problem
    from ..film.durable import sha256_file
    from ..film.settings import FilmSettings
    from ..history.adapter import load_adapter
    from ..pocket.method_bench import FIRST_SEED, TRIALS, run_methods
    from ..pocket.method_memory import footprints, memory_table
    from ..pocket.method_report import earlier_rows, methods_table, rows_of, write_methods

    names = [trial.name for trial in TRIALS]
    wanted = names if only is None else [name.strip() for name in only.split(",")]
    if unknown := [name for name in wanted if name not in names]:
        raise InputError(Problem("--only", f"there is no method {unknown[0]!r}", f"some of {', '.join(names)}"))
    if threads is not None:
        torch.set_num_threads(threads)
    backbone = load_backbone(model, dtype=dtype)
    how = _defaults(model, steps, text_scale, scheduler=scheduler)
    settings = FilmSettings(steps=how.steps, guidance=HistoryGuidance(**how.guidance()), scheduler=how.scheduler)
    about = {"model": backbone.name, "fingerprint": backbone.fingerprint, "seeds": seeds, **asdict(how)}
    first = FIRST_SEED if first_seed is None else first_seed
    about |= {"first_seed": first, "dtype": str(backbone.dtype).removeprefix("torch.")}
    learned = {path.name for path in [backbone.folder.adapter] if path} | {
        trial.needs for trial in TRIALS if trial.needs
    }
    about["adapters"] = {name: sha256_file(path)[:16] for name in sorted(learned) if (path := backbone.companion(name))}
    earlier, memory = ({}, []) if only is None else earlier_rows(out, about)
    path = backbone.folder.adapter
    found = run_methods(
        backbone,
        settings,
        adapter=load_adapter(path) if path is not None else None,
        seeds=seeds,
        first_seed=first,
        trials=[trial for trial in TRIALS if trial.name in wanted],
        report=lambda name: typer.echo(f"filming: {name}", err=True),
    )
    memory = footprints(backbone, settings) if only is None else memory
    for file in write_methods(found, out, about, memory, earlier):
        typer.echo(str(file), err=True)
    typer.echo(methods_table(rows_of(found)))
    if only is None:
        typer.echo(f"\n{memory_table(memory)}")


@pocket.command("evaluate")
@with_exit_codes
def evaluate(
    context: typer.Context,
    out: Out = Path("out/pocket-evaluate"),
    actors: Actors = 200,
    long_shots: LongShots = 16,
    dtype: Dtype = "auto",
    threads: Threads = None,
) -> None:
    """The pocket's promises: each figure against what it is to reach, and how sharp the autoencoder is."""
    import torch

    from ..backbone.load import load_backbone
    from ..pocket.evaluate import judged
    from ..pocket.sharpness import reconstruction_psnr

    how = _defaults("pocket")
    bench = _measured("pocket", None, out, actors, long_shots, EVERY_PART, how, dtype, threads)
    typer.echo(judged(bench.rows))
    with torch.no_grad():
        decibels = reconstruction_psnr(load_backbone("pocket", device="cpu", dtype="float32").vae)
    typer.echo(f"\nAutoencoder, encoded and decoded, {decibels.n} held-out clips: {decibels.mean:.1f} dB")


def _defaults(
    model: str,
    steps: int | None = None,
    text_scale: float | None = None,
    history_scale: float | None = None,
    scheduler: str | None = None,
) -> ModelDefaults:
    """How a model films: as it does best, but for what is said otherwise."""
    from ..backbone.folder import find_model

    return (
        find_model(model)
        .defaults()
        .told(steps=steps, text_scale=text_scale, history_scale=history_scale, scheduler=scheduler)
    )


def _measured(
    model: str,
    adapter: Path | None,
    out: Path,
    actors: int,
    long_shots: int,
    parts: str,
    how: ModelDefaults,
    dtype: str,
    threads: int | None,
) -> Bench:
    import torch

    from ..backbone.load import load_backbone
    from ..diffusion.guidance import HistoryGuidance
    from ..errors import InputError, Problem
    from ..history.adapter import load_adapter, require_fit
    from ..pocket.bench import PARTS, run_bench
    from ..pocket.filming import Studio
    from ..pocket.report import write_report

    chosen = [part.strip() for part in parts.split(",")]
    if unknown := [part for part in chosen if part not in PARTS]:
        raise InputError(Problem("--parts", f"there is no part {unknown[0]!r}", f"some of {', '.join(PARTS)}"))
    if threads is not None:
        torch.set_num_threads(threads)
    backbone = load_backbone(model, dtype=dtype)
    path = adapter or backbone.folder.adapter
    if path is None:
        raise InputError(Problem(model, "has no history adapter", "one to measure", "name it with --adapter"))
    if not path.is_file():
        raise InputError(Problem("--adapter", f"{path} is not there", "a history adapter's safetensors file"))
    remembering = load_adapter(path)
    limits = backbone.limits()
    require_fit(
        remembering,
        text_dim=backbone.transformer.config.text_embed_dim,
        max_tokens=limits.max_tokens,
        transformer=backbone.transformer,
        path=str(path),
    )
    bench = run_bench(
        Studio(backbone, remembering),
        HistoryGuidance(**how.guidance()),
        how.steps,
        scheduler=how.scheduler,
        actors=actors,
        long_shots=long_shots,
        parts=chosen,
        report=lambda name: typer.echo(f"filming: {name}", err=True),
    )
    settings = {
        "model": backbone.name,
        "fingerprint": backbone.fingerprint,
        "adapter": remembering.fingerprint,
        **asdict(how),
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "actors": actors,
        "long_shots": long_shots,
        "parts": chosen,
    }
    for file in write_report(bench, out, settings):
        typer.echo(str(file), err=True)
    return bench
