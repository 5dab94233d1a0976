"""A cross-shot temporal adapter: every place of the picture looks at the same place in frames of earlier shots.

AnimateDiff's way of adding time to a frozen image model (Guo et al. 2023: temporal attention for each place, its last
layer zero at first, trained alone) carried over to films: the frozen CogVideoX has the time within a shot already, what
the adapter adds is the time before it. After chosen blocks

    x_cur += s · W_o (h + FF(h)),   h = Attn(q = W x_cur, k = v = [frames of past shots | W x_cur])   for each place

with W_o zero at first, so that an untrained adapter is the stock model bit for bit. What each place sees costs next to
nothing: some ten frames of one place. It suits what stays where it is; what moves about is the history adapter's part.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ..diffusion.predict import Call
from ..diffusion.schedule import in_interval, interval_problems
from ..errors import InputError, MPVGError, Problem
from .technique import Technique

FORMAT = "mpvg-temporal-adapter/1"
NAME = "temporal adapter"


@dataclass(frozen=True)
class PastFrames:
    """Clean latent frames of earlier shots, in any order.

    latents [B, A, C, h, w]; frames [A] int64, each one's number in its own clip; ages [B, A] int64, how many shots ago
    (1: the last one); mask [B, A] bool, True for frames that count, None for all. B = 1 serves every row of a call,
    otherwise a call has B rows for each of its branches. Raises MPVGError when shapes do not fit.
    """

    latents: Tensor
    frames: Tensor
    ages: Tensor
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        rows = self.latents.shape[:2]
        if self.latents.dim() != 5 or self.frames.shape != rows[1:] or self.ages.shape != rows:
            found = f"{list(self.latents.shape)}, frames {list(self.frames.shape)}, ages {list(self.ages.shape)}"
            raise MPVGError(f"Past frames are [B, A, C, h, w] with frames [A] and ages [B, A], not {found}.")
        if self.mask is not None and self.mask.shape != rows:
            raise MPVGError(f"The mask of the past frames is {list(self.mask.shape)}, expected {list(rows)}.")

    @property
    def empty(self) -> bool:
        """Whether no frame counts."""
        return self.latents.shape[1] == 0 or (self.mask is not None and not bool(self.mask.any()))

    def to(self, device: torch.device) -> PastFrames:
        mask = None if self.mask is None else self.mask.to(device)
        return PastFrames(self.latents.to(device), self.frames.to(device), self.ages.to(device), mask)


def spread(frames: int, wanted: int) -> list[int]:
    """Latent frames that stand for a clip: the middles of `wanted` equal parts, all of a clip that has no more."""
    wanted = min(frames, wanted)
    return [int((index + 0.5) * frames / wanted) for index in range(wanted)]


def past_frames(clips: Sequence[Tensor], per_clip: int, ages: Sequence[int] | None = None) -> PastFrames:
    """Frames of finished clips, latents [F, C, h, w] each (F may differ), oldest first.

    ages: how many shots ago each was; by default the last was 1, the one before 2, … Raises MPVGError for clips of
    several sizes or another number of ages.
    """
    ages = list(range(len(clips), 0, -1)) if ages is None else list(ages)
    sizes = {tuple(clip.shape[1:]) for clip in clips}
    if len(sizes) != 1 or len(ages) != len(clips):
        found = ", ".join(f"{size[2]}x{size[1]}" for size in sorted(sizes)) or "no clip"
        raise MPVGError(f"The past wants clips of one size and an age for each; found {found} and {len(ages)} ages.")
    chosen = [spread(len(clip), per_clip) for clip in clips]
    latents = torch.cat([clip[frames] for clip, frames in zip(clips, chosen, strict=True)])
    numbers = torch.tensor([frame for frames in chosen for frame in frames])
    years = torch.tensor([age for age, frames in zip(ages, chosen, strict=True) for _ in frames])
    return PastFrames(latents[None], numbers, years[None])


class CrossShotLayer(nn.Module):
    """What one block gains; see the file's head. The last layer is zero at first."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.enter = nn.LayerNorm(width), nn.Linear(width, inner)
        self.norm_seen = nn.LayerNorm(inner)
        self.to_q, self.to_k, self.to_v = (nn.Linear(inner, inner, bias=False) for _ in range(3))
        self.to_out = nn.Linear(inner, inner)
        self.further = nn.Sequential(
            nn.LayerNorm(inner), nn.Linear(inner, 2 * inner), nn.GELU(), nn.Linear(2 * inner, inner)
        )
        self.leave = nn.Linear(inner, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, video: Tensor, times: Tensor, past: Tensor, mask: Tensor | None = None) -> Tensor:
        """video [B, F, S, D] at times [F, E], past [B, A, S, E], mask [B, A] -> what is added, [B, F, S, D].

        Rows whose past is all masked get exactly zero: no past is the stock model.
        """
        batch, frames, places, _ = video.shape
        own = self.enter(self.norm(video.to(self.enter.weight))) + times[None, :, None]  # (B, F, S, E)
        seen = self.norm_seen(torch.cat([past.to(own), own], dim=1)).transpose(1, 2).flatten(0, 1)  # (B S, A + F, E)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.to_q(seen[:, -frames:]), self.to_k(seen), self.to_v(seen))
        )
        visible, some = None, None
        if mask is not None:
            some = mask.any(dim=1)
            whole = torch.cat([mask, mask.new_ones(batch, frames)], dim=1)
            visible = whole.repeat_interleave(places, dim=0)[:, None, None]
        found = scaled_dot_product_attention(query, key, value, attn_mask=visible)
        states = self.to_out(found.transpose(1, 2).flatten(2))
        added: Tensor = self.leave(states + self.further(states)).unflatten(0, (batch, places)).transpose(1, 2)
        if some is not None:
            added = torch.where(some[:, None, None, None], added, 0.0)
        return added.to(video.dtype)


