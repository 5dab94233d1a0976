"""How much each moment of the noise schedule counts in the loss."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

Form = Literal["terminal", "plain"]
FORMS: tuple[str, ...] = get_args(Form)


def min_snr_weight(signal: Tensor, gamma: float = 5.0, form: Form = "terminal") -> Tensor:
    """Weight of the squared error of v at signal ᾱ_t in 0..1, where SNR = ᾱ / (1 − ᾱ); a tensor like `signal`.

    plain:    min(SNR, γ) / (SNR + 1) = min(ᾱ, γ (1 − ᾱ)), as published (Hang et al. 2023, v-prediction).
    terminal: min(SNR + 1, γ) / (SNR + 1) = min(1, γ (1 − ᾱ)): the same where there is little noise, but the noisiest
              moments keep their full weight. CogVideoX's schedule ends in pure noise (ᾱ = 0), from where every clip
              begins and where it is settled whether it cuts; `plain` gives that moment no weight at all.
    """
    ceiling = gamma * (1 - signal)
    return signal.minimum(ceiling) if form == "plain" else ceiling.clamp(max=1.0)
