"""Prompts to token ids without torch: so a plan can count tokens before anything else is loaded.

A model folder brings either `tokenizer.json` (Hugging Face tokenizers) or `spiece.model` (SentencePiece, as CogVideoX's
T5 does). Both give the ids of transformers' own T5 tokenizer; a test holds them equal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import InputError, Problem

PAD, END, UNKNOWN = 0, 1, 2  # T5's
TOKENIZER_FILES = ("tokenizer.json", "spiece.model")


class Words(Protocol):
    """A tokenizer: ids of a text with the end token, their pieces, and the words it has no token for."""

    def ids(self, text: str) -> list[int]: ...
    def pieces(self, ids: list[int]) -> list[str]: ...
    def unknown(self, text: str) -> tuple[str, ...]: ...
    def known(self) -> tuple[str, ...]: ...


def load_words(folder: Path) -> Words:
    """The tokenizer in `folder`. Raises InputError when there is none, or none that can be read."""
    file = next((folder / name for name in TOKENIZER_FILES if (folder / name).is_file()), None)
    if file is None:
        wanted = " or ".join(TOKENIZER_FILES)
        raise InputError(Problem(str(folder), "no tokenizer", wanted, "download the model's tokenizer folder"))
    try:
        return _JsonWords.load(file) if file.suffix == ".json" else _PieceWords.load(file)
    except Exception as error:  # tokenizers raises no narrower class
        raise InputError(Problem(str(file), f"does not open ({error})", remedy="download it again")) from error


@dataclass(frozen=True)
class _JsonWords:
    tokenizer: Any
    whole_words: bool  # a closed vocabulary: what is not in it cannot be meant

    @classmethod
    def load(cls, path: Path) -> _JsonWords:
        from tokenizers import Tokenizer

        kind = json.loads(path.read_text(encoding="utf-8"))["model"].get("type")
        tokenizer = Tokenizer.from_file(str(path))
        # A saved tokenizer may cut and pad by itself: a prompt that is too long must be seen as such.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer, whole_words=kind == "WordLevel")

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text).ids)

    def pieces(self, ids: list[int]) -> list[str]:
        return [self.tokenizer.id_to_token(index) or "" for index in ids]

    def unknown(self, text: str) -> tuple[str, ...]:
        if not self.whole_words:
            return ()
        encoded = self.tokenizer.encode(text)
        found = (text[a:b] for index, (a, b) in zip(encoded.ids, encoded.offsets, strict=True) if index == UNKNOWN)
        return tuple(dict.fromkeys(found))

    def known(self) -> tuple[str, ...]:
        if not self.whole_words:
            return ()
        return tuple(sorted(word for word in self.tokenizer.get_vocab() if word.isalpha()))


@dataclass(frozen=True)
class _PieceWords:
    processor: Any

    @classmethod
    def load(cls, path: Path) -> _PieceWords:
        from sentencepiece import SentencePieceProcessor

        processor = SentencePieceProcessor()
        processor.LoadFromSerializedProto(path.read_bytes())  # by bytes: paths outside the system's code page work too
        return cls(processor)

    def ids(self, text: str) -> list[int]:
        return [*self.processor.EncodeAsIds(text), END]

    def pieces(self, ids: list[int]) -> list[str]:
        return [str(self.processor.IdToPiece(index)) for index in ids]

    def unknown(self, text: str) -> tuple[str, ...]:
        return ()

    def known(self) -> tuple[str, ...]:
        return ()
