"""Tiny random CogVideoX folders that know the words of transition prompts, and data sets for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from mpvg_core.backbone.construct import (
    new_scheduler,
    new_text_encoder,
    new_transformer,
    new_vae,
    new_word_tokenizer,
    save_folder,
)
from mpvg_core.film.video import VideoWriter
from mpvg_core.pocket.language import MAX_TOKENS, vocabulary


def build_model(folder: Path, kind: str = "2b", channels: int = 16, *, prediction: str = "v_prediction") -> Path:
    """A folder of the 2b or 5b architecture that films 17 frames of 64x64."""
    torch.manual_seed(3)
    words = new_word_tokenizer(vocabulary(), MAX_TOKENS)
    transformer = {
        "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "time_embed_dim": 16,
        "text_embed_dim": 16, "in_channels": channels, "out_channels": channels, "patch_size": 2,
        "max_text_seq_length": MAX_TOKENS, "sample_width": 16, "sample_height": 16, "sample_frames": 17,
        "temporal_compression_ratio": 4, "use_rotary_positional_embeddings": kind == "5b",
        "spatial_interpolation_scale": 1.0, "temporal_interpolation_scale": 1.0,
    }  # fmt: skip
    vae = {
        "in_channels": 3, "out_channels": 3, "latent_channels": channels, "block_out_channels": [8, 8, 8],
        "down_block_types": ["CogVideoXDownBlock3D"] * 3, "up_block_types": ["CogVideoXUpBlock3D"] * 3,
        "layers_per_block": 1, "norm_num_groups": 4, "temporal_compression_ratio": 4, "scaling_factor": 1.15,
        "sample_height": 64, "sample_width": 64,
    }  # fmt: skip
    text = {
        "vocab_size": len(words), "d_model": 16, "d_kv": 8, "num_heads": 2, "num_layers": 1, "d_ff": 32,
        "feed_forward_proj": "gated-gelu", "dropout_rate": 0.0, "tie_word_embeddings": False, "use_cache": False,
        "is_encoder_decoder": False, "pad_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    scheduler = {
        "prediction_type": prediction, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
        "snr_shift_scale": {"2b": 3.0, "5b": 1.0}[kind], "clip_sample": False,
    }  # fmt: skip
    save_folder(
        folder,
        transformer=new_transformer(transformer),
        vae=new_vae(vae),
        text_encoder=new_text_encoder(text),
        tokenizer=words,
        scheduler=new_scheduler(scheduler),
    )
    return folder


def build_data(
    folder: Path, frames: int = 17, cut: int = 9, *, fps: int = 8, before: str = "snow", after: str = "moon"
) -> Path:
    """A data set with one transition, as `mpvg dataset build --layout transitions` lays it out: dark, then light."""
    home = folder / "transitions" / "a-0123"
    home.mkdir(parents=True)
    clip = np.full((frames, 64, 64, 3), 40, np.uint8)
    clip[cut:] = 220
    with VideoWriter(home / "clip.mp4", width=64, height=64, fps=fps) as writer:
        writer.write(clip)
    transition = {
        "version": 1, "clip": "clip.mp4", "frames": frames, "fps": fps, "size": [64, 64], "cut_frame": cut,
        "before": before, "after": after, "implicit": f"{before}; {after}",
        "explicit": f"Previous scene: {before}; then next scene: {after}",
    }  # fmt: skip
    (home / "transition.json").write_text(json.dumps(transition), "utf-8")
    videos = [{"source": "a.mov", "folder": "transitions/a-0123", "transition": True}]
    manifest = {"version": 1, "layout": "transitions", "videos": videos}
    (folder / "dataset.json").write_text(json.dumps(manifest), "utf-8")
    return folder


def build_stories(folder: Path, *lengths: int, fps: int = 8, prompt: str = "Actor 1 is running on the snow.") -> Path:
    """A data set with one story, as `mpvg dataset build` lays it out: shots of so many frames, each with a bright bar
    that walks over its own grey; the last one is told otherwise than the others."""
    home = folder / "stories" / "a-0123"
    home.mkdir(parents=True)
    lines = [f"title: a\nfps: {fps}\nsize: 64x64\nshots:"]
    for number, frames in enumerate(lengths, 1):
        clip = np.full((frames, 64, 64, 3), 40 * number, np.uint8)
        for index in range(frames):
            clip[index, :, 3 * index : 3 * index + 8] = 220
        with VideoWriter(home / f"scene-{number:03}.mp4", width=64, height=64, fps=fps) as writer:
            writer.write(clip)
        told = prompt if number < len(lengths) else "Actor 1 is dancing on the moon."
        lines.append(f"  - {{name: scene {number:03}, prompt: {told}, frames: {frames}}}")
    (home / "story.yaml").write_text("\n".join(lines), "utf-8")
    videos = [{"source": "a.mov", "folder": "stories/a-0123", "stories": ["story.yaml"]}]
    (folder / "dataset.json").write_text(json.dumps({"version": 1, "layout": "scenes", "videos": videos}), "utf-8")
    return folder
