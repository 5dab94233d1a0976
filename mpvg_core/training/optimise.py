"""What every training run shares: optimisers, learning-rate schedule and moving average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn


class Optimisers:
    """Muon on the inner matrices, AdamW on everything else (embeddings, norms, biases, first and last layers).

    Muon: momentum orthogonalised by Newton-Schulz (Jordan et al. 2024), here torch's own, with updates of AdamW's size.
    A convolution is a matrix [out, in × kernel]: Muon is given a flat view of its weights.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], *, matrix_lr: float, other_lr: float, outer: Iterable[str] = ()
    ) -> None:
        outer = tuple(outer)
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        self._flat: list[tuple[nn.Parameter, nn.Parameter]] = []
        for prefix, module in modules.items():
            for name, parameter in module.named_parameters():
                if not parameter.requires_grad:
                    continue
                inner = parameter.ndim >= 2 and not any(part in f"{prefix}.{name}" for part in outer)
                (matrices if inner else others).append(parameter)
        self.parameters = matrices + others
        self._flat = [(p, nn.Parameter(p.data.view(len(p), -1))) for p in matrices if p.ndim > 2]
        views = {id(p): flat for p, flat in self._flat}
        matrices = [views.get(id(p), p) for p in matrices]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if matrices:
            muon = torch.optim.Muon(matrices, lr=matrix_lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
            self._parts.append((muon, matrix_lr))
        if others:
            self._parts.append((torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.98), weight_decay=0.0), other_lr))

    def step(self, factor: float, clip: float = 1.0) -> float:
        """One update with learning rates times `factor`; returns the gradient norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, clip)
        for parameter, flat in self._flat:
            flat.grad = None if parameter.grad is None else parameter.grad.view_as(flat)
            parameter.grad = None
        for optimiser, rate in self._parts:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return float(norm)

    def state_dict(self) -> list[dict[str, Any]]:
        return [optimiser.state_dict() for optimiser, _ in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for (optimiser, _), state in zip(self._parts, states, strict=True):
            optimiser.load_state_dict(state)


def warmup_stable_decay(step: int, total: int, *, warmup: int = 100, decay: float = 0.35) -> float:
    """Learning-rate factor: linear warm-up, constant, then linear decay to zero over the last `decay` of the steps."""
    if step < warmup:
        return (step + 1) / warmup
    start = total * (1 - decay)
    return 1.0 if step < start else max(0.0, (total - step) / (total - start))


class MovingAverage:
    """Exponential moving average of parameters, with the usual early correction min(decay, (1+n)/(10+n))."""

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.decay, self.count = decay, 0
        self.shadow = {
            prefix: {name: p.detach().clone() for name, p in module.named_parameters()}
            for prefix, module in modules.items()
        }

    @torch.no_grad()
    def update(self, modules: Mapping[str, nn.Module]) -> None:
        self.count += 1
        keep = min(self.decay, (1 + self.count) / (10 + self.count))
        for prefix, module in modules.items():
            shadow = self.shadow[prefix]
            names, values = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
            torch._foreach_lerp_([shadow[n] for n in names], list(values), 1 - keep)

    @torch.no_grad()
    def copy_to(self, modules: Mapping[str, nn.Module]) -> None:
        for prefix, module in modules.items():
            for name, parameter in module.named_parameters():
                parameter.copy_(self.shadow[prefix][name])
