"""A stand-in for the parts of ComfyUI that the nodes name when they are imported, so that their schemas can be read
without a ComfyUI. It records what a schema says and what a node gives. A host test holds it to the real thing.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[2]
PACK = "mpvg_under_test"


@dataclass
class Slot:
    """An input or output as a node declares it."""

    type: str
    id: str
    options: dict[str, Any] = field(default_factory=dict)


class Kind:
    """A socket type: `Input` and `Output` make slots of it."""

    def __init__(self, type: str) -> None:
        self.type = type

    def Input(self, id: str, types: list[Kind] | None = None, **options: Any) -> Slot:
        return Slot(",".join(kind.type for kind in types) if types else self.type, id, options)

    def Output(self, id: str, **options: Any) -> Slot:
        return Slot(self.type, id, options)


@dataclass
class Schema:
    """The fields of ComfyUI's schema that this pack may use: a field that is not here breaks the test."""

    node_id: str
    display_name: str = ""
    category: str = ""
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    inputs: list[Slot] = field(default_factory=list)
    outputs: list[Slot] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    is_output_node: bool = False
    enable_expand: bool = False
    is_dev_only: bool = False


class Hidden(Enum):
    unique_id = "UNIQUE_ID"


class NodeOutput:
    """What a node gives: the values of its outputs in order, and what the page shows of it."""

    def __init__(self, *args: Any, ui: dict[str, Any] | None = None, expand: Any = None) -> None:
        self.args, self.ui, self.expand = args, ui, expand


class ProgressBar:
    """Remembers how far it went."""

    made: ClassVar[list[ProgressBar]] = []

    def __init__(self, total: int) -> None:
        self.total, self.shown = total, list[int]()
        self.made.append(self)

    def update_absolute(self, done: int, total: int, preview: Any = None) -> None:
        self.shown.append(done)


@dataclass
class VideoFromComponents:
    """A VIDEO in memory: `images` [n, H, W, 3] in 0..1 and `frame_rate`."""

    components: Any

    def get_components(self) -> Any:
        return self.components


@dataclass
class VideoFromFile:
    """A VIDEO on disk. Its frames are never asked for as a whole."""

    file: str

    def get_stream_source(self) -> str:
        return self.file


def _io() -> types.ModuleType:
    io = types.ModuleType("io")
    kinds = {
        "Boolean": "BOOLEAN", "Int": "INT", "Float": "FLOAT", "String": "STRING", "Combo": "COMBO", "Image": "IMAGE",
        "Mask": "MASK", "Latent": "LATENT", "Video": "VIDEO", "Audio": "AUDIO", "Clip": "CLIP", "MultiType": "",
    }  # fmt: skip
    for name, carried in kinds.items():
        setattr(io, name, Kind(carried))
    io.__dict__.update(Custom=Kind, Schema=Schema, Hidden=Hidden, ComfyNode=type("ComfyNode", (), {}))
    io.__dict__["NodeOutput"] = NodeOutput
    return io


def _module(name: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    return module


def host_modules(version: str = "0.33.0") -> dict[str, types.ModuleType]:
    """The modules of a ComfyUI of this version, by name."""
    extension = type("ComfyExtension", (), {})
    anything = type("Anything", (), {})
    folders = _module(
        "folder_paths",
        models_dir="models",
        folder_names_and_paths={},
        get_input_directory=lambda: "no-such-folder",
        get_output_directory=lambda: "no-such-folder",
        get_temp_directory=lambda: "no-such-folder",
        add_model_folder_path=lambda *_, **__: None,
    )
    memory = _module(
        "comfy.model_management",
        OOM_EXCEPTION=MemoryError,
        InterruptProcessingException=type("InterruptProcessingException", (BaseException,), {}),
        throw_exception_if_processing_interrupted=lambda: None,
    )
    patcher, tools = _module("comfy.model_patcher"), _module("comfy.utils", ProgressBar=ProgressBar)
    videos = types.SimpleNamespace(VideoFromComponents=VideoFromComponents, VideoFromFile=VideoFromFile)
    api = _module("comfy_api.latest", io=_io(), ComfyExtension=extension, InputImpl=videos, Types=anything)
    return {
        "comfy": _module("comfy", model_management=memory, model_patcher=patcher, utils=tools),
        "comfy.model_management": memory,
        "comfy.model_patcher": patcher,
        "comfy.utils": tools,
        "comfy_api": _module("comfy_api", latest=api),
        "comfy_api.latest": api,
        "comfy_execution": _module("comfy_execution"),
        "comfy_execution.graph_utils": _module("comfy_execution.graph_utils", GraphBuilder=anything),
        "comfyui_version": _module("comfyui_version", __version__=version),
        "folder_paths": folders,
        "server": _module("server", PromptServer=type("PromptServer", (), {"instance": None})),
    }


def load_pack() -> types.ModuleType:
    """The pack as ComfyUI imports it, under a name of its own."""
    door = ROOT / "__init__.py"
    spec = importlib.util.spec_from_file_location(PACK, door, submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = pack
    spec.loader.exec_module(pack)
    return pack


def written(schema: Schema) -> dict[str, Any]:
    """What of a schema is for ever: ids, types and order, which in the host is required inputs first."""
    slots = sorted(schema.inputs, key=lambda slot: bool(slot.options.get("optional")))
    return {
        "inputs": [[slot.id, slot.type, "optional" if slot.options.get("optional") else "required"] for slot in slots],
        "outputs": [[slot.id, slot.type] for slot in schema.outputs],
    }
