"""The control adapter: what a stock transformer needs to be shown a control clip, in one file of its own beside it.

Weights W_c of further input channels, so that the patch embedding becomes W x + W_c c; and, if it has a rank, low-rank
changes of the blocks' layers, y = W x + U D x (LoRA, Hu et al. 2021). All begin at zero: an untrained adapter changes
nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import InputError, MPVGError, Problem

FORMAT = "mpvg-control-adapter/1"
LAYERS = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2")
_REMEDY = "choose the model's own control adapter, or train one for it"


class ControlAdapter(nn.Module):
    """channels C of a clip's latents, control_channels of the control clip's; patch and width D of the patch embedding;
    rank of the changes in each of LAYERS of all `blocks`, 0 for none, and `inner`, the width of their feed-forward."""

    def __init__(
        self, *, channels: int, control_channels: int, width: int, patch: int, rank: int, blocks: int, inner: int
    ) -> None:
        super().__init__()
        self.numbers = {
            "channels": channels,
            "control_channels": control_channels,
            "width": width,
            "patch": patch,
            "rank": rank,
            "blocks": blocks,
            "inner": inner,
        }
        self.channels, self.control_channels, self.rank = channels, control_channels, rank
        self.proj = nn.Conv2d(control_channels, width, patch, stride=patch, bias=False)
        nn.init.zeros_(self.proj.weight)
        sizes = {"ff.net.0.proj": (width, inner), "ff.net.2": (inner, width)}
        self.changes = nn.ModuleList(
            nn.ModuleDict({_key(layer): LowRank(*sizes.get(layer, (width, width)), rank) for layer in LAYERS})
            for _ in range(blocks if rank else 0)
        )
        self.trained: dict[str, Any] = {}

    def config(self) -> dict[str, Any]:
        return {"format": FORMAT, **self.numbers}

    @property
    def fingerprint(self) -> str:
        """A hash of weights and configuration, 16 hex digits; of a loaded adapter it is the same every time."""
        digest = hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


class LowRank(nn.Module):
    """x [..., n] to U D x [..., m], D [rank, n] and U [m, rank]; U begins at zero."""

    def __init__(self, wide_in: int, wide_out: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(wide_in, rank, bias=False)
        self.up = nn.Linear(rank, wide_out, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, states: Tensor) -> Tensor:
        changed: Tensor = self.up(self.down(states.to(self.down.weight)))
        return changed.to(states.dtype)


def new_control_adapter(transformer: Any, *, rank: int = 0, control_channels: int | None = None) -> ControlAdapter:
    """An untrained adapter for `transformer`; control clips have as many channels as its clips unless told otherwise.

    Raises InputError for a transformer that patches several latent frames together, or takes control by itself.
    """
    _require_plain(transformer, "the model")
    shape = _shape(transformer)
    return ControlAdapter(control_channels=control_channels or shape["channels"], rank=rank, **shape)


@contextmanager
def widened(transformer: Any, adapter: ControlAdapter, strengths: Sequence[float] = (1.0,)) -> Iterator[None]:
    """Within the block `transformer` takes latents [B, F, C + C_c, h, w], the control clip's behind the clip's own.

    Its first C channels go through the stock weights as they always do, so that zero weights, or a control of zeros,
    are the stock result bit for bit. Latents of C channels, of a look at another shot within, meet the stock model.
    strengths: of the low-rank changes in each of the call's branches, which have equally many rows. Afterwards no hook
    is left. Raises InputError for an adapter of another model.
    """
    require_fit(adapter, transformer)
    call = _Call(adapter, tuple(strengths))
    with ExitStack() as stack:
        stack.callback(transformer.patch_embed.register_forward_pre_hook(call.split).remove)
        stack.callback(transformer.patch_embed.proj.register_forward_hook(call.add).remove)
        if any(strengths):
            for block, changes in zip(transformer.transformer_blocks, adapter.changes, strict=False):
                assert isinstance(changes, nn.ModuleDict)
                for layer in LAYERS:
                    hook = call.changing(changes[_key(layer)])
                    stack.callback(block.get_submodule(layer).register_forward_hook(hook).remove)
        yield


class _Call:
    """The hooks of one call, and what they hand on to one another."""

    def __init__(self, adapter: ControlAdapter, strengths: tuple[float, ...]) -> None:
        self.adapter, self.strengths = adapter, strengths
        self.control: Tensor | None = None
        self.controlled, self.rows = False, 0  # of the call under way

    def split(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        text, states = inputs
        own, more = self.adapter.channels, self.adapter.control_channels
        if states.shape[2] not in (own, own + more):
            raise MPVGError(f"A call with a control adapter has {own} + {more} channels, not {states.shape[2]}.")
        self.controlled, self.rows = states.shape[2] > own, states.shape[0]
        self.control = states[:, :, own:].flatten(0, 1) if self.controlled else None
        return text, states[:, :, :own].contiguous() if self.controlled else states

    def add(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        control, self.control = self.control, None
        if control is None:
            return output
        own: Tensor = self.adapter.proj(control.to(self.adapter.proj.weight))
        return output + own.to(output.dtype)

    def changing(self, change: nn.Module) -> Any:
        def add(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            states: Tensor = inputs[0]
            if not self.controlled:
                return output
            if len(set(self.strengths)) == 1:
                return output + self.strengths[0] * change(states)
            if states.shape[0] != self.rows:
                raise MPVGError(
                    "Branches with and without the control clip share this call with a method that looks at some of "
                    "its rows alone; film without batching, or show the control clip to the negative branch too."
                )
            each = states.new_tensor(self.strengths).repeat_interleave(self.rows // len(self.strengths))
            return output + each.view(-1, *[1] * (states.dim() - 1)) * change(states)

        return add


def require_fit(adapter: ControlAdapter, transformer: Any, path: str = "the control adapter") -> None:
    """Raises InputError when the adapter was made for another transformer, or cannot reach its layers."""
    _require_plain(transformer, path)
    found = _shape(transformer)
    made = {name: adapter.numbers[name] for name in found}
    if made != found:
        differing = ", ".join(f"{name} {made[name]}" for name in found if made[name] != found[name])
        wanted = ", ".join(f"{name} {found[name]}" for name in found if made[name] != found[name])
        raise InputError(Problem(path, f"was made for {differing}", f"{wanted} for this model", _REMEDY))
    if adapter.rank and any(
        getattr(block.attn1, "fused_projections", False) for block in transformer.transformer_blocks
    ):
        remedy = "call transformer.unfuse_qkv_projections()"
        raise InputError(Problem(path, "changes layers that are fused into one", remedy=remedy))


def save_control_adapter(
    adapter: ControlAdapter, path: Path, *, dtype: torch.dtype = torch.float16, **trained: Any
) -> None:
    """Writes one safetensors file; `trained` says how it was made (steps, base, …) and goes into its header."""
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in adapter.state_dict().items()}
    metadata = {"config": json.dumps(adapter.config()), "trained": json.dumps(trained, sort_keys=True)}
    save_file(state, path, metadata=metadata)


def load_control_adapter(path: Path, *, device: torch.device | str = "cpu") -> ControlAdapter:
    """The adapter in `path`, in float32. Raises InputError naming the file and what is wrong with it."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no dictionary
    except (OSError, SafetensorError) as error:
        raise InputError(Problem(str(path), f"does not open ({error})", "a safetensors file")) from error
    if spoilt := sorted(name for name, value in state.items() if not bool(torch.isfinite(value).all())):
        raise InputError(Problem(str(path), f"NaN or infinity in {spoilt[0]!r}", "finite weights", "train it again"))
    try:
        config, trained = json.loads(metadata["config"]), json.loads(metadata.get("trained", "{}"))
        if config.pop("format") != FORMAT:
            raise ValueError("its format is another one")
        adapter = ControlAdapter(**config)
        adapter.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        what = f"no control adapter that this version reads ({type(error).__name__}: {reason})"
        remedy = "choose an adapter of this format, or update MPVG"
        raise InputError(Problem(str(path), what, FORMAT, remedy)) from error
    adapter.trained = trained
    return adapter.to(device).eval()


def _require_plain(transformer: Any, where: str) -> None:
    config, proj = transformer.config, transformer.patch_embed.proj
    if not isinstance(proj, nn.Conv2d):
        what = "this model patches several latent frames together"
        raise InputError(Problem(where, what, "CogVideoX 2b or 5b", "choose one of those"))
    if config.in_channels != config.out_channels:
        what = f"this model takes {config.in_channels} channels for {config.out_channels} of a clip by itself"
        raise InputError(Problem(where, what, "a text-to-video model", "leave the control adapter out"))


def _shape(transformer: Any) -> dict[str, int]:
    config, blocks = transformer.config, transformer.transformer_blocks
    return {
        "channels": config.out_channels,
        "width": transformer.patch_embed.proj.out_channels,
        "patch": config.patch_size,
        "blocks": len(blocks),
        "inner": blocks[0].ff.net[0].proj.out_features,
    }


def _key(layer: str) -> str:
    return layer.replace(".", "/")  # a module's name holds no dot
