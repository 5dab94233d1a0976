"""Experimental: time in one direction only, and a timestep for every latent frame. For research.

No CogVideoX was trained for either: stock weights make worse pictures with them. What they promise is exact: with the
causal mask nothing later reaches anything earlier, bit for bit; equal timesteps for all frames are the stock model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..diffusion.attention import Replacement, key_mask, projected, replaced, written
from ..diffusion.predict import Call, Step
from ..diffusion.sampler import Constrain
from ..diffusion.schedule import Stepper
from ..errors import InputError, MPVGError, Problem
from .technique import Technique

FrameTimesteps = Callable[[Step], Tensor]
"""A step to the timesteps of all latent frames of the clip, int64 [F]."""


def causal_attention(window: int | None = None) -> Technique:
    """Each latent frame sees itself, the frames before it (of the last `window` only, if given) and the text.

    The text sees only itself: were it to read the video, the future would leak through it. Queries go frame by frame,
    so that no mask of all tokens by all tokens is ever made; the work is about half of the full attention's.
    Raises InputError for a window without frames.
    """
    if window is not None and window < 1:
        raise InputError(Problem("causal window", f"{window} latent frames", "1 or more, or none for all earlier ones"))

    @contextmanager
    def around(transformer: Any, call: Call) -> Iterator[None]:
        with causal(transformer, window):
            yield

    return Technique("causal attention", around=around, attention=(0.0, 1.0))


@contextmanager
def causal(transformer: Any, window: int | None = None) -> Iterator[None]:
    """Within the block attention goes back in time only; afterwards every layer has its own processor again."""
    looking = _LookingBack(window)

    def count(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        looking.frames = _frames_of(module, args, kwargs)

    with ExitStack() as stack:
        stack.callback(transformer.register_forward_pre_hook(count, with_kwargs=True).remove)
        for block in transformer.transformer_blocks:
            stack.enter_context(replaced(block.attn1, looking))
        yield


class _LookingBack(Replacement):
    """An attention processor that does what CogVideoX's own does, with queries frame by frame."""

    method = "causal attention"

    def __init__(self, window: int | None) -> None:
        self.window, self.frames = window, 1

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        length, cells = encoder_hidden_states.shape[1], hidden_states.shape[1] // self.frames
        query, key, value = projected(attn, encoder_hidden_states, hidden_states, image_rotary_emb)
        mask = key_mask(attn, attention_mask, key, self.method)

        def seen(queries: slice, first: int, end: int) -> Tensor:
            """The queries' look at the text and at the tokens first .. end - 1."""
            keys, values = (torch.cat([part[:, :, :length], part[:, :, first:end]], dim=2) for part in (key, value))
            visible = None if mask is None else torch.cat([mask[..., :length], mask[..., first:end]], dim=-1)
            return scaled_dot_product_attention(query[:, :, queries], keys, values, attn_mask=visible)

        parts = [seen(slice(0, length), length, length)]
        for frame in range(self.frames):
            own, end = length + frame * cells, length + (frame + 1) * cells
            oldest = 0 if self.window is None else max(0, frame - self.window + 1)
            parts.append(seen(slice(own, end), length + oldest * cells, end))
        states = written(attn, torch.cat(parts, dim=2))
        return states[:, length:], states[:, :length]


def frame_timesteps(choose: FrameTimesteps) -> Technique:
    """Tell the model a timestep of its own for every latent frame; the text keeps that of the step.

    The loop itself still steps all frames alike; see `held_frames` for frames that are known.
    """

    @contextmanager
    def around(transformer: Any, call: Call) -> Iterator[None]:
        timesteps = choose(call.step)
        if call.frames is not None:
            timesteps = timesteps[list(call.frames)]
        with timed(transformer, timesteps[None]):
            yield

    return Technique("frame timesteps", around=around)


