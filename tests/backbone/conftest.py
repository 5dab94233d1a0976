"""Tiny random models of the stock classes in folders of diffusers' layout, 2b-like and 5b-like."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mpvg_core.backbone.construct import (
    new_scheduler,
    new_text_encoder,
    new_transformer,
    new_vae,
    new_word_tokenizer,
    save_folder,
)

WORDS = ["a", "cat", "dog", "rides", "runs", "snow", ".", ",", "1", "2", "actor"]
TOKENS, TEXT_DIM, CHANNELS = 10, 16, 4


def build_folder(folder: Path, kind: str) -> Path:
    torch.manual_seed(11)
    words = new_word_tokenizer(WORDS, TOKENS)
    transformer = {
        "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "time_embed_dim": 16,
        "text_embed_dim": TEXT_DIM, "in_channels": CHANNELS, "out_channels": CHANNELS, "patch_size": 2,
        "max_text_seq_length": TOKENS, "sample_width": 8, "sample_height": 6, "sample_frames": 17,
        "temporal_compression_ratio": 4, "use_rotary_positional_embeddings": kind == "5b",
    }  # fmt: skip
    vae = {
        "in_channels": 3, "out_channels": 3, "latent_channels": CHANNELS, "block_out_channels": [8, 8, 8],
        "down_block_types": ["CogVideoXDownBlock3D"] * 3, "up_block_types": ["CogVideoXUpBlock3D"] * 3,
        "layers_per_block": 1, "norm_num_groups": 4, "temporal_compression_ratio": 4,
        "scaling_factor": {"2b": 1.15258426, "5b": 0.7}[kind], "sample_height": 24, "sample_width": 32,
    }  # fmt: skip
    text = {
        "vocab_size": len(words), "d_model": TEXT_DIM, "d_kv": 8, "num_heads": 2, "num_layers": 2, "d_ff": 32,
        "feed_forward_proj": "gated-gelu", "dropout_rate": 0.0, "tie_word_embeddings": False, "use_cache": False,
        "is_encoder_decoder": False, "pad_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    scheduler = {
        "prediction_type": "v_prediction", "snr_shift_scale": {"2b": 3.0, "5b": 1.0}[kind],
        "rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "clip_sample": False,
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


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of both kinds, not to be written to; their names are not ASCII."""
    root = tmp_path_factory.mktemp("modèles 模型")
    return {kind: build_folder(root / f"Kino ä {kind}", kind) for kind in ("2b", "5b")}


@pytest.fixture
def copied(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A 2b-like folder of the test's own."""
    return Path(shutil.copytree(folders["2b"], tmp_path / "model"))
