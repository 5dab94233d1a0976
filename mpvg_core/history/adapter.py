"""The history adapter: extractor, decoupler and injection in one file of their own beside an untouched model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..backbone.interface import TextEmbedding
from ..diffusion.inject import HistoryConditioning, Injection, injected, injection_from_config
from ..errors import InputError, MPVGError, Problem
from .decouple import DecouplingEncoder, HistoryTokens
from .history import PromptHistory
from .select import SelectionSettings, TokenSelection
from .semantics import VideoSemanticExtractor, VisualSemantics
from .space import TokenSpace

FORMAT = "mpvg-history-adapter/2"


class HistoryAdapter(nn.Module):
    """From the remembered shots and the current prompt to the tokens that the injection brings into the transformer."""

    space_centre: Tensor | None
    space_turn: Tensor | None

    def __init__(
        self,
        extractor: VideoSemanticExtractor,
        decoupler: DecouplingEncoder,
        injection: Injection,
        selection: SelectionSettings | None = None,
        space: TokenSpace | None = None,
    ) -> None:
        """selection: what the adapter was trained with, and so the film's default: similarity depends on the encoder.

        Raises ValueError when the parts do not fit each other.
        """
        super().__init__()
        widths = (extractor.numbers["width"], decoupler.numbers["width"], injection.history_dim)
        texts = (extractor.numbers["text_dim"], decoupler.numbers["text_dim"])
        if len(set(widths)) != 1 or len(set(texts)) != 1:
            raise ValueError(f"parts of widths {widths} for texts of widths {texts}: each should be the same")
        self.extractor, self.decoupler = extractor, decoupler
        self.injection: Injection = injection
        self.selection = selection or SelectionSettings()
        self.register_buffer("space_centre", space.centre if space else None)
        self.register_buffer("space_turn", space.turn if space else None)
        self.trained: dict[str, Any] = {}

    @property
    def space(self) -> TokenSpace | None:
        """The space in which tokens are compared, if the adapter brings one."""
        if self.space_centre is None or self.space_turn is None:
            return None
        return TokenSpace(self.space_centre.cpu(), self.space_turn.cpu())

    @property
    def fingerprint(self) -> str:
        """A hash of weights and configuration, 16 hex digits; of a loaded adapter it is the same every time."""
        digest = hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def config(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "extractor": self.extractor.numbers,
            "decoupler": self.decoupler.numbers,
            "injection": self.injection.config(),
            "selection": asdict(self.selection),
            "space": self.space_turn is not None,
        }

    def history_tokens(
        self, history: PromptHistory, current: TextEmbedding, selection: TokenSelection, ages: list[int] | None = None
    ) -> HistoryTokens | None:
        """Steps 2 and 3 for one shot, see `extract` and `decouple`; None when nothing was selected."""
        semantics = self.extract(history, current, selection, ages)
        return None if semantics is None else self.decouple(current, semantics)

    def extract(
        self, history: PromptHistory, current: TextEmbedding, selection: TokenSelection, ages: list[int] | None = None
    ) -> VisualSemantics | None:
        """Step 2: what the current prompt's tokens should look like; None when nothing was selected.

        selection: of the shots of `history`, in their order; ages: how many shots ago each was (default: the last was
        1, the one before 2, …).
        """
        if not selection.count:
            return None
        device = self._device
        ages = ages if ages is not None else list(range(len(history), 0, -1))
        texts, seen, places, years, reaches = [], [], [], [], []
        for shot, mask, reach, age in zip(history, selection.masks, selection.reaches, ages, strict=True):
            chosen = mask.nonzero().flatten()
            if len(chosen):
                text = shot.text.embeds[chosen.to(shot.text.embeds.device)].to(device).float()[None]
                clip, positions = (part.to(device).float()[None] for part in (shot.clip.tokens, shot.clip.positions))
                texts.append(text)
                seen.append(self.extractor.look(text, chosen.to(device)[None], clip, positions))
                places.append(chosen)
                reaches.append(reach[chosen])
                years.append(torch.full_like(chosen, age))
        past = torch.cat(texts, dim=1)
        semantics = self.extractor.predict(
            current.embeds.to(device).float()[None],
            current.mask.to(device)[None],
            past,
            torch.cat(seen, dim=1),
            torch.ones(past.shape[:2], dtype=torch.bool, device=device),
            torch.cat(places).to(device)[None],
            torch.cat(years).to(device)[None],
            torch.cat(reaches).to(device)[None],
        )
        return VisualSemantics(semantics[0], selection.served)

    def decouple(self, current: TextEmbedding, semantics: VisualSemantics) -> HistoryTokens:
        """Step 3: one history token for each current token that a kept token serves."""
        device = self._device
        embeds = current.embeds.to(device).float()[None]
        served = torch.tensor(semantics.served, device=device)
        mask = torch.zeros(embeds.shape[:2], dtype=torch.bool, device=device)
        mask[0, served] = True
        tokens: Tensor = self.decoupler(embeds, semantics.values.to(device)[None], mask)
        return HistoryTokens(tokens[0, served])

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device


def save_adapter(adapter: HistoryAdapter, path: Path, *, dtype: torch.dtype = torch.float16, **trained: Any) -> None:
    """Writes one safetensors file; `trained` says how it was made (recipe, steps, base) and goes into its header."""
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in adapter.state_dict().items()}
    metadata = {"config": json.dumps(adapter.config()), "trained": json.dumps(trained, sort_keys=True)}
    save_file(state, path, metadata=metadata)


def load_adapter(path: Path, *, device: torch.device | str = "cpu") -> HistoryAdapter:
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
        if config["format"] != FORMAT:
            raise ValueError(f"its format is {config['format']!r}")
        adapter = HistoryAdapter(
            VideoSemanticExtractor(**config["extractor"]),
            DecouplingEncoder(**config["decoupler"]),
            injection_from_config(config["injection"]),
            SelectionSettings(**config["selection"]),
            TokenSpace(state["space_centre"], state["space_turn"]) if config["space"] else None,
        )
        adapter.load_state_dict(state)
    # torch asserts that heads divide widths; a configuration that is no object has no items.
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, AssertionError, MPVGError) as error:
        reason = " ".join(str(error).split())
        what = f"no history adapter that this version reads ({type(error).__name__}: {reason})"
        raise InputError(
            Problem(str(path), what, FORMAT, "choose an adapter of this format, or update MPVG")
        ) from error
    adapter.trained = trained
    return adapter.to(device).eval()


def require_fit(
    adapter: HistoryAdapter,
    *,
    text_dim: int,
    max_tokens: int,
    transformer: nn.Module | None = None,
    path: str = "the adapter",
) -> None:
    """Raises InputError when the adapter was made for another model; with `transformer` its hooks are tried on it."""
    numbers = adapter.extractor.numbers
    found, wanted = (numbers["text_dim"], numbers["max_tokens"]), (text_dim, max_tokens)
    if found != wanted:
        made = f"was made for prompts of {found[1]} tokens of {found[0]} numbers"
        raise InputError(Problem(path, made, f"{wanted[1]} of {wanted[0]} for this model", "choose its own adapter"))
    if transformer is None:
        return
    tokens = torch.zeros(1, 1, adapter.injection.history_dim)
    try:
        with injected(transformer, HistoryConditioning(adapter.injection, tokens)):
            pass
    except MPVGError as error:
        raise InputError(Problem(path, str(error), remedy="choose the model's own adapter")) from error