@contextmanager
def timed(transformer: Any, timesteps: Tensor) -> Iterator[None]:
    """Within the block the video is modulated by `timesteps`, int64 [B or 1, F], frame by frame; no hook is left.

    CogVideoX modulates each token by shift, scale and gate from its timestep: hooks on the norms of the blocks and on
    the last one put those of the frame's timestep in place of the call's. Equal timesteps agree with the stock model
    to rounding. Raises MPVGError for another number of frames, and for models with a further embedding beside the
    time (1.5 image-to-video).
    """
    if getattr(transformer, "ofs_embedding", None) is not None:
        raise MPVGError("Frame timesteps are not for models that add an embedding of their own to that of the time.")
    embedded: list[Tensor] = []  # of the call under way: [B or 1, F, D]

    def embed(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states = args[0] if args else kwargs["hidden_states"]
        if timesteps.shape[1] != states.shape[1]:
            raise MPVGError(f"{timesteps.shape[1]} timesteps for {states.shape[1]} latent frames.")
        # Where the weights are: those of a model that does not fit are brought to the device later than this.
        place = module.time_embedding.linear_1.weight.device
        flat = timesteps.to(place).flatten()
        found = module.time_embedding(module.time_proj(flat).to(states.dtype)).unflatten(0, timesteps.shape)
        embedded[:] = [found.to(states.device)]

    def modulate_block(norm: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        video = args[0] if args else kwargs["hidden_states"]
        shift, scale, gate = _per_token(norm, embedded[0], video.shape[1]).chunk(6, dim=-1)[:3]
        return norm.norm(video) * (1 + scale) + shift, output[1], gate, output[3]

    def modulate_last(norm: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        video = args[0] if args else kwargs["x"]
        shift, scale = _per_token(norm, embedded[0], video.shape[1]).chunk(2, dim=-1)
        return norm.norm(video) * (1 + scale) + shift

    with ExitStack() as stack:
        stack.callback(transformer.register_forward_pre_hook(embed, with_kwargs=True).remove)
        for block in transformer.transformer_blocks:
            for norm in (block.norm1, block.norm2):
                stack.callback(norm.register_forward_hook(modulate_block, with_kwargs=True).remove)
        stack.callback(transformer.norm_out.register_forward_hook(modulate_last, with_kwargs=True).remove)
        yield


def held_frames(clip: Tensor, held: Tensor, *, level: int = 0) -> Technique:
    """Known frames stand in the clip at a noise level of their own while the others are made (diffusion forcing).

    clip: latents [F, C, h, w], of which the frames that `held` [F] (bool) marks are known; level: their timestep, 0
    clean to 999 pure noise (history guidance keeps generated history at a little noise, about 20). The model is shown
    them at that level with that timestep in every step, and they come out as they are. Nothing held is the stock
    clip bit for bit. Raises InputError for a level out of range, MPVGError for a clip of another shape.
    """
    if not 0 <= level <= 999:
        raise InputError(Problem("level of the held frames", f"{level}", "a timestep from 0 to 999"))
    if held.shape != clip.shape[:1] or held.dtype != torch.bool:
        raise MPVGError(f"Held frames are marked by bool [{clip.shape[0]}], not {held.dtype} {list(held.shape)}.")
    if not bool(held.any()):
        return Technique("held frames")
    known: list[Tensor] = []  # at their level, once the loop's noise levels are known

    def constrain(noise: Tensor, stepper: Stepper) -> Constrain:
        if noise.shape[1:] != clip.shape:
            raise MPVGError(f"The known clip has latents {list(clip.shape)}, the shot {list(noise.shape[1:])}.")
        whole, mask = clip[None].to(noise), held.to(noise.device)[None, :, None, None, None]
        known[:] = [stepper.noised(whole, noise, level) if level else whole]

        def keep(latents: Tensor, timestep: Tensor | None) -> Tensor:
            return latents if timestep is not None else torch.where(mask, whole, latents)

        return keep

    def show(states: Tensor, call: Call) -> Tensor:
        frames = slice(None) if call.frames is None else list(call.frames)
        mask = held.to(states.device)[frames][None, :, None, None, None]
        return torch.where(mask, known[0][:, frames].to(states), states)

    def choose(step: Step) -> Tensor:
        return torch.where(held, level, step.timestep.cpu())

    return Technique("held frames", around=frame_timesteps(choose).around, widen=show, constrain=constrain)


def _per_token(norm: Any, embedded: Tensor, tokens: int) -> Tensor:
    """What a norm's linear makes of each frame's time, for all tokens of the frame: [B, F, D] -> [B, tokens, n D]."""
    made: Tensor = norm.linear(norm.silu(embedded))
    return made.repeat_interleave(tokens // embedded.shape[1], dim=1)


def _frames_of(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    states = args[0] if args else kwargs["hidden_states"]
    if module.config.patch_size_t not in (None, 1):
        raise MPVGError("Causal attention is for models that patch each latent frame alone (CogVideoX 1.0).")
    return int(states.shape[1])