class TemporalAdapter(nn.Module):
    """The layers of the chosen blocks, and what makes tokens of past frames.

    channels, patch: of the latents that past frames are; width: of the transformer; inner, heads: of the adapter;
    blocks: how many the transformer has, chosen: those after which it acts (None: every second one); ages: how many
    are told apart, older shots count as the oldest; per_clip: frames of each past clip.
    Raises ValueError when `chosen` names a block that is not there, or one twice.
    """

    def __init__(
        self,
        *,
        channels: int,
        patch: int,
        width: int,
        blocks: int,
        inner: int = 128,
        heads: int = 4,
        chosen: Sequence[int] | None = None,
        ages: int = 8,
        per_clip: int = 2,
    ) -> None:
        super().__init__()
        chosen = tuple(range(1, blocks, 2)) if chosen is None else tuple(chosen)
        if len(set(chosen)) != len(chosen) or not all(0 <= index < blocks for index in chosen):
            raise ValueError(f"chosen blocks {chosen} of {blocks}: expected different numbers from 0")
        if inner % (2 * heads):
            raise ValueError(f"an inner width of {inner} for {heads} heads: expected a multiple of {2 * heads}")
        self.numbers: dict[str, Any] = {
            "channels": channels, "patch": patch, "width": width, "blocks": blocks, "inner": inner, "heads": heads,
            "chosen": list(chosen), "ages": ages, "per_clip": per_clip,
        }  # fmt: skip
        self.embed = nn.Linear(channels * patch * patch, inner)
        self.age = nn.Embedding(ages, inner)
        self.layers = nn.ModuleList(CrossShotLayer(width, inner, heads) for _ in chosen)
        self.trained: dict[str, Any] = {}

    @property
    def per_clip(self) -> int:
        return int(self.numbers["per_clip"])

    @property
    def fingerprint(self) -> str:
        """A hash of weights and configuration, 16 hex digits."""
        digest = hashlib.sha256(json.dumps(self.numbers, sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def tokens(self, past: PastFrames) -> Tensor:
        """Past frames as the layers see them: [B, A, S, E], S places in (row, column) order."""
        patch = self.numbers["patch"]
        cells = past.latents.to(self.embed.weight).unfold(3, patch, patch).unfold(4, patch, patch)
        patches = cells.permute(0, 1, 3, 4, 2, 5, 6).flatten(4).flatten(2, 3)  # (B, A, S, C p p)
        made: Tensor = self.embed(patches)
        ages = self.age((past.ages.clamp(min=1) - 1).clamp(max=self.numbers["ages"] - 1))  # (B, A, E)
        return made + (ages + self.times(past.frames))[:, :, None]

    def times(self, frames: Tensor) -> Tensor:
        """Sinusoidal positions of latent frames [N], Vaswani et al. 2017: [N, E]; clips of any length have them."""
        half = self.numbers["inner"] // 2
        rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=frames.device) / half)
        angles = frames[:, None].float() * rates
        return torch.cat([angles.sin(), angles.cos()], dim=1).to(self.embed.weight)


