"""One-shot tuning, applied: a model that was trained on one clip keeps its motion under new prompts.

The training (`training/one_shot.py`) leaves low-rank additions to some linear layers and a clip token: an embedding
that stands for the clip as a word would. Both enter by hooks for the time of a call; the model itself is not touched.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import linear

from ..diffusion.predict import Call
from ..errors import InputError, MPVGError, Problem
from .technique import Technique

FORMAT = "mpvg-one-shot/1"
NAME = "one-shot tuning"
# Names as diffusers' `load_lora_weights` knows them, so that other programs can use the low-rank part. It wants "lora"
# in every name, and passes over those that do not begin with "transformer.".
_LAYER = "transformer."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_TOKEN = "lora.clip_token"


@dataclass(frozen=True)
class LowRank:
    """What a linear layer gains: W x + B A x, down A [r, in] and up B [out, r] (LoRA, Hu et al. 2021; alpha = r)."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True)
class Tuning:
    """What was learned from one clip.

    layers: by their names in the transformer. token: [n, D_text], the clip as n tokens of text. trained: how it was
    made, plain JSON (prompt, model, steps, …). name: for messages.
    """

    layers: Mapping[str, LowRank]
    token: Tensor
    trained: Mapping[str, Any] = field(default_factory=dict)
    name: str = NAME

    @property
    def fingerprint(self) -> str:
        """A hash of the numbers and of where they belong, 16 hex digits."""
        digest = hashlib.sha256()
        for name, value in sorted(_tensors(self).items()):
            digest.update(f"{name}{list(value.shape)}".encode())
            digest.update(value.numpy().tobytes())
        return digest.hexdigest()[:16]


def one_shot(tuning: Tuning, strength: float = 1.0, *, scope: str | None = None) -> Technique:
    """The motion of the clip that `tuning` was trained on, under whatever prompt.

    strength s: each layer gives W x + s B A x, and the clip token goes from what it stands in for (s = 0) all the way
    to itself (s = 1). 0 is the stock model bit for bit; above 1 the layers exaggerate. scope: only for the part of the
    clip's predictions with this name ("w0" is the first window of co-denoising), so that each may have its own tuning.

    Every prediction has the layers, the token stands in positive prompts only: guidance then pulls towards the clip as
    it pulls towards a word. Of several tunings all layers count, and the last one's token. Raises InputError for a
    negative strength, and in use for a model that it does not fit.
    """
    if not (0.0 <= strength < math.inf):
        raise InputError(Problem("strength of the tuning", f"{strength}", "0 or more; 1 as it was trained"))
    if strength == 0.0:
        return Technique(NAME)

    @contextmanager
    def around(transformer: Any, call: Call) -> Iterator[None]:
        if scope is not None and scope not in call.scope.split():
            yield
            return
        told = [branch.text == "positive" for branch in call.branches]
        with tuned(transformer, tuning, strength, told):
            yield

    return Technique(NAME, around=around)


@contextmanager
def tuned(transformer: Any, tuning: Tuning, strength: float = 1.0, told: Sequence[bool] = (True,)) -> Iterator[None]:
    """Within the block `transformer` is tuned; afterwards, come what may, no hook is left.

    told: for each of the call's equal parts, in the order of its rows, whether the clip token stands in its text.
    Raises InputError for a transformer that has other layers.
    """
    require_fit(tuning, transformer)
    with ExitStack() as stack:
        for name, layer in tuning.layers.items():
            stack.callback(transformer.get_submodule(name).register_forward_hook(_adding(layer, strength)).remove)
        if any(told) and len(tuning.token):
            speak = _speaking(tuning.token, min(strength, 1.0), told)
            stack.callback(transformer.patch_embed.register_forward_pre_hook(speak).remove)
        yield


def with_token(text: Tensor, token: Tensor, share: float = 1.0) -> Tensor:
    """The clip token [n, D] as the last n tokens of texts [B, L, D]: (1 - share) of what stood there, `share` of it.

    A prompt ends in padding that CogVideoX attends to, and its text has no positions: one padding token less and the
    clip token more is the prompt with the clip token appended, at a length that every model takes.
    """
    last = text[:, -len(token) :]
    spoken = torch.lerp(last, token.to(text).expand_as(last), share)  # exact at both ends
    return torch.cat([text[:, : -len(token)], spoken], dim=1)


