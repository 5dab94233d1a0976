"""The tiny models' fixtures, shared with the tests of the methods."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tiny import _one_thread, backbone, hooks_of, make_backbone, negative, noise, normal, positive  # noqa: F401
