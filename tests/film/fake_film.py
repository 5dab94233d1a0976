"""A backbone and an adapter of cheap arithmetic, and plans to film with them: all deterministic, nothing learnt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mpvg_core.backbone.interface import ClipFeatures, TextEmbedding
from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.inject import HistoryConditioning, Injection
from mpvg_core.film.assemble import FilmFiles, finish_film
from mpvg_core.film.chain import film_storyboard
from mpvg_core.film.record import Film
from mpvg_core.film.settings import FilmSettings
from mpvg_core.film.takes import TakeStore
from mpvg_core.history.select import SelectionSettings
from mpvg_core.storyboard.plan import FilmPlan, ModelLimits, ShotPlan

LENGTH, WIDTH = 24, 64  # of the embeddings

STORY = {
    "dawn": "a red boat leaves the harbour",
    "storm": "a green wave hits the boat",
    "island": "the harbour is empty",
    "home": "a grey gull sleeps alone",
}


def word_vector(word: str) -> Tensor:
    """The same vector for the same word, nearly orthogonal to those of other words."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return nn.functional.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)), dim=0)


class FakeTransformer(nn.Module):
    def forward(self, latents: Tensor, embeds: Tensor) -> Tensor:
        colour = embeds.mean(dim=(1, 2)).reshape(-1, 1, 1, 1, 1)
        return latents * 0.2 - colour


class FakeInjection(Injection):
    """Adds the mean of the history tokens to every prediction."""

    history_dim = WIDTH

    def config(self) -> dict[str, Any]:
        return {"form": "fake"}

    def attach(self, transformer: nn.Module, conditioning: HistoryConditioning) -> Iterator[Any]:
        shift = conditioning.tokens.mean()
        yield transformer.register_forward_hook(lambda module, args, output: output + shift)


class FakeScheduler:
    init_noise_sigma = 1.0
    alphas_cumprod = torch.linspace(0.99, 0.0, 1000)

    def set_timesteps(self, steps: int, device: str = "cpu") -> None:
        self.timesteps = torch.linspace(999, 0, steps).long()

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        return latents

    def step(
        self, prediction: Tensor, timestep: Tensor, latents: Tensor, return_dict: bool = True
    ) -> tuple[Tensor, ...]:
        after = latents * 0.6 - prediction * 0.4
        return after, after


