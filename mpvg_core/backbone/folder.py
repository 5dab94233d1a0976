"""A model's folder on disk: found, checked and described without loading a weight."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, Problem
from ..storyboard.plan import ModelLimits
from . import POCKET, POCKET_FOLDER
from .tokens import TOKENIZER_FILES, Words, load_words

ADAPTER_FILE = "history_adapter.safetensors"
CONTROL_FILE = "control_adapter.safetensors"
DEFAULTS_FILE = "mpvg.json"
PARTS = ("transformer", "vae", "text_encoder", "scheduler")
_CHANNELS = 16  # of a clip's latents, where the configuration does not say
_FPS = 8  # CogVideoX 1.0 and the pocket; no configuration says it
_WHOLE_HASH = 64 * 2**20
_SAMPLE, _SAMPLES = 64 * 2**10, 512
# What MPVG reads of each configuration; diffusers writes them all, defaults included.
_KEYS: dict[str, tuple[str, ...]] = {
    "transformer": (
        *("in_channels", "patch_size", "max_text_seq_length"),
        *("sample_frames", "sample_width", "sample_height", "use_rotary_positional_embeddings"),
    ),
    "vae": ("block_out_channels", "temporal_compression_ratio", "scaling_factor"),
}
_CLASSES = {"transformer": "CogVideoXTransformer3DModel", "vae": "AutoencoderKLCogVideoX"}


@dataclass(frozen=True)
class ModelDefaults:
    """How a model films best unless told otherwise: steps, w1, w2, the part of the way in which w2 counts, and the
    noise scheduler. The values here are CogVideoX's. Raises ValueError or TypeError for an interval that is none."""

    steps: int = 50
    text_scale: float = 6.0
    history_scale: float = 1.0
    history_interval: tuple[float, float] = (0.0, 1.0)
    scheduler: str = "ddim"

    def __post_init__(self) -> None:
        start, end = (float(moment) for moment in self.history_interval)
        if not 0 <= start <= end <= 1:
            raise ValueError(f"history_interval {self.history_interval} is not 0 <= start <= end <= 1")
        object.__setattr__(self, "history_interval", (start, end))  # JSON knows lists only

    def told(self, **otherwise: Any) -> ModelDefaults:
        """The same but for what is said; None says nothing."""
        return replace(self, **{name: value for name, value in otherwise.items() if value is not None})

    def guidance(self) -> dict[str, Any]:
        """w1, w2 and its interval, by the names that `HistoryGuidance` gives them."""
        return {
            "text_scale": self.text_scale,
            "history_scale": self.history_scale,
            "interval": self.history_interval,
        }


