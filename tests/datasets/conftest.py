"""Made videos and scripted endpoints, which tests import by name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "endpoint"))

from chat_server import serve as serve
