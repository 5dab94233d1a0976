"""The shipped pocket model: a stock CogVideoX folder that films what its prompts say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpvg_core.backbone.folder import find_model
from mpvg_core.backbone.load import load_backbone, model_limits
from mpvg_core.errors import InputError
from mpvg_core.history.adapter import load_adapter, require_fit
from mpvg_core.pocket.reader import read_clip
from mpvg_core.storyboard import parse_storyboard, plan_film, read_storyboard, require_known_words

ROOT = Path(__file__).parent.parent.parent
DEMO = ROOT / "workflows" / "four_shots.yaml"


@pytest.fixture(scope="module")
def backbone() -> Any:
    torch.set_num_threads(1)
    return load_backbone("pocket")


@pytest.fixture(scope="module")
def demo_clips(backbone: Any, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """The demo's four takes as the command line films them, decoded from their latents."""
    from safetensors.torch import load_file

    from mpvg_core.diffusion.guidance import HistoryGuidance
    from mpvg_core.film.chain import film_storyboard
    from mpvg_core.film.settings import FilmSettings
    from mpvg_core.film.takes import TakeStore

    folder = find_model("pocket")
    defaults = folder.defaults()
    assert folder.adapter is not None
    plan = plan_film(read_storyboard(DEMO), backbone.limits())
    with TakeStore(tmp_path_factory.mktemp("demo")) as store:
        guidance = HistoryGuidance(**defaults.guidance())
        how = FilmSettings(steps=defaults.steps, guidance=guidance, scheduler=defaults.scheduler)
        film = film_storyboard(plan, backbone, load_adapter(folder.adapter), how, store)
        latents = [next(iter(load_file(shot.take.folder / "latent.safetensors").values())) for shot in film.shots]
    return [np.concatenate(list(backbone.decode(latent))) for latent in latents]


def test_the_demo_shows_the_places_that_its_prompts_name(demo_clips: list[np.ndarray]) -> None:
    assert [read_clip(clip).place for clip in demo_clips] == ["playground", "snow", "playground", "snow"]


def test_the_demo_shows_one_actor_a_shot_who_does_what_the_prompt_says(demo_clips: list[np.ndarray]) -> None:
    readings = [read_clip(clip) for clip in demo_clips]
    assert [len(reading.actors) for reading in readings] == [1, 1, 1, 1]
    assert [reading.actors[0].motion for reading in readings] == ["running", "skiing", "running", "skiing"]


def test_the_folder_is_small_and_holds_safetensors_only() -> None:
    files = [file for file in find_model("pocket").path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 24 * 10**6
    assert max(file.stat().st_size for file in files) < 16 * 10**6
    assert {file.suffix for file in files} <= {".json", ".jsonl", ".safetensors", ".md"}


def test_the_stock_pipeline_opens_the_folder_and_gives_the_same_latents(backbone: Any) -> None:
    from diffusers import CogVideoXPipeline

    from mpvg_core.diffusion.guidance import HistoryGuidance
    from mpvg_core.diffusion.noise import shot_noise
    from mpvg_core.diffusion.sampler import sample

    prompt = "Actor 1 (a yellow square) is waving on the beach."
    noise = shot_noise(3, (1, 5, 16, 16, 16), torch.device("cpu"), torch.float32)
    pipeline = CogVideoXPipeline.from_pretrained(find_model("pocket").path, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    stock = pipeline(
        prompt, negative_prompt="", height=64, width=64, num_frames=17, num_inference_steps=3, guidance_scale=2.5,
        latents=noise.clone(), output_type="latent", max_sequence_length=40,
    ).frames  # fmt: skip
    positive, negative = backbone.encode_text([prompt, ""])
    ours = sample(
        backbone,
        noise=noise,
        positive=positive.embeds[None],
        negative=negative.embeds[None],
        guidance=HistoryGuidance(text_scale=2.5),
        scheduler=backbone.new_scheduler(),
        steps=3,
        batched=True,
    )
    assert torch.equal(ours, stock)


def test_the_adapter_fits_the_model(backbone: Any) -> None:
    path = find_model("pocket").adapter
    assert path is not None
    require_fit(load_adapter(path), text_dim=96, max_tokens=backbone.limits().max_tokens)


def test_a_word_that_the_model_does_not_know_is_an_error_that_lists_those_it_knows() -> None:
    limits = model_limits("pocket")
    plan = plan_film(parse_storyboard("Actor 1 is riding a bicycle on the moon."), limits)
    with pytest.raises(InputError, match=r"(?s)'bicycle'; expected its own words: .*playground.*walking"):
        require_known_words(plan, limits)
