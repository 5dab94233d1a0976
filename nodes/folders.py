"""Where things lie in ComfyUI: models, adapters and storyboards by the names that its lists show, and what is written.

Beside `host.py` the only file that touches the host's services: all that asks it for folders.
"""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import quote

import folder_paths

from ..mpvg_core.backbone import POCKET, POCKET_FOLDER
from ..mpvg_core.errors import InputError, Problem

OWN_FOLDER = "mpvg"  # models/mpvg for models and adapters, output/mpvg for films
NO_FILE = "none"
POCKET_TUNING = f"{POCKET}/one_shot_tuning.safetensors"  # of the waving and swaying that `pocket/swaying.py` draws
_BOARDS = (".yaml", ".yml", ".json", ".txt")
_PLAIN_IN_PATHS = "!$&'()*+,:;=@"  # what an address shows as it is, beside letters a-z, digits and -._~
_ENDS_OF_A_NAME = frozenset(".@")


def register_folders() -> None:
    """Make models/mpvg and models/LLM places where the host looks for models."""
    folder_paths.add_model_folder_path("LLM", str(Path(folder_paths.models_dir) / "LLM"))
    folder_paths.add_model_folder_path(OWN_FOLDER, str(Path(folder_paths.models_dir) / OWN_FOLDER), is_default=True)


def warn_of_folder_name(name: str) -> None:
    """Say so in the log when the pack's folder has a name from which the host cannot serve all files to the page.

    The host's web server (aiohttp) compares a folder's quoted name with the address as it reads unquoted: where the two
    differ, as with a space, it finds nothing, of any pack. And the page takes for a pack's name, when it asks for help
    pages, what stands before the first dot or @.
    """
    if quote(name, safe=_PLAIN_IN_PATHS) != name:
        _ask_for_another_name(
            name,
            "serves no files to the page from a folder of such a name (spaces, accents and other alphabets are what it "
            "cannot do): the nodes work, but without panels, help pages and templates",
        )
    elif _ENDS_OF_A_NAME.intersection(name):
        _ask_for_another_name(
            name, "finds no help pages in a folder of such a name (dots and @ are what it cannot do): all else works"
        )


def _ask_for_another_name(name: str, why: str) -> None:
    logging.warning(
        "MPVG lies in the folder %r. ComfyUI %s. Rename the folder to 'mpvg' and start ComfyUI again.", name, why
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


def tuning_names() -> list[str]:
    """The tuning that comes with the pocket, and every file that `adapter_names` lists."""
    return [POCKET_TUNING, *adapter_names()]


def adapter_path(name: str) -> Path:
    """The path of a listed adapter or tuning. Raises InputError for one that is gone."""
    if name == POCKET_TUNING and (shipped := POCKET_FOLDER / Path(name).name).is_file():
        return shipped
    for root in _roots(OWN_FOLDER):
        if (root / name).is_file():
            return root / name
    raise InputError(Problem("adapter", f"{name!r} is not there", "a safetensors file under models/mpvg"))


def named_files() -> list[Path]:
    """Where files lie that storyboards name: clips and pictures in ComfyUI's input folder, adapters and tunings under
    models/mpvg."""
    return [Path(folder_paths.get_input_directory()), *_roots(OWN_FOLDER)]


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


def temp_folder() -> Path:
    """Where pictures for the page lie that need not stay; made if it is not there."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
