"""CogVideoX, 2b or 5b architecture, in the stock diffusers classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, MPVGError, Problem
from ..storyboard.plan import ModelLimits
from .features import describe_latents
from .folder import ModelFolder
from .interface import ClipFeatures, TextEmbedding
from .memory import ENCODING_ROOM, weight_bytes
from .tokens import END, PAD, UNKNOWN, Words
from .weights import load_part

_KEEP_TEXT_ENCODER = 2**30  # bytes; a larger one (T5-XXL: 9.5 GB) makes room as soon as the prompts are encoded
_FRAMES_AT_ONCE = 8  # turned to 8 bits together; in float32 a whole clip would be 203 MB
_TILE_FROM = 256 * 256  # pixels of a frame above which the decoder works in tiles


ReadTokens = Callable[[Tensor], Tensor]
"""A text encoder that lives elsewhere: token ids [1, L] to states [1, L, D]."""


class CogVideoXBackbone:
    """See `backbone.interface.Backbone`. The text encoder is loaded when the first prompt is encoded.

    read: a text encoder in place of the folder's own, which then need not be there.
    """

    def __init__(
        self,
        folder: ModelFolder,
        transformer: Any,
        vae: Any,
        device: torch.device,
        dtype: torch.dtype,
        text_device: torch.device | None = None,
        streamed: bool = False,
        read: ReadTokens | None = None,
    ) -> None:
        self.name, self.folder = folder.name, folder
        self.fingerprint = folder.fingerprint(without=() if read is None else ("text_encoder",))
        self.transformer, self.vae = transformer, vae
        self.device, self.dtype, self.text_device = device, dtype, text_device or device
        self.streamed = streamed
        self.latent_channels: int = transformer.config.out_channels
        self.control_channels = folder.control_channels
        self.spatial_compression = 2 ** (len(vae.config.block_out_channels) - 1)
        self.temporal_compression = round(vae.config.temporal_compression_ratio)
        self._words: Words = folder.words()
        self._text_encoder: Any = None
        self._read = read

    def limits(self) -> ModelLimits:
        return self.folder.limits()

    @property
    def text_width(self) -> int:
        """Numbers of a token, D."""
        return int(self.transformer.config.text_embed_dim)

    @property
    def text_length(self) -> int:
        """Tokens of a padded prompt, L."""
        return int(self.transformer.config.max_text_seq_length)

    @property
    def text_room(self) -> int:
        """Bytes that reading a prompt will take on the device, beside what is there already."""
        if self._read is not None or self._text_encoder is not None or self.text_device.type == "cpu":
            return 0
        return self.folder.weight_bytes("text_encoder") + ENCODING_ROOM

    def companion(self, name: str) -> Path | None:
        path = self.folder.path / name
        return path if path.is_file() else None

    def encode_text(self, texts: Sequence[str]) -> list[TextEmbedding]:
        length = self.text_length
        all_ids = [self._words.ids(text) for text in texts]
        problems = [
            Problem(f"prompt {text!r}", f"{len(ids)} tokens", f"at most {length}", "shorten it")
            for text, ids in zip(texts, all_ids, strict=True)
            if len(ids) > length
        ]
        if problems:
            raise InputError(problems)
        encoder = None if self._read else self._text_encoder or self._load_text_encoder()
        embeddings = []
        for ids in all_ids:
            padded = torch.tensor(ids + [PAD] * (length - len(ids)))
            with torch.no_grad():
                # One at a time and without a mask, as the stock pipeline reads a prompt: padding is attended to.
                if encoder is None:
                    assert self._read is not None
                    states = self._read(padded[None])
                else:
                    states = encoder(padded[None].to(self.text_device)).last_hidden_state
                embeds = states[0].to(self.device, self.dtype)
            if embeds.shape != (length, self.text_width):
                found = f"gave {list(embeds.shape)} for a prompt"
                wanted = f"{[length, self.text_width]} for model '{self.name}'"
                raise InputError(Problem("text encoder", found, wanted, "connect a T5 XXL of type cogvideox"))
            mask = (padded != PAD) & (padded != END) & (padded != UNKNOWN)
            embeddings.append(TextEmbedding(padded, embeds, mask, tuple(self._words.pieces(padded.tolist()))))
        if encoder is not None:
            self._text_encoder = encoder if weight_bytes(encoder) <= _KEEP_TEXT_ENCODER else None
        return embeddings

    def _load_text_encoder(self) -> Any:
        from transformers import T5EncoderModel
        from transformers.utils import logging

        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # the film has its own
        try:
            encoder = load_part(T5EncoderModel, self.folder.path / "text_encoder", dtype=self.dtype)
        finally:
            if shown:
                logging.enable_progress_bar()
        return encoder.to(self.text_device)

    def new_scheduler(self, name: str = "ddim") -> Any:
        from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

        kinds = {"ddim": CogVideoXDDIMScheduler, "dpm": CogVideoXDPMScheduler}
        if name not in kinds:
            raise InputError(Problem("scheduler", f"{name!r} is unknown", f"one of {', '.join(kinds)}"))
        return kinds[name].from_config(self.folder.configs["scheduler"])

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        if self.control_channels and latents.shape[2] == self.latent_channels:
            remedy = "give the shot a control clip, or choose a text-to-video model"
            raise InputError(Problem(f"model {self.name!r}", "films after a control clip only", remedy=remedy))
        with self.transformer.cache_context(branch):
            prediction: Tensor = self.transformer(
                hidden_states=latents,
                encoder_hidden_states=embeds,
                timestep=timestep,
                image_rotary_emb=self._rotary(latents),
                return_dict=False,
            )[0]
        return prediction

    def _rotary(self, latents: Tensor) -> tuple[Tensor, Tensor] | None:
        """Rotary positions of 5b for this size: the training grid, cropped in the middle to the clip's aspect."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        from diffusers.models.embeddings import get_3d_rotary_pos_embed
        from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

        rows, columns = latents.shape[3] // config.patch_size, latents.shape[4] // config.patch_size
        base = (config.sample_width // config.patch_size, config.sample_height // config.patch_size)
        return get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            crops_coords=get_resize_crop_region_for_grid((rows, columns), *base),
            grid_size=(rows, columns),
            temporal_size=latents.shape[1],
            device=self.device,
        )

    def decode(self, latents: Tensor) -> Iterator[np.ndarray]:
        """Three latent frames first, then two at a time: the split of the stock decoder, so the frames are the same.

        Large pictures are decoded tile by tile, each through the whole clip, as the stock decoder does: to stream them
        in time every tile would have to keep its state (1.2 GiB each, 9 tiles at 480x720), where one finished clip
        takes 100 MB in half precision.
        """
        video = latents.to(device=self.device, dtype=self.vae.dtype)[None].transpose(1, 2)
        video = 1 / self.vae.config.scaling_factor * video
        side = self.spatial_compression
        if video.shape[3] * video.shape[4] * side * side > _TILE_FROM:
            self.vae.enable_tiling()
            with torch.no_grad():
                pixels = self.vae.decode(video).sample
            for part in pixels.split(_FRAMES_AT_ONCE, dim=2):
                yield _frames(part)
            return
        count, cache, start = video.shape[2], None, 0
        while start < count:
            # The stock split: the odd frame goes with the first pair.
            size = min(count, 2 + count % 2) if start == 0 else 2
            with torch.no_grad():
                part = video[:, :, start : start + size]
                if self.vae.post_quant_conv is not None:
                    part = self.vae.post_quant_conv(part)
                pixels, cache = self.vae.decoder(part, conv_cache=cache)
            yield _frames(pixels)
            start += size

    def encode_clip(self, frames: np.ndarray) -> Tensor:
        """The most likely latents of the clip, so that the same footage is always the same."""
        side = self.spatial_compression
        if frames.shape[1] % side or frames.shape[2] % side:
            size = f"{frames.shape[2]}x{frames.shape[1]}"
            raise InputError(Problem("footage", f"its frames are {size}", f"multiples of {side}", "scale it"))
        step = 2 * self.temporal_compression
        if not len(frames) or (len(frames) - 1) % step:
            raise InputError(Problem("footage", f"it has {len(frames)} frames", f"1 + {step}n frames", "cut it"))
        video = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        video = (video.permute(3, 0, 1, 2)[None].float() / 127.5 - 1).to(self.vae.dtype)
        if frames.shape[1] * frames.shape[2] > _TILE_FROM:
            self.vae.enable_tiling()
        with torch.no_grad():
            encoded: Tensor = self.vae.encode(video).latent_dist.mode()
        return (encoded[0].transpose(0, 1) * self.vae.config.scaling_factor).to(self.dtype)

    def to_stock(self, latents: Tensor) -> Tensor:
        return (latents.float() / self.vae.config.scaling_factor).transpose(0, 1)[None]

    def from_stock(self, samples: Tensor) -> Tensor:
        if samples.dim() != 5 or samples.shape[0] != 1 or samples.shape[1] != self.latent_channels:
            wanted = f"[1, {self.latent_channels}, frames, height, width] of model '{self.name}'"
            remedy = "connect a clip of this model's sampler"
            raise InputError(Problem("latent", f"has shape {list(samples.shape)}", wanted, remedy))
        latents = samples[0].transpose(0, 1).float() * self.vae.config.scaling_factor
        return latents.to(device=self.device, dtype=self.dtype)

    def describe_clip(self, latents: Tensor) -> ClipFeatures:
        return describe_latents(latents)


def _frames(pixels: Tensor) -> np.ndarray:
    """[1, 3, n, H, W] in -1..1 to uint8 [n, H, W, 3]."""
    if not bool(torch.isfinite(pixels).all()):
        raise MPVGError("The decoder gave NaN or infinity; run the model in bfloat16 or float32 (--dtype).")
    levels = ((pixels[0].float() * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    frames: np.ndarray = levels.permute(1, 2, 3, 0).cpu().numpy()
    return frames
