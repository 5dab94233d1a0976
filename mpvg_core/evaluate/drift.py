"""Colours that wander from shot to shot."""

from __future__ import annotations

import numpy as np

from .colour import Floats


def colour_drift(first: Floats, other: Floats) -> float:
    """How far a shot's colours are from those of shot 1: CIE76 difference of their mean CIELAB colours [3].

    0 for the same mean colour; 2 is just seen side by side, 10 at a glance, 100 is black and white. It sees a cast of
    colour and a change of exposure. A proxy: another place has other colours by right, so it is a fault only where the
    places are meant to be alike, and grey has the mean of all colours.
    """
    return float(np.linalg.norm(other.astype(np.float64) - first.astype(np.float64)))
