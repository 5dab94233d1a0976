"""The diffusion core knows a backbone by its interface only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mpvg_core.diffusion


def test_the_diffusion_core_loads_neither_diffusers_nor_transformers():
    names = sorted(path.stem for path in Path(mpvg_core.diffusion.__file__).parent.glob("*.py"))
    modules = ", ".join(f"mpvg_core.diffusion.{name}" for name in names if name != "__init__")
    check = f"import sys, {modules}; sys.exit(any(name in sys.modules for name in ('diffusers', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
