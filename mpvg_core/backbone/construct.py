"""New, untrained models in the stock classes of diffusers and transformers, and their folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

_TOKENIZER = "PreTrainedTokenizerFast"


def new_transformer(config: Mapping[str, Any]) -> nn.Module:
    """A `CogVideoXTransformer3DModel` with random weights."""
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel(**config)


def new_vae(config: Mapping[str, Any]) -> nn.Module:
    """An `AutoencoderKLCogVideoX` with random weights."""
    from diffusers import AutoencoderKLCogVideoX

    return AutoencoderKLCogVideoX(**config)


def new_text_encoder(config: Mapping[str, Any]) -> nn.Module:
    """A `T5EncoderModel` with random weights."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(**config))


def new_scheduler(config: Mapping[str, Any], name: str = "ddim") -> Any:
    """A `CogVideoXDDIMScheduler`, or with `dpm` a `CogVideoXDPMScheduler`."""
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

    return {"ddim": CogVideoXDDIMScheduler, "dpm": CogVideoXDPMScheduler}[name](**config)


def new_word_tokenizer(words: Sequence[str], max_tokens: int) -> Any:
    """A tokenizer of whole words: lower-cased, split at spaces, signs and digits; ids 0 pad, 1 </s>, 2 <unk>."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: index for index, piece in enumerate(["<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=max_tokens,
        padding_side="right",
    )


def save_folder(
    folder: Path, *, transformer: nn.Module, vae: nn.Module, text_encoder: nn.Module, tokenizer: Any, scheduler: Any
) -> None:
    """Writes a diffusers folder that `CogVideoXPipeline.from_pretrained` opens; weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {"transformer": transformer, "vae": vae, "text_encoder": text_encoder}
    index: dict[str, Any] = {"_class_name": "CogVideoXPipeline"}
    for name, module in parts.items():
        half = type(module)(module.config) if name == "text_encoder" else type(module).from_config(module.config)
        half.load_state_dict(module.state_dict())
        half.to(torch.float16).save_pretrained(folder / name, safe_serialization=True)
        library = "transformers" if name == "text_encoder" else "diffusers"
        index[name] = [library, type(module).__name__]
    tokenizer.save_pretrained(folder / "tokenizer")
    _name_tokenizer_plainly(folder / "tokenizer" / "tokenizer_config.json")
    scheduler.save_pretrained(folder / "scheduler")
    index["tokenizer"] = ["transformers", _TOKENIZER]
    index["scheduler"] = ["diffusers", type(scheduler).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _name_tokenizer_plainly(file: Path) -> None:
    """transformers 5 writes a class name that version 4 does not know; the older name is good for both."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config["tokenizer_class"] = _TOKENIZER
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
