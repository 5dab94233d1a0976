"""What this pack asks of ComfyUI: memory, progress, previews, cancel, and pictures for the page.

No file but this and `folders.py` touches the host's services, so that a change of the host is met here.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import comfy.model_management as memory
import comfy.model_patcher
import comfy.utils
import numpy as np
import torch
from comfy_api.latest import InputImpl, Types, io
from numpy.typing import NDArray
from PIL import Image
from server import PromptServer
from torch import nn

from ..mpvg_core.backbone.memory import SAMPLING_ROOM, settled_threads
from ..mpvg_core.errors import MPVGError
from .folders import temp_folder

if TYPE_CHECKING:
    from ..mpvg_core.backbone.cogvideox import CogVideoXBackbone

_PREVIEW = 512  # pixels of the longer side
_Execute = TypeVar("_Execute", bound=Callable[..., Any])


# -- memory ----------------------------------------------------------------------------------------------------------


class Resident:
    """A model's weights under the host's memory management: they come to the device when work begins, stay between
    shots, and leave when another model needs the room."""

    def __init__(self, parts: Sequence[nn.Module], device: torch.device) -> None:
        holder = nn.Module()
        for index, part in enumerate(parts):
            holder.add_module(f"part{index}", part)
        self._patcher = comfy.model_patcher.ModelPatcher(
            holder, load_device=device, offload_device=memory.unet_offload_device()
        )
        self.device = device

    def summon(self) -> None:
        """Bring the weights to their device, whole, and keep room to sample beside them."""
        memory.load_models_gpu([self._patcher], memory_required=SAMPLING_ROOM, force_full_load=True)


def working_device(policy: str) -> str:
    """The core's name for the device of a policy: "auto" is the host's own choice."""
    return "cpu" if policy == "cpu" else str(memory.get_torch_device())


def make_room(needed: int) -> None:
    """Let other models leave until so many bytes are free on the host's device."""
    memory.free_memory(needed, memory.get_torch_device())


@contextmanager
def at_work(resident: Resident, transformer: nn.Module) -> Iterator[None]:
    """The weights are where they are needed, and the number of threads fits the model, for as long as it lasts."""
    resident.summon()
    with settled_threads(transformer, resident.device):
        yield


@contextmanager
def reading(backbone: CogVideoXBackbone) -> Iterator[None]:
    """There is room for the text encoder, which comes and goes by itself; the other weights are not needed for it."""
    if backbone.text_room:
        make_room(backbone.text_room)
    with settled_threads(backbone.transformer, backbone.device):
        yield


# -- progress, preview, cancel ---------------------------------------------------------------------------------------


def interrupt() -> None:
    """Raises what the host expects when the artist has pressed Cancel."""
    memory.throw_exception_if_processing_interrupted()