def require_fit(tuning: Tuning, transformer: Any) -> None:
    """Raises InputError where the tuning belongs to a model with other layers, or these are fused into others."""
    width = transformer.patch_embed.text_proj.in_features
    problems, remedy = [], "choose the model it was trained with"
    if tuning.token.shape[1] != width:
        what = f"its clip token has {tuning.token.shape[1]} numbers"
        problems.append(Problem(tuning.name, what, f"{width} for this model", remedy))
    modules = dict(transformer.named_modules())
    for name, layer in tuning.layers.items():
        found = modules.get(name)
        shape = (getattr(found, "out_features", None), getattr(found, "in_features", None))
        wanted = (len(layer.up), layer.down.shape[1])
        if shape != wanted:
            what = f"was trained for {name!r} of {wanted[1]} to {wanted[0]} numbers"
            there = "no such layer" if found is None else f"{shape[1]} to {shape[0]}"
            problems.append(
                Problem(tuning.name, what, f"{there} in this model", "choose the model it was trained with")
            )
            break  # one layer says it all
        if getattr(modules.get(name.split(".to_")[0]), "fused_projections", False):
            problems.append(Problem(tuning.name, f"the model's {name!r} is fused into another", "unfused projections"))
            break
    if problems:
        raise InputError(problems)


def write_tuning(tuning: Tuning, path: Path) -> None:
    """One safetensors file in float32; its header has format and origin. Not atomic: see `film.durable`."""
    config = {"format": FORMAT, "rank": len(next(iter(tuning.layers.values())).down), "tokens": len(tuning.token)}
    metadata = {"config": json.dumps(config), "trained": json.dumps(dict(tuning.trained), sort_keys=True)}
    save_file(_tensors(tuning), path, metadata=metadata)


def read_tuning(path: Path) -> Tuning:
    """The tuning in `path`. Raises InputError naming the file and what is wrong with it."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no dictionary
    except (OSError, SafetensorError) as error:
        raise InputError(Problem(str(path), f"does not open ({error})", "a safetensors file")) from error
    if spoilt := sorted(name for name, value in tensors.items() if not bool(torch.isfinite(value).all())):
        raise InputError(Problem(str(path), f"NaN or infinity in {spoilt[0]!r}", "finite weights", "train it again"))
    try:
        if (found := json.loads(metadata["config"])["format"]) != FORMAT:
            raise ValueError(f"its format is {found!r}")
        trained = json.loads(metadata.get("trained", "{}"))
        token = tensors.pop(_TOKEN)
        names = {name.removeprefix(_LAYER).removesuffix(_DOWN).removesuffix(_UP) for name in tensors}
        layers = {
            name: LowRank(tensors[f"{_LAYER}{name}{_DOWN}"], tensors[f"{_LAYER}{name}{_UP}"]) for name in sorted(names)
        }
        if not layers or any(layer.down.shape[0] != layer.up.shape[1] for layer in layers.values()):
            raise ValueError("its layers have no common rank")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        what = f"no one-shot tuning that this version reads ({type(error).__name__}: {reason})"
        raise InputError(Problem(str(path), what, FORMAT, "choose a file of `mpvg train one-shot`")) from error
    return Tuning(layers, token, trained, str(path))


def _tensors(tuning: Tuning) -> dict[str, Tensor]:
    tensors = {_TOKEN: tuning.token}
    for name, layer in tuning.layers.items():
        tensors[f"{_LAYER}{name}{_DOWN}"], tensors[f"{_LAYER}{name}{_UP}"] = layer.down, layer.up
    return {name: value.detach().float().cpu().contiguous() for name, value in tensors.items()}


def _adding(layer: LowRank, strength: float) -> Any:
    def add(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
        given: Tensor = args[0]
        return output + linear(linear(given, layer.down.to(given)), layer.up.to(given)) * strength

    return add


def _speaking(token: Tensor, share: float, told: Sequence[bool]) -> Any:
    def speak(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        text: Tensor = args[0]  # [B, L, D]
        if len(text) % len(told):
            raise MPVGError(f"A call of {len(text)} rows does not hold {len(told)} branches of one size.")
        spoken = with_token(text, token, share)
        if not all(told):
            rows = torch.tensor(told, device=text.device).repeat_interleave(len(text) // len(told))
            spoken = torch.where(rows[:, None, None], spoken, text)
        return spoken, *args[1:]

    return speak
