"""A language model from a local transformers folder: a conversation in, its reply out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, MPVGError, Problem
from .device import device_named

LONGEST_REPLY = 4096
"""Tokens of a reply, where the model's context leaves so many."""
_LEAST_ROOM = 64  # tokens


class LanguageModel:
    """A causal language model, safetensors only, no code of the folder's own.

    seed: of its sampling at `temperature` (0 = always the likeliest token). device, dtype: as torch calls them; "auto"
    is a GPU if there is one, and the weights' own precision.

    Raises InputError for a folder that holds no such model.
    """

    def __init__(
        self, folder: Path, *, device: str = "auto", dtype: str = "auto", seed: int = 0, temperature: float = 0.7
    ) -> None:
        _require_model(folder)
        from transformers import AutoModelForCausalLM, AutoTokenizer

        place = device_named(device)
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), **options)
            self.model: Any = AutoModelForCausalLM.from_pretrained(
                str(folder), use_safetensors=True, torch_dtype=dtype, **options
            ).to(place)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            said = " ".join(str(error).split())[:300]
            remedy = "name the folder of a chat model in transformers' layout"
            raise InputError(Problem(str(folder), f"no language model opens ({said})", remedy=remedy)) from error
        self.model.eval()
        self.folder, self.device, self.seed, self.temperature = folder, place, seed, temperature

    @torch.no_grad()
    def reply(self, messages: Sequence[Mapping[str, str]], *, longest: int = LONGEST_REPLY) -> str:
        """The reply to a conversation of messages with a role and a content; torch's own dice are left as they were.

        Raises MPVGError when the conversation leaves no room for a reply in the model's context.
        """
        ids = self._ids(messages)
        room = longest
        if (context := getattr(self.model.config, "max_position_embeddings", None)) is not None:
            room = min(longest, context - ids.shape[1])
            if room < min(longest, _LEAST_ROOM):
                raise MPVGError(
                    f"The conversation has {ids.shape[1]} tokens, and the model in {self.folder} reads {context} in "
                    "all; choose a model with a longer context."
                )
        sampling: dict[str, Any] = {"do_sample": False}
        if self.temperature > 0:
            sampling = {"do_sample": True, "temperature": self.temperature}
        padding = self.tokenizer.pad_token_id
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.seed)
            said = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=room,
                pad_token_id=self.tokenizer.eos_token_id if padding is None else padding,
                **sampling,
            )
        text: str = self.tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True)
        return text.strip()

    def _ids(self, messages: Sequence[Mapping[str, str]]) -> torch.Tensor:
        """The conversation as the model was trained to read it, or plainly, role by role, without a chat template."""
        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
            found = self.tokenizer(text, return_tensors="pt", add_special_tokens=False)
        else:
            said = [f"{message['role']}: {message['content']}" for message in messages]
            found = self.tokenizer("\n\n".join([*said, "assistant:"]), return_tensors="pt")
        ids: torch.Tensor = found["input_ids"]
        return ids.to(self.device)


def _require_model(folder: Path) -> None:
    """Raises InputError for a folder without the files of a causal language model."""
    expected = "the folder of a chat model in transformers' layout: config.json, tokenizer, *.safetensors"
    if not folder.is_dir():
        raise InputError(Problem("--llm", f"{folder} is no folder", expected))
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except OSError:
        raise InputError(Problem(str(folder), "config.json is missing", expected)) from None
    except ValueError as error:
        raise InputError(
            Problem(str(folder / "config.json"), f"is no JSON ({error})", remedy="download it again")
        ) from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(Problem(str(folder), "config.json names no model_type", expected))
    if not any(folder.glob("*.safetensors")):
        raise InputError(Problem(str(folder), "no weights", "*.safetensors", "MPVG loads no pickled weights"))
