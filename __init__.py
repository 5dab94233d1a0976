"""ComfyUI's door to the pack: it loads with ComfyUI, so it imports nothing heavy.

The films are made by `mpvg_core`, which also runs by itself (`mpvg film BOARD`). This door registers no nodes yet.
"""

from __future__ import annotations

from typing import Any

__all__ = ["comfy_entrypoint"]


async def comfy_entrypoint() -> Any:
    """The pack as ComfyUI sees it: a `ComfyExtension` and its list of nodes."""
    from comfy_api.latest import ComfyExtension

    class MPVGExtension(ComfyExtension):
        async def get_node_list(self) -> list[Any]:
            return []

    return MPVGExtension()
