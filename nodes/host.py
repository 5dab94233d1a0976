"""All that this pack asks of ComfyUI: folders, memory, progress, previews, cancel, and pictures for the page.

No other file touches the host's services, so that a change of the host is met here.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import comfy.model_management as memory
import comfy.model_patcher
import comfy.utils
import folder_paths
import numpy as np
import torch
from comfy_api.latest import InputImpl, Types, io
from numpy.typing import NDArray
from PIL import Image
from server import PromptServer
from torch import nn

from ..mpvg_core.backbone.folder import POCKET
from ..mpvg_core.backbone.memory import SAMPLING_ROOM, settled_threads
from ..mpvg_core.errors import InputError, MPVGError, Problem

if TYPE_CHECKING:
    from ..mpvg_core.backbone.cogvideox import CogVideoXBackbone

OWN_FOLDER = "mpvg"  # models/mpvg for models and adapters, output/mpvg for films
NO_FILE = "none"
_PREVIEW = 512  # pixels of the longer side
_BOARDS = (".yaml", ".yml", ".json", ".txt")
_PLAIN_IN_PATHS = "!$&'()*+,:;=@"  # what an address shows as it is, beside letters a-z, digits and -._~
_Execute = TypeVar("_Execute", bound=Callable[..., Any])


# -- folders ---------------------------------------------------------------------------------------------------------


def register_folders() -> None:
    """Make models/mpvg and models/LLM places where the host looks for models."""
    folder_paths.add_model_folder_path("LLM", str(Path(folder_paths.models_dir) / "LLM"))
    folder_paths.add_model_folder_path(OWN_FOLDER, str(Path(folder_paths.models_dir) / OWN_FOLDER), is_default=True)


def warn_of_folder_name(name: str) -> None:
    """Say so in the log when the pack's folder has a name from which the host cannot serve files to the page.

    The host's web server (aiohttp) compares a folder's quoted name with the address as it reads unquoted: where the two
    differ, as with a space, it finds nothing, of any pack.
    """
    if quote(name, safe=_PLAIN_IN_PATHS) != name:
        logging.warning(
            "MPVG lies in the folder %r. ComfyUI serves no files to the page from a folder of such a name (spaces, "
            "accents and other alphabets are what it cannot do): the nodes work, but without panels, help pages and "
            "templates. Rename the folder to 'mpvg' and start ComfyUI again.",
            name,
        )


def model_names() -> list[str]:
    """The pocket first, then every model folder under models/mpvg and models/diffusers by its name there."""
    return [POCKET, *_model_folders()]


def model_path(name: str) -> str:
    """The path of a listed model. Raises InputError for one that is gone."""
    if name == POCKET:
        return POCKET
    if (found := _model_folders().get(name)) is None:
        where = "a folder in diffusers' layout under models/mpvg or models/diffusers"
        raise InputError(Problem("model", f"{name!r} is not there", where, "press R to read the list again"))
    return str(found)


def adapter_names() -> list[str]:
    """Every safetensors file under models/mpvg that does not belong to a model's folder."""
    models = {path.resolve() for path in _model_folders().values()}
    names = []
    for root in _roots(OWN_FOLDER):
        for file in sorted(root.rglob("*.safetensors")):
            if not models.intersection(file.resolve().parents):
                names.append(file.relative_to(root).as_posix())
    return names


def adapter_path(name: str) -> Path:
    """The path of a listed adapter. Raises InputError for one that is gone."""
    for root in _roots(OWN_FOLDER):
        if (root / name).is_file():
            return root / name
    raise InputError(Problem("adapter", f"{name!r} is not there", "a safetensors file under models/mpvg"))


def input_folder() -> Path:
    """ComfyUI's input folder, where files lie that storyboards name."""
    return Path(folder_paths.get_input_directory())


def board_names() -> list[str]:
    """The storyboards in the input folder."""
    folder = Path(folder_paths.get_input_directory())
    return sorted(file.name for file in folder.iterdir() if file.suffix.lower() in _BOARDS) if folder.is_dir() else []


def board_path(name: str) -> Path:
    """A file of the input folder. Raises InputError for one that is not in it."""
    folder = Path(folder_paths.get_input_directory()).resolve()
    path = (folder / name).resolve()
    if folder not in path.parents or not path.is_file():
        raise InputError(Problem("storyboard", f"{name!r} is not there", "a file in ComfyUI's input folder"))
    return path


def encoder_names() -> list[str]:
    """The folders in transformers' layout under models/mpvg and models/clip_vision: CLIP, DINO and their like."""
    return [*_encoder_folders()]


