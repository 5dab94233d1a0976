"""ComfyUI's door to the pack: it loads with ComfyUI, so it imports nothing heavy.

The films are made by `mpvg_core`, which also runs by itself (`mpvg film BOARD`); `nodes` shows its steps as nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WEB_DIRECTORY = "./web"
OLDEST_COMFYUI = (0, 14)

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> Any:
    """The pack as ComfyUI sees it. Raises RuntimeError, which ComfyUI logs, when ComfyUI is too old."""
    _require_comfyui()
    from comfy_api.latest import ComfyExtension

    from .nodes import folders
    from .nodes.listing import NODES

    class MPVGExtension(ComfyExtension):
        async def on_load(self) -> None:
            folders.register_folders()
            folders.warn_of_folder_name(Path(__file__).parent.name)

        async def get_node_list(self) -> list[Any]:
            return [*NODES]

    return MPVGExtension()


def _require_comfyui() -> None:
    from comfyui_version import __version__

    numbers = tuple(int(part) for part in __version__.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST_COMFYUI:
        wanted = ".".join(str(number) for number in OLDEST_COMFYUI)
        raise RuntimeError(f"MPVG needs ComfyUI {wanted} or later and this is {__version__}: update ComfyUI")
