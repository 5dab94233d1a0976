"""`mpvg train one-shot`: learn one clip's motion, to film other prompts with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, Problem
from .bench import Device, Threads
from .board import Model
from .outcome import with_exit_codes
from .progress import Bar

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbone.cogvideox import CogVideoXBackbone

_LARGE = 2**30  # bytes of weights from which on activations are computed twice rather than kept


@with_exit_codes
def one_shot(
    context: typer.Context,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A video file; of a long one, windows all along it.")],
    prompt: Annotated[str, typer.Option(help="What the clip shows, in full: what it leaves out is learned along.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The tuning, .safetensors; its run is kept in FILE.run.")],
    model: Model = "pocket",
    steps: Annotated[int, typer.Option(help="Steps in all, those before a resume included.")] = 500,
    lr: Annotated[float, typer.Option(help="Learning rate, constant.")] = 1e-3,
    batch: Annotated[int, typer.Option(help="Windows of the clip a step.")] = 1,
    rank: Annotated[int, typer.Option(help="Of the additions: more learn more, of the clip's look too.")] = 16,
    projections: Annotated[
        str, typer.Option(metavar="NAMES", help="What of the attention learns: some of to_q,to_k,to_v,to_out.0.")
    ] = "to_q,to_k,to_v,to_out.0",
    tokens: Annotated[int, typer.Option(help="Tokens that stand for the clip in prompts; 0: none.")] = 1,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    recompute: Annotated[
        bool | None,
        typer.Option(help="Compute activations twice instead of keeping them.", show_default="for models over 1 GiB"),
    ] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 50,
    dtype: Annotated[str, typer.Option(help="Of the frozen model: auto, float32 or bfloat16.")] = "auto",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Tune MODEL on one CLIP, so that other prompts keep its motion. Needs the extra 'tuning' (peft).

    The model itself stays as it is: what is learned lies in FILE and is applied where it is wanted, at any strength.
    Run it again to go on after a stop, or with more --steps.
    """
    import torch

    from ..backbone.load import load_backbone
    from ..backbone.memory import weight_bytes
    from ..film.durable import sha256_file, written_whole
    from ..methods.one_shot import write_tuning
    from ..training.one_shot import TuningRecipe, tune_one_shot
    from ..training.settings import keep_settings

    if out.suffix != ".safetensors":
        raise InputError(Problem("--out", str(out), "a file name that ends in .safetensors"))
    names = tuple(name.strip() for name in projections.split(","))
    given = {"steps": steps, "lr": lr, "batch": batch, "rank": rank, "tokens": tokens, "seed": seed}
    recipe = TuningRecipe(**given, projections=names, save_every=save_every)  # type: ignore[arg-type]
    if threads is not None:
        torch.set_num_threads(threads)
    backbone = load_backbone(model, device=device, dtype=dtype)
    if backbone.streamed:
        remedy = "free memory on it, or train on a larger GPU"
        raise InputError(Problem("--device", f"model {backbone.name!r} does not fit the GPU", remedy=remedy))
    if recompute is None:
        recompute = weight_bytes(backbone.transformer) > _LARGE
    _require_readable(prompt, backbone)
    windows = _windows(clip, backbone)
    run = out.with_name(f"{out.name}.run")
    made = {"clip": sha256_file(clip), "prompt": prompt, "model": backbone.name, "fingerprint": backbone.fingerprint}
    keep_settings(run, asdict(recipe) | made, free={"steps", "save_every", "recompute"})
    recipe = TuningRecipe(**asdict(recipe) | {"recompute": recompute})
    with Bar("tuning", "loss") as advance:
        tuning = tune_one_shot(
            run,
            backbone,
            prompt,
            windows,
            recipe,
            report=lambda now: advance(now.step, now.steps, f"loss {now.loss:.4f}"),
        )
    with written_whole(out) as temporary:
        write_tuning(tuning, temporary)
    typer.echo(str(out))


def _require_readable(prompt: str, backbone: CogVideoXBackbone) -> None:
    limits = backbone.limits()
    problems = []
    if (tokens := limits.count_tokens(prompt)) > limits.max_tokens:
        problems.append(Problem("--prompt", f"{tokens} tokens", f"at most {limits.max_tokens}", "shorten it"))
    if limits.unknown_words and (unknown := limits.unknown_words(prompt)):
        problems.append(Problem("--prompt", f"the model does not know {', '.join(unknown)}", remedy="reword it"))
    if problems:
        raise InputError(problems)


def _windows(clip: Path, backbone: CogVideoXBackbone) -> Tensor:
    """Latents [K, F, C, h, w] of stretches as long as the model films, half overlapping; of a shorter clip, one."""
    import numpy as np
    import torch

    from ..film.footage import fit_footage
    from ..film.pictures import covering
    from ..film.reading import probe, read_pictures

    limits, rate = backbone.limits(), probe(clip).fps
    if not rate:
        raise InputError(Problem(str(clip), "tells no frame rate", "a video file with one", "encode it anew"))
    frames = np.stack([covering(frame, limits.width, limits.height) for frame in read_pictures(clip)])
    length = (limits.max_frames - 1) * rate / limits.fps + 1  # of a window, in frames of the file
    count = max(1, int((len(frames) - length) // (length / 2)) + 1)
    starts = [round(index * length / 2) for index in range(count)]
    windows = [fit_footage(frames[start:], limits, fps=rate) for start in starts]
    most = max(len(window) for window in windows)  # rounding may leave the last one shorter
    return torch.stack([backbone.encode_clip(window) for window in windows if len(window) == most])
