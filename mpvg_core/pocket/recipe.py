"""The recipe: everything the pocket model is, trained from nothing, in pieces that resume after a kill.

    python -m mpvg_core.pocket.recipe all|basis|base|autoencoder|history|export|unpack [--runs DIR] [--steps N] …

`base` and `autoencoder` need only the basis, so they may run side by side; `history` needs the base. `all` is `make
pocket`. `unpack` is for going on from a model that was exported: it turns its weights back into checkpoints.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ..backbone.construct import new_scheduler, new_vae, save_folder
from ..backbone.folder import ADAPTER_FILE, DEFAULTS_FILE
from ..history.adapter import save_adapter
from .autoencoder import VAE, train_autoencoder
from .base import SCHEDULER, new_base, tokenizer, train_base
from .batches import FIRST_TRAINING_SEED
from .history import Probes, new_adapter, story_space, train_history
from .latents import LatentBasis, fit_basis
from .unpack import BASIS_FILE, LOGS, PIECES, STEPS_FILE, unpack
from .world import draw_scene, draw_story

BASE_STEPS, AUTOENCODER_STEPS, SEEING_STEPS, HISTORY_STEPS = 9500, 1120, 500, 1300
BASIS_CLIPS = 400
DEFAULTS = {"steps": 16, "text_scale": 1.0, "history_scale": 4.0, "history_interval": [0.0, 0.7], "scheduler": "dpm"}


def load_basis(runs: Path) -> LatentBasis:
    """The latent space of this run: fitted once, then read from the runs' folder."""
    file = runs / BASIS_FILE
    if not file.exists():
        runs.mkdir(parents=True, exist_ok=True)
        seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + BASIS_CLIPS)
        clips = np.stack([draw_scene(draw_story(seed, shots=1).scenes[0]) for seed in seeds])
        save_file(fit_basis(clips).state(), file)
    return LatentBasis(**load_file(file))


def averaged_base(runs: Path) -> dict[str, nn.Module]:
    """Transformer and text encoder of the base run's newest checkpoint, averaged over its steps."""
    modules = new_base()
    del modules["reader"]
    return _averaged(modules, runs / "base")


def _averaged(modules: dict[str, nn.Module], folder: Path) -> dict[str, nn.Module]:
    average = torch.load(folder / "checkpoint.pt", weights_only=True)["average"]
    with torch.no_grad():
        for name, module in modules.items():
            for key, parameter in module.named_parameters():
                parameter.copy_(average[name][key])
    return modules


def export(runs: Path, out: Path) -> None:
    """Writes the model's folder from the newest checkpoints, with their logs; the adapter only if it is trained."""
    base = averaged_base(runs)
    vae = _averaged({"vae": new_vae(VAE)}, runs / "autoencoder")["vae"]
    save_folder(out, vae=vae, tokenizer=tokenizer(), scheduler=new_scheduler(SCHEDULER), **base)
    (out / LOGS).mkdir(exist_ok=True)
    steps = {}
    for piece in PIECES:
        if (runs / piece / "checkpoint.pt").exists():
            steps[piece] = torch.load(runs / piece / "checkpoint.pt", weights_only=True)["step"]
            shutil.copyfile(runs / piece / "log.jsonl", out / LOGS / f"{piece}.jsonl")
    (out / LOGS / STEPS_FILE).write_text(json.dumps(steps) + "\n", encoding="utf-8")
    shutil.copyfile(runs / BASIS_FILE, out / BASIS_FILE)
    (out / DEFAULTS_FILE).write_text(json.dumps(DEFAULTS, indent=2) + "\n", encoding="utf-8")
    if (runs / "history" / "checkpoint.pt").exists():
        adapter = new_adapter(*story_space(base["text_encoder"]))
        _averaged({"adapter": adapter, "probes": Probes()}, runs / "history")
        save_adapter(adapter, out / ADAPTER_FILE, recipe="mpvg_core.pocket.recipe")


def train(piece: str, runs: Path, *, steps: int | None, workers: int, device: torch.device) -> None:
    """One piece to its end, from wherever it stands; `steps` in all, if not the recipe's own."""
    basis = load_basis(runs)
    if piece == "base":
        train_base(runs / piece, basis, steps=steps or BASE_STEPS, workers=workers, device=device)
    elif piece == "autoencoder":
        train_autoencoder(runs / piece, basis, steps=steps or AUTOENCODER_STEPS, device=device)
    elif piece == "history":
        train_history(
            runs / piece,
            averaged_base(runs),
            basis,
            seeing_steps=SEEING_STEPS,
            steps=steps or HISTORY_STEPS,
            workers=workers,
            device=device,
        )


def train_all(runs: Path, *, workers: int, device: torch.device) -> None:
    """Everything from nothing, or from where it stopped: the autoencoder in a process of its own beside the base."""
    load_basis(runs)
    threads = torch.get_num_threads()
    beside = multiprocessing.get_context("spawn").Process(target=_train_beside, args=("autoencoder", runs, device))
    beside.start()
    try:
        torch.set_num_threads(max(1, threads - 1))
        train("base", runs, steps=None, workers=workers, device=device)
        beside.join()
    finally:
        beside.terminate()
    if beside.exitcode:
        raise SystemExit("the autoencoder's training failed: see above; what it had reached is kept")
    torch.set_num_threads(threads)
    train("history", runs, steps=None, workers=workers, device=device)


def _train_beside(piece: str, runs: Path, device: torch.device) -> None:
    torch.set_num_threads(1)
    train(piece, runs, steps=None, workers=0, device=device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("piece", choices=["basis", "base", "autoencoder", "history", "export", "unpack", "all"])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="checkpoints and logs")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "weights", help="of export, and read by unpack"
    )
    parser.add_argument("--steps", type=int, help="of one piece, in all, those before a resume included")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runs, device = options.runs, torch.device(options.device)
    if options.piece == "unpack":
        unpack(options.out, runs)
    elif options.piece == "basis":
        load_basis(runs)
    elif options.piece == "all":
        train_all(runs, workers=options.workers, device=device)
    elif options.piece != "export":
        train(options.piece, runs, steps=options.steps, workers=options.workers, device=device)
    if options.piece in ("all", "export"):
        export(runs, options.out)


if __name__ == "__main__":
    main()
