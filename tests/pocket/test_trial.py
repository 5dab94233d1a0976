"""The trial of the figures of consistency on films of the toy world."""

from __future__ import annotations

import numpy as np

from mpvg_core.evaluate.palette import Palette
from mpvg_core.pocket.trial import roc_area, run_trial


def test_the_trial_tells_films_that_keep_their_looks_from_others():
    found = run_trial(2, Palette())
    assert found.actors_paired == 1 and found.places > 0.9
    assert found.precision > 0.5 and found.recall > 0.5


def test_the_roc_area_is_a_half_where_nothing_differs_and_one_where_all_does():
    assert roc_area([2, 3], [0, 1]) == 1 and roc_area([1, 1], [1, 1]) == 0.5
    assert np.isnan(roc_area([], [1]))
