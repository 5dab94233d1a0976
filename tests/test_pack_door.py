"""ComfyUI's door to the pack, and the core behind it, are light to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LOAD_THE_PACK = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("any-folder.name", {door!r}, submodule_search_locations=[{root!r}])
pack = importlib.util.module_from_spec(spec)
sys.modules["any-folder.name"] = pack
spec.loader.exec_module(pack)
"""

NAME_HEAVY_MODULES = """
heavy = sorted({"torch", "diffusers", "transformers", "numpy", "comfy_api"} & set(sys.modules))
sys.exit(f"loaded {heavy}" if heavy else 0)
"""

REGISTER_THE_NODES = """
import asyncio, sys
sys.path.insert(0, {tests!r})
import standin
sys.modules.update(standin.host_modules())
extension = asyncio.run(standin.load_pack().comfy_entrypoint())
for node in asyncio.run(extension.get_node_list()):
    node.define_schema()
core = standin.PACK + ".mpvg_core."
loaded = {{name.removeprefix(core) for name in sys.modules if name.startswith(core)}}
loaded = loaded - {{"errors", "backbone", "backbone.memory"}} | {{"diffusers", "pydantic"}} & set(sys.modules)
sys.exit(f"loaded {{sorted(loaded)}}" if loaded else 0)
"""


def run_python(code: str) -> None:
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def load_the_pack() -> str:
    return LOAD_THE_PACK.format(door=str(ROOT / "__init__.py"), root=str(ROOT))


def test_importing_the_pack_under_any_folder_name_loads_nothing_heavy() -> None:
    run_python(load_the_pack() + NAME_HEAVY_MODULES)


def test_importing_the_core_loads_nothing_heavy() -> None:
    run_python("import sys, mpvg_core" + NAME_HEAVY_MODULES)


def test_importing_the_storyboard_loads_neither_torch_nor_numpy() -> None:
    run_python("import sys, mpvg_core.storyboard, mpvg_core.storyboard.writer" + NAME_HEAVY_MODULES)


def test_a_starting_comfyui_loads_of_the_core_no_more_than_errors_and_memory() -> None:
    run_python(REGISTER_THE_NODES.format(tests=str(ROOT / "tests" / "nodes")))