@dataclass(frozen=True)
class ModelFolder:
    """A diffusers folder of a text-to-video CogVideoX (2b or 5b architecture); `configs` by part.

    Or of a control model, CogVideoX-Fun's layout: the transformer takes the latents of a control clip as well, as many
    channels behind the clip's own, under the same names of weights.
    """

    name: str
    path: Path
    configs: dict[str, dict[str, Any]]

    @property
    def control_channels(self) -> int:
        """Channels of a control clip that the transformer takes by itself; 0 for a text-to-video model."""
        config = self.configs["transformer"]
        return int(config["in_channels"] - config.get("out_channels", _CHANNELS))

    @property
    def adapter(self) -> Path | None:
        """The history adapter that lies with the model, if one does."""
        path = self.path / ADAPTER_FILE
        return path if path.is_file() else None

    @property
    def control_adapter(self) -> Path | None:
        """The control adapter that lies with the model, if one does."""
        path = self.path / CONTROL_FILE
        return path if path.is_file() else None

    def defaults(self) -> ModelDefaults:
        """From `mpvg.json` in the folder, if there is one. Raises InputError for one that does not fit."""
        file = self.path / DEFAULTS_FILE
        if not file.is_file():
            return ModelDefaults()
        try:
            return ModelDefaults(**json.loads(file.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            wanted = ", ".join(field.name for field in fields(ModelDefaults))
            raise InputError(Problem(str(file), f"does not fit ({error})", f"an object with {wanted}")) from error

    def words(self) -> Words:
        return load_words(self.path / "tokenizer")

    def limits(self) -> ModelLimits:
        transformer, vae = self.configs["transformer"], self.configs["vae"]
        side = 2 ** (len(vae["block_out_channels"]) - 1)
        words = self.words()
        return ModelLimits(
            model=self.name,
            max_frames=transformer["sample_frames"],
            frame_step=2 * round(vae["temporal_compression_ratio"]),
            fps=_FPS,
            width=transformer["sample_width"] * side,
            height=transformer["sample_height"] * side,
            size_step=side * transformer["patch_size"],
            max_tokens=transformer["max_text_seq_length"],
            count_tokens=lambda text: len(words.ids(text)),
            unknown_words=words.unknown,
            known_words=words.known(),
        )

    def weight_bytes(self, part: str) -> int:
        """Size of a part's weights on disk, which is about their size in memory."""
        return sum(file.stat().st_size for file in (self.path / part).glob("*.safetensors"))

    def fingerprint(self, without: Collection[str] = ()) -> str:
        """A hash of the configurations and weights, 16 hex digits; parts in `without` stay out of it.

        Files over 64 MiB enter by their size and 512 samples of 64 KiB, evenly spread from the first byte to the last:
        reading 20 GB would take a minute a start, and a fine-tuned model differs in more than one place.
        """
        digest = hashlib.sha256()
        for part in (*PARTS, "tokenizer"):
            if part in without:
                continue
            for file in sorted((self.path / part).glob("*")):
                if file.suffix not in {".json", ".safetensors", ".model"} or not file.is_file():
                    continue
                size = file.stat().st_size
                digest.update(f"{part}/{file.name}\0{size}\0".encode())
                with file.open("rb") as data:
                    if size <= _WHOLE_HASH:
                        digest.update(data.read())
                        continue
                    for index in range(_SAMPLES):
                        data.seek((size - _SAMPLE) * index // (_SAMPLES - 1))
                        digest.update(data.read(_SAMPLE))
        return digest.hexdigest()[:16]


def find_model(model: str, *, without: Collection[str] = (), control: bool = False) -> ModelFolder:
    """The folder of `model`: "pocket", or a path; parts in `without` may be missing.

    control: it may be a control model, which films nothing without a control clip. Raises InputError that names
    everything missing or unfit.
    """
    path = POCKET_FOLDER if model == POCKET else Path(model)
    if not path.is_dir():
        raise InputError(
            Problem(str(model), "no such model folder", "'pocket' or a folder in diffusers' layout", "check --model")
        )
    problems, configs = [], {}
    for part in PARTS:
        if part in without:
            continue
        file = path / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        try:
            configs[part] = json.loads(file.read_text(encoding="utf-8"))
        except OSError:
            problems.append(Problem(str(file), "is missing", remedy="download the whole folder of the model"))
        except ValueError as error:
            problems.append(Problem(str(file), f"is no JSON ({error})", remedy="download it again"))
        else:
            problems += _unfit(str(file), part, configs[part], control)
        if part != "scheduler" and (path / part).is_dir() and not any((path / part).glob("*.safetensors")):
            problems.append(Problem(str(path / part), "no weights", "*.safetensors", "MPVG loads no pickled weights"))
    if not any((path / "tokenizer" / name).is_file() for name in TOKENIZER_FILES):
        what = f"neither {' nor '.join(TOKENIZER_FILES)}"
        problems.append(Problem(str(path / "tokenizer"), what, remedy="download the whole folder of the model"))
    if problems:
        raise InputError(problems)
    if model != POCKET:
        model = path.resolve().name
    return ModelFolder(model, path, configs)


def _unfit(where: str, part: str, config: Any, control: bool) -> list[Problem]:
    """What keeps a configuration from being that of a text-to-video CogVideoX 1.0; with `control`, a control model."""
    if not isinstance(config, dict):
        return [Problem(where, f"holds {type(config).__name__}", "a JSON object", "download it again")]
    name = config.get("_class_name", wanted := _CLASSES.get(part))
    if name != wanted and wanted:
        return [Problem(where, f"this is a {name}", f"a {wanted}", "choose a CogVideoX 2b or 5b model")]
    problems = [Problem(where, f"{key!r} is missing") for key in _KEYS.get(part, ()) if key not in config]
    if part == "transformer":
        if config.get("patch_size_t") is not None:
            problems.append(Problem(where, "this is a CogVideoX 1.5", "CogVideoX 2b or 5b", "choose one of those"))
        channels, out = config.get("in_channels"), config.get("out_channels", _CHANNELS)
        what = f"{channels} input channels for {out} of a clip"
        # An image-to-video model has as many channels as a control model, but learned positions.
        if channels == 2 * out and not config.get("use_learned_positional_embeddings"):
            if not control:
                remedy = "a control model films after a control clip only"
                problems.append(Problem(where, what, "a text-to-video model", remedy))
        elif channels is not None and channels != out:
            wanted = "a text-to-video or control model" if control else "a text-to-video model"
            problems.append(Problem(where, what, f"{wanted}, not image-to-video or inpainting"))
    return problems