class Progress:
    """The bar and the preview of the node that runs now."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)
        self._total = total

    def show(self, done: int, picture: NDArray[np.uint8] | None = None) -> None:
        """`done` of the total; picture uint8 [h, w, 3]."""
        preview = None if picture is None else ("JPEG", _watchable(picture), _PREVIEW)
        self._bar.update_absolute(done, self._total, preview)


def say(node_id: str, line: str) -> None:
    """A line on a node, in place of the one before."""
    server = PromptServer.instance
    if server is not None and server.client_id is not None:
        server.send_progress_text(line, node_id, server.client_id)


def _watchable(picture: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(picture)
    factor = 256 // max(image.size)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return image


# -- pictures and sound ----------------------------------------------------------------------------------------------


def shown_picture(picture: NDArray[np.uint8]) -> dict[str, str]:
    """A picture [H, W, 3] in the temp folder, as the page asks for it; small ones are enlarged."""
    file = temp_folder() / f"mpvg-{uuid.uuid4().hex}.png"
    _watchable(picture).save(file)
    return {"filename": file.name, "subfolder": "", "type": "temp"}


def image_batch(frames: NDArray[np.uint8]) -> torch.Tensor:
    """Frames uint8 [n, H, W, 3] as an IMAGE: float32 in 0..1."""
    return torch.from_numpy(np.array(frames)).float() / 255


def frames_of(clip: Any) -> tuple[NDArray[np.uint8], float | None]:
    """The frames uint8 [n, H, W, 3] of an IMAGE or VIDEO, and a VIDEO's frames a second."""
    rate = None
    if not isinstance(clip, torch.Tensor):
        parts = clip.get_components()
        clip, rate = parts.images, float(parts.frame_rate)
    levels: NDArray[np.uint8] = (clip[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return levels, rate


def mask_of(mask: torch.Tensor) -> NDArray[np.bool_]:
    """A MASK [n, H, W] or [H, W] as bool [n, H, W]: True where it is white."""
    white: NDArray[np.bool_] = (mask.reshape(-1, *mask.shape[-2:]) >= 0.5).cpu().numpy()
    return white


def stream_of(clip: Any) -> tuple[Callable[[], Iterator[NDArray[np.uint8]]], int, float | None]:
    """How to read the frames uint8 [H, W, 3] of an IMAGE or VIDEO one by one, how many there are, and a VIDEO's frames
    a second. One frame after the other is turned to bytes, so that no second copy of the clip is made."""
    rate = None
    if not isinstance(clip, torch.Tensor):
        parts = clip.get_components()
        clip, rate = parts.images, float(parts.frame_rate)
    images: torch.Tensor = clip

    def read() -> Iterator[NDArray[np.uint8]]:
        for image in images:
            yield (image[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()

    return read, len(images), rate


def file_of(clip: Any) -> Path | None:
    """The file that a VIDEO is, whole, so that it can be read as a stream; None where it is no file, or a part of one.

    A host that can trim a VIDEO tells it by `get_active_trim_window`: start and duration in seconds, 0 and 0 for all.
    """
    if not isinstance(clip, InputImpl.VideoFromFile):
        return None
    trimmed = any(clip.get_active_trim_window()) if hasattr(clip, "get_active_trim_window") else False
    source = clip.get_stream_source()
    return Path(source) if isinstance(source, str) and not trimmed else None


def video_of(frames: NDArray[np.uint8], fps: int) -> Any:
    """Frames uint8 [n, H, W, 3] as a VIDEO."""
    return InputImpl.VideoFromComponents(
        Types.VideoComponents(images=image_batch(frames), audio=None, frame_rate=Fraction(fps))
    )


def video_file(path: Path) -> Any:
    """A file as a VIDEO."""
    return InputImpl.VideoFromFile(str(path))


def sound_of(audio: Any) -> tuple[NDArray[np.floating], int]:
    """An AUDIO's first track: samples [channels, n] and their rate."""
    return audio["waveform"][0].float().cpu().numpy(), int(audio["sample_rate"])


# -- text ------------------------------------------------------------------------------------------------------------


def text_encoder_of(clip: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """The host's T5 as the core calls it: token ids [1, L] to states [1, L, D]."""

    def read(ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = clip.encode_from_tokens({"t5xxl": [[(int(index), 1.0) for index in ids[0]]]})
        return states

    return read


# -- nodes -----------------------------------------------------------------------------------------------------------


def hidden_in_menus() -> dict[str, bool]:
    """Schema fields of a node that only other nodes make, as far as this host knows them."""
    return {"is_dev_only": True} if "is_dev_only" in {field.name for field in fields(io.Schema)} else {}


def plain_words(execute: _Execute) -> _Execute:
    """Every failure of a node is said in words: ours as they are, the host's own (cancel, out of memory) untouched."""

    @functools.wraps(execute)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except (MPVGError, memory.OOM_EXCEPTION, memory.InterruptProcessingException):
            raise
        except Exception as error:
            said = " ".join(str(error).split()) or "no message"
            raise MPVGError(
                f"{type(error).__name__}: {said}. This is a fault of MPVG or of a library under it, not of your graph; "
                "the log has the details for a report."
            ) from error

    return run  # type: ignore[return-value]
