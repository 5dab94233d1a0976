"""The films of `toy_films.py`, which a test imports by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
