"""Weights of the noise levels."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.training.weighting import min_snr_weight

SIGNAL = torch.tensor([0.0, 0.1, 0.5, 0.8, 0.9, 0.999])


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_the_weights_are_min_snr_for_v(gamma: float) -> None:
    snr = SIGNAL / (1 - SIGNAL)
    bound = torch.full_like(snr, gamma)
    assert torch.allclose(min_snr_weight(SIGNAL, gamma, "plain"), snr.minimum(bound) / (snr + 1))
    assert torch.allclose(min_snr_weight(SIGNAL, gamma), (snr + 1).minimum(bound) / (snr + 1))


def test_pure_noise_counts_in_full_unless_the_published_form_is_asked_for() -> None:
    assert min_snr_weight(SIGNAL)[0] == 1
    assert min_snr_weight(SIGNAL, 5.0, "plain")[0] == 0


def test_both_forms_agree_where_there_is_little_noise() -> None:
    assert torch.equal(min_snr_weight(SIGNAL)[4:], min_snr_weight(SIGNAL, 5.0, "plain")[4:])