def encoder_path(name: str) -> Path | None:
    """The path of a listed folder, None for none. Raises InputError for one that is gone."""
    if name == NO_FILE:
        return None
    if (found := _encoder_folders().get(name)) is None:
        where = "a folder in transformers' layout under models/mpvg or models/clip_vision"
        raise InputError(Problem("encoder", f"{name!r} is not there", where, "press R to read the list again"))
    return found


def language_model_names() -> list[str]:
    """The folders of language models in transformers' layout under models/mpvg and models/LLM, none first."""
    return [NO_FILE, *_language_model_folders()]


def language_model_path(name: str) -> Path:
    """The path of a listed folder. Raises InputError for one that is gone, and for none."""
    if (found := _language_model_folders().get(name)) is None:
        where = "the folder of a chat model in transformers' layout under models/LLM"
        raise InputError(Problem("folder", f"{name!r} is not there", where, "press R to read the list again"))
    return found


def footage_path(text: str) -> Path:
    """A file or folder that the artist names: a whole path, or one inside the input folder.

    Raises InputError for one that is not there, and for a path that leads out of the input folder by '..'.
    """
    named = text.strip().strip("\"'").strip()
    folder = Path(folder_paths.get_input_directory()).resolve()
    path = Path(named).expanduser()
    expected = "a whole path, or one inside ComfyUI's input folder"
    if not named:
        raise InputError(Problem("videos", "is empty", expected))
    if not path.is_absolute():
        path = (folder / path).resolve()
        if path != folder and folder not in path.parents:
            raise InputError(Problem("videos", f"{named!r} leads out of the input folder", expected))
    if not path.exists():
        raise InputError(Problem("videos", f"{str(path)!r} is not there", expected))
    return path


def films_folder() -> Path:
    """Where films are made: output/mpvg."""
    return Path(folder_paths.get_output_directory()) / OWN_FOLDER


def clips_folder() -> Path:
    """Where the clips of the sampler are kept, so that a restart does not make them again: output/mpvg/clips."""
    return films_folder() / "clips"


def film_folder(name: str) -> Path:
    """A film's folder in output/mpvg by its name there. Raises InputError for one that is not in it."""
    home = films_folder().resolve()
    folder = (home / name.strip()).resolve()
    if home not in folder.parents or not folder.is_dir():
        where = "a film's folder under output/mpvg, as 'four-shots-two-actors'"
        raise InputError(Problem("folder", f"{name!r} is not there", where))
    return folder


def datasets_folder() -> Path:
    """Where data sets are built: output/mpvg/datasets."""
    return films_folder() / "datasets"


def in_output(path: Path) -> bool:
    """Whether a path lies in the output folder, the one place where this pack writes what is to stay."""
    return Path(folder_paths.get_output_directory()).resolve() in path.resolve().parents


def shown_path(path: Path) -> str:
    """A path in the output folder in short: output/mpvg/my-film/page.html."""
    folder = Path(folder_paths.get_output_directory()).resolve()
    return (Path(folder.name) / path.resolve().relative_to(folder)).as_posix()


def output_file(path: Path) -> dict[str, str]:
    """A file of the output folder as the page asks for it."""
    relative = path.resolve().relative_to(Path(folder_paths.get_output_directory()).resolve())
    return {"filename": relative.name, "subfolder": relative.parent.as_posix(), "type": "output"}


def shown_picture(picture: NDArray[np.uint8]) -> dict[str, str]:
    """A picture [H, W, 3] in the temp folder, as the page asks for it; small ones are enlarged."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"mpvg-{uuid.uuid4().hex}.png"
    _watchable(picture).save(file)
    return {"filename": file.name, "subfolder": "", "type": "temp"}


def _roots(kind: str) -> list[Path]:
    paths = folder_paths.folder_names_and_paths.get(kind, ((), ()))[0]
    return [Path(path) for path in paths if Path(path).is_dir()]


def _encoder_folders() -> dict[str, Path]:
    return _folders_with("preprocessor_config.json", "config.json", (OWN_FOLDER, "clip_vision"))


def _language_model_folders() -> dict[str, Path]:
    return _folders_with("generation_config.json", "tokenizer_config.json", (OWN_FOLDER, "LLM"))


def _folders_with(file: str, beside: str, kinds: tuple[str, ...]) -> dict[str, Path]:
    """Folders that hold both files, by their path below the first root that has them."""
    found: dict[str, Path] = {}
    for kind in kinds:
        for root in _roots(kind):
            for path in sorted(root.glob(f"**/{file}")):
                if path.with_name(beside).is_file() and path.parent != root:
                    found.setdefault(path.parent.relative_to(root).as_posix(), path.parent)
    return found


def _model_folders() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for kind in (OWN_FOLDER, "diffusers"):
        for root in _roots(kind):
            for file in sorted(root.glob("**/transformer/config.json")):
                folder = file.parent.parent
                found.setdefault(folder.relative_to(root).as_posix(), folder)
    return found


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