@contextmanager
def attached(
    transformer: Any,
    adapter: TemporalAdapter,
    past: PastFrames | None,
    strength: float = 1.0,
    frames: Sequence[int] | None = None,
) -> Iterator[None]:
    """Within the block every call of `transformer` sees the past frames; afterwards, come what may, no hook is left.

    The adapter lies on the transformer's device; it works in its own precision. frames: which latent frames of the clip
    the call's tokens are of, in their order; None: all from 0. Without past frames, or with strength 0, there is no
    hook at all. With gradient checkpointing call `backward` within as well.
    Raises MPVGError for another transformer or another size of picture than the past's.
    """
    if past is None or past.empty or strength == 0.0:
        yield
        return
    require_fit(adapter, transformer)
    shown: list[Any] = []  # of the call under way: times [F, E], tokens [B, A, S, E], mask [B, A]

    def look(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states = args[0] if args else kwargs["hidden_states"]  # [B, F, C, h, w]
        if states.shape[3:] != past.latents.shape[3:]:
            found, wanted = ("x".join(map(str, reversed(part.shape[3:]))) for part in (past.latents, states))
            raise MPVGError(f"The past frames have latents of {found}, the clip of {wanted}; film both at one size.")
        here = past.to(states.device)
        copies, left = divmod(len(states), len(here.latents))
        if left:
            raise MPVGError(f"Past frames for {len(here.latents)} clips in a call of {len(states)} rows.")
        mask = None if here.mask is None else here.mask.repeat(copies, 1)
        numbers = torch.arange(states.shape[1]) if frames is None else torch.tensor(list(frames))
        times = adapter.times(numbers.to(states.device))
        shown[:] = [times, adapter.tokens(here).repeat(copies, 1, 1, 1), mask]

    def adding(layer: nn.Module) -> Any:
        def add(block: Any, args: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            video, text = output
            times, tokens, mask = shown
            if video.shape[1] != len(times) * tokens.shape[2]:
                raise MPVGError(f"{video.shape[1]} video tokens are not {len(times)} frames of {tokens.shape[2]}.")
            grid = video.unflatten(1, (len(times), tokens.shape[2]))  # (B, F, S, D)
            return video + strength * layer(grid, times, tokens, mask).flatten(1, 2), text

        return add

    with ExitStack() as stack:
        stack.callback(transformer.register_forward_pre_hook(look, with_kwargs=True).remove)
        for index, layer in zip(adapter.numbers["chosen"], adapter.layers, strict=True):
            stack.callback(transformer.transformer_blocks[index].register_forward_hook(adding(layer)).remove)
        yield


def temporal_adapter(
    adapter: TemporalAdapter,
    clips: Sequence[Tensor],
    strength: float = 1.0,
    *,
    ages: Sequence[int] | None = None,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Technique:
    """Film a shot with the same places of earlier shots in view.

    clips: finished latents [F, C, h, w] of the past shots, oldest first; ages: see `past_frames`. strength scales what
    is added; interval: the part of the way from 0 (noise) to 1 (picture). Strength 0, no clips, and steps outside the
    interval are the stock model bit for bit. All branches of the guidance see the past alike.
    Raises InputError naming everything that is wrong.
    """
    problems = interval_problems("interval of steps", interval)
    if not (0.0 <= strength < math.inf):
        problems.append(Problem("strength of the temporal adapter", f"{strength}", "0 or more; 1 as it was trained"))
    if problems:
        raise InputError(problems)
    if strength == 0.0 or not clips:
        return Technique(NAME)
    past = past_frames(clips, adapter.per_clip, ages)

    @contextmanager
    def around(transformer: Any, call: Call) -> Iterator[None]:
        seen = past if in_interval(call.step.index, call.step.steps, interval) else None
        with attached(transformer, adapter, seen, strength, call.frames):
            yield

    return Technique(NAME, around=around)


def new_temporal_adapter(transformer: Any, **changes: Any) -> TemporalAdapter:
    """An untrained adapter for `transformer`; `changes`: to the arguments of `TemporalAdapter`."""
    return TemporalAdapter(**_shape(transformer), **changes)


def require_fit(adapter: TemporalAdapter, transformer: Any) -> None:
    """Raises MPVGError when the adapter was made for a transformer of another shape."""
    found = _shape(transformer)
    if made := [f"{name} {adapter.numbers[name]}" for name in found if adapter.numbers[name] != found[name]]:
        there = ", ".join(f"{name} {value}" for name, value in found.items())
        raise MPVGError(f"The temporal adapter was made for {', '.join(made)}; this transformer has {there}.")


def _shape(transformer: Any) -> dict[str, Any]:
    config, blocks = transformer.config, transformer.transformer_blocks
    width = blocks[0].attn1.to_q.in_features
    return {"channels": config.out_channels, "patch": config.patch_size, "width": width, "blocks": len(blocks)}


def write_temporal_adapter(adapter: TemporalAdapter, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """One safetensors file; its header has format, numbers and how it was trained. Not atomic: see `film.durable`."""
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in adapter.state_dict().items()}
    metadata = {
        "config": json.dumps({"format": FORMAT, **adapter.numbers}),
        "trained": json.dumps(adapter.trained, sort_keys=True),
    }
    save_file(state, path, metadata=metadata)


def read_temporal_adapter(path: Path, *, device: torch.device | str = "cpu") -> TemporalAdapter:
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
        config = json.loads(metadata["config"])
        if (found := config.pop("format")) != FORMAT:
            raise ValueError(f"its format is {found!r}")
        adapter = TemporalAdapter(**config)
        adapter.load_state_dict(state)
        adapter.trained = json.loads(metadata.get("trained", "{}"))
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        what = f"no temporal adapter that this version reads ({type(error).__name__}: {reason})"
        raise InputError(Problem(str(path), what, FORMAT, "choose an adapter of this format")) from error
    return adapter.to(device).eval()
