"""Many histories at once: select, extract and decouple over a padded batch, for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..backbone.interface import TextEmbedding
from ..history.adapter import HistoryAdapter
from ..history.select import SelectionSettings, select_tokens
from ..history.space import TokenSpace


@dataclass(frozen=True)
class MemoryBatch:
    """Kept tokens of B histories of at most S shots and m tokens a shot, and the prompts that they serve.

    current [B, L, D], words [B, L] (True: a word), served [B, L] (True: the past knows something of it);
    past [B, S, m, D], kept [B, S, m], places [B, S, m] their index in their prompt, reaches [B, S, m, L] the current
    tokens of which they tell, ages [B, S].
    """

    current: Tensor
    words: Tensor
    served: Tensor
    past: Tensor
    kept: Tensor
    places: Tensor
    reaches: Tensor
    ages: Tensor


def gather(
    histories: Sequence[Sequence[TextEmbedding]],
    currents: Sequence[TextEmbedding],
    shots: int,
    settings: SelectionSettings,
    space: TokenSpace | None = None,
) -> MemoryBatch:
    """Selects for every sample; its history is padded at the front to `shots`, so that age = shots - index.

    Raises ValueError for a history of more than `shots`.
    """
    if any(len(past) > shots for past in histories):
        raise ValueError(f"a history of {max(map(len, histories))} shots in a batch for {shots}")
    selections = [select_tokens(past, now, settings, space) for past, now in zip(histories, currents, strict=True)]
    most = max([int(mask.sum()) for selection in selections for mask in selection.masks] + [1])
    batch, (length, width) = len(currents), currents[0].embeds.shape
    past = torch.zeros(batch, shots, most, width)
    kept = torch.zeros(batch, shots, most, dtype=torch.bool)
    places = torch.zeros(batch, shots, most, dtype=torch.long)
    reaches = torch.zeros(batch, shots, most, length, dtype=torch.bool)
    served = torch.zeros(batch, length, dtype=torch.bool)
    for b, (history, selection) in enumerate(zip(histories, selections, strict=True)):
        first = shots - len(history)
        for shot, (text, mask) in enumerate(zip(history, selection.masks, strict=True), first):
            chosen = mask.nonzero().flatten()
            row = (b, shot, slice(len(chosen)))
            past[row], kept[row], places[row] = text.embeds[chosen], True, chosen
            reaches[row] = selection.reaches[shot - first][chosen]
        served[b, list(selection.served)] = True
    return MemoryBatch(
        current=torch.stack([text.embeds for text in currents]),
        words=torch.stack([text.mask for text in currents]),
        served=served,
        past=past,
        kept=kept,
        places=places,
        reaches=reaches,
        ages=torch.arange(shots, 0, -1).expand(batch, shots),
    )


@dataclass(frozen=True)
class Remembered:
    """seen [B, S, m, W]: what the kept tokens look like; semantics [B, L, W]: what the prompt's tokens should look
    like; tokens [B, L, W]: history tokens, of which those under `served` count."""

    seen: Tensor
    semantics: Tensor
    tokens: Tensor


def remember(
    adapter: HistoryAdapter, memory: MemoryBatch, clips: Tensor, positions: Tensor, which: Tensor
) -> Remembered:
    """Steps 2 and 3 for a batch; the same sums as `HistoryAdapter.history_tokens`.

    clips [N, T, D_v] at positions [T, 3]; which [B, S]: the clip of each remembered shot. A clip that several samples
    remember is opened once.
    """
    batch, shots, most, _ = memory.past.shape
    keys, values = adapter.extractor.open(clips, positions.expand(len(clips), *positions.shape))
    seen = adapter.extractor.look_into(
        memory.past.flatten(0, 1), memory.places.flatten(0, 1), keys[which.flatten()], values[which.flatten()]
    ).unflatten(0, (batch, shots))
    semantics = adapter.extractor.predict(
        memory.current,
        memory.words,
        memory.past.flatten(1, 2),
        seen.flatten(1, 2),
        memory.kept.flatten(1, 2),
        memory.places.flatten(1, 2),
        memory.ages[:, :, None].expand(batch, shots, most).flatten(1, 2),
        memory.reaches.flatten(1, 2),
    )
    return Remembered(seen, semantics, adapter.decoupler(memory.current, semantics, memory.served))