class FakeBackbone:
    """Frames of flat colour; counts what it is asked for."""

    name = "fake"
    latent_channels, spatial_compression, temporal_compression = 4, 8, 4
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, *, fingerprint: str = "f" * 64, pause: float = 0.0, chunk: int = 4) -> None:
        self.fingerprint, self.pause, self.chunk = fingerprint, pause, chunk
        self.transformer = FakeTransformer()
        self.encoded: list[str] = []
        self.denoised = self.decoded = self.described = 0
        self.fail_at = 0  # the denoising call that is to fail

    def encode_text(self, texts: Sequence[str]) -> list[TextEmbedding]:
        self.encoded += texts
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> TextEmbedding:
        words = text.lower().replace(".", "").split()
        words += ["</s>"] * (LENGTH - len(words))
        vectors = torch.stack([word_vector(word) for word in words])
        ids = torch.tensor([int(hashlib.sha256(word.encode()).hexdigest()[:6], 16) for word in words])
        mask = torch.tensor([word not in ("</s>", "a", "the") for word in words])
        return TextEmbedding(ids=ids, embeds=vectors, mask=mask, pieces=tuple(words))

    def companion(self, name: str) -> Path | None:
        return None

    def limits(self) -> ModelLimits:
        return ModelLimits("fake", 17, 8, 8, 64, 64, 8, LENGTH, lambda text: len(text.split()))

    def new_scheduler(self, name: str = "ddim") -> FakeScheduler:
        return FakeScheduler()

    def denoise(self, latents: Tensor, timestep: Tensor, embeds: Tensor, *, branch: str) -> Tensor:
        self.denoised += 1
        if self.denoised == self.fail_at:
            raise KeyboardInterrupt
        time.sleep(self.pause)
        return self.transformer(latents, embeds)

    def decode(self, latents: Tensor) -> Iterator[np.ndarray]:
        self.decoded += 1
        latents = latents.float()
        frames = 1 + self.temporal_compression * (latents.shape[0] - 1)
        size = (latents.shape[2] * self.spatial_compression, latents.shape[3] * self.spatial_compression)
        for first in range(0, frames, self.chunk):
            time.sleep(self.pause)
            chunk = []
            for index in range(first, min(first + self.chunk, frames)):
                latent = latents[(index + self.temporal_compression - 1) // self.temporal_compression]
                colour = ((torch.tanh(latent[:3].mean(dim=(1, 2)) * 4) + 1) * 127).round().to(torch.uint8).numpy()
                frame = np.empty((*size, 3), np.uint8)
                frame[:] = colour
                frame[:, : size[1] * (index + 1) // frames // 2] = 255 - colour  # a curtain that opens: frames differ
                chunk.append(frame)
            yield np.stack(chunk)

    def describe_clip(self, latents: Tensor) -> ClipFeatures:
        self.described += 1
        return ClipFeatures(tokens=latents.flatten(2).mean(dim=2), positions=torch.zeros(latents.shape[0], 3))


class FakeAdapter:
    """History tokens are what is remembered, word by word, shifted by what the clips show."""

    def __init__(self, fingerprint: str = "a" * 64) -> None:
        self.fingerprint = fingerprint
        self.injection = FakeInjection()
        self.selection = SelectionSettings()
        self.space = None
        self.extractor = SimpleNamespace(numbers={"text_dim": WIDTH, "max_tokens": LENGTH})

    def history_tokens(self, history: Any, current: TextEmbedding, selection: Any, ages: list[int]) -> Any:
        tokens = [
            past.text.embeds[mask] + past.clip.tokens.mean() / age
            for past, mask, age in zip(history.shots, selection.masks, ages, strict=True)
        ]
        return SimpleNamespace(tokens=torch.cat(tokens))


def story_plan(
    prompts: dict[str, str] | None = None,
    *,
    title: str = "Sea story",
    frames: int = 9,
    size: tuple[int, int] = (64, 64),
    looks_back: bool = True,
    **changes: dict[str, Any],
) -> FilmPlan:
    """A plan of a shot for each prompt; `changes` replaces fields of single shots, by name."""
    prompts = STORY if prompts is None else prompts
    names = [*prompts]
    shots = []
    for index, (name, prompt) in enumerate(prompts.items()):
        fields: dict[str, Any] = {
            "index": index,
            "name": name,
            "prompt": prompt,
            "full_prompt": prompt,
            "negative": "",
            "frames": frames,
            "seconds": frames / 8,
            "fps": 8,
            "width": size[0],
            "height": size[1],
            "seed": 100 + index,
            "tokens": len(prompt.split()),
            "looks_back": tuple(names[:index]) if looks_back else (),
            "transition": "cut",
            "transition_seconds": 0.0,
            "notes": (),
        }
        shots.append(ShotPlan(**{**fields, **changes.get(name, {})}))
    return FilmPlan(title=title, slug="sea-story", fps=8, width=size[0], height=size[1], shots=tuple(shots), notes=())


def settings(steps: int = 3, **guidance: Any) -> FilmSettings:
    return FilmSettings(steps=steps, guidance=HistoryGuidance(**{"text_scale": 2.0, "history_scale": 1.0, **guidance}))


def make_film(
    folder: Path, plan: FilmPlan | None = None, backbone: FakeBackbone | None = None, **options: Any
) -> tuple[Film, FilmFiles]:
    """Film a plan into a folder and finish it."""
    adapter = options.pop("adapter", FakeAdapter())
    how = options.pop("settings", None) or settings()
    audio, options["folders"] = options.pop("audio", None), options.pop("files_in", ())
    with TakeStore(folder) as store:
        film = film_storyboard(plan or story_plan(), backbone or FakeBackbone(), adapter, how, store, **options)
        return film, finish_film(film, store, audio)


def contents(folder: Path) -> dict[str, bytes]:
    """All files under a folder by relative path, but for the takes' manifests, which tell when they were made."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "take.json"
    }
