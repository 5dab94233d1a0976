"""The tiny models of the diffusion tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "diffusion"))

from tiny import _one_thread, backbone, hooks_of, make_backbone, negative, noise, normal, positive  # noqa: F401
