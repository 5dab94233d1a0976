"""From a model that the recipe exported back to checkpoints, so that its training can go on where it stopped.

Weights come in half precision and averaged over the last steps. What no model needs (the optimisers' memory, the
readers that training alone uses) starts anew, so that the first steps are a little worse than the last ones were.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from ..backbone.construct import new_vae
from ..backbone.folder import ADAPTER_FILE
from ..history.adapter import load_adapter
from . import autoencoder, base, history

BASIS_FILE, STEPS_FILE, LOGS = "basis.safetensors", "steps.json", "logs"
PIECES = ("base", "autoencoder", "history")
_TRANSFORMER, _TEXT_ENCODER, _VAE = (
    "transformer/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
)


def unpack(model: Path, runs: Path) -> None:
    """A checkpoint of each piece in `runs`, which must hold none yet, with the basis and the logs.

    Raises FileExistsError rather than replace a checkpoint.
    """
    steps = json.loads((model / LOGS / STEPS_FILE).read_text(encoding="utf-8"))
    for piece in PIECES:
        if (runs / piece / "checkpoint.pt").exists():
            raise FileExistsError(f"{runs / piece} has a checkpoint: name another folder with --runs")
        (runs / piece).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model / LOGS / f"{piece}.jsonl", runs / piece / "log.jsonl")
    shutil.copyfile(model / BASIS_FILE, runs / BASIS_FILE)
    modules = base.new_base()
    _load(modules["transformer"], model / _TRANSFORMER)
    _load(modules["text_encoder"], model / _TEXT_ENCODER)
    base.open_run(runs / "base", modules).save(steps["base"])
    vae = new_vae(autoencoder.VAE)
    _load(vae, model / _VAE)
    autoencoder.open_run(runs / "autoencoder", {"vae": vae}).save(steps["autoencoder"])
    adapter = load_adapter(model / ADAPTER_FILE).requires_grad_(True)
    history.open_run(runs / "history", adapter, history.Probes())[0].save(steps["history"])


def _load(module: nn.Module, file: Path) -> None:
    """The module's weights from the file, at full precision; a file that lacks one is an error."""
    held = {key: value.float() for key, value in load_file(file).items()}
    wanted = {name for name, _ in module.named_parameters()}  # each once: tied weights are stored once
    if missing := wanted - held.keys():
        raise KeyError(f"{file} lacks {', '.join(sorted(missing))}")
    module.load_state_dict(held, strict=False)
