"""What the adapter learns from: stories as the base itself films them, beside drawn ones."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.backbone.construct import new_text_encoder, new_transformer
from mpvg_core.pocket import recipe, remembered
from mpvg_core.pocket.base import TEXT_ENCODER, TRANSFORMER, tokenizer
from mpvg_core.pocket.batches import FIRST_TRAINING_SEED, as_pixels
from mpvg_core.pocket.remembered import FilmedStories, film_stories
from mpvg_core.pocket.stories import StoryBatches
from mpvg_core.pocket.world import draw_scene, draw_story

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return {
        "transformer": new_transformer(TRANSFORMER),
        "text_encoder": new_text_encoder({**TEXT_ENCODER, "vocab_size": len(tokenizer())}),
    }


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(remembered, "STEPS", 1)


@pytest.fixture
def basis(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "BASIS_CLIPS", 20)
    return recipe.load_basis(tmp_path)


def test_stories_are_filmed_once_and_more_of_them_go_on_from_there(base, basis, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "_true", lambda clip, scene, basis: clip)
    file = tmp_path / "filmed.safetensors"
    first = film_stories(file, base, basis, stories=5, device=CPU)
    assert first.clips.shape == (5, 4, 5, 16, 16, 16) and first.clips.dtype == torch.float16
    assert len(set(first.seeds)) == 5 and min(first.seeds) >= FIRST_TRAINING_SEED
    more = film_stories(file, {**base, "transformer": torch.nn.Linear(1, 1)}, basis, stories=5, device=CPU)
    assert more.seeds == first.seeds and torch.equal(more.clips, first.clips)  # nothing was filmed again
    assert not torch.equal(first.clips[0], first.clips[1])


def test_a_clip_that_shows_something_else_gives_way_to_the_drawn_one(base, basis, quick, tmp_path):
    filmed = film_stories(tmp_path / "filmed.safetensors", base, basis, stories=5, device=CPU)  # of an untrained base
    scene = draw_story(filmed.seeds[0], shots=4).scenes[2]
    drawn = basis.encode(as_pixels(draw_scene(scene)[None]))[0].half()
    assert torch.equal(filmed.clips[0, 2], drawn)
    nearly = drawn.float() + 0.05
    assert remembered._true(nearly, scene, basis) is nearly


def test_half_of_the_stories_remember_generated_clips_and_all_are_to_show_drawn_ones(basis):
    filmed = FilmedStories((FIRST_TRAINING_SEED + 5,), torch.full((1, 4, 5, 16, 16, 16), 7.0).half())
    drawn = next(iter(StoryBatches(basis, 80, seed=1, filmed=filmed)))
    generated = (drawn["past"] == 7.0).flatten(1).all(dim=1)
    assert 4 <= int(generated.sum()) <= 16  # of 20
    assert torch.equal(drawn["past"][~generated], drawn["clips"][~generated][:, :-1])
    assert not (drawn["latents"] == 7.0).any()
    one, other = generated.nonzero().flatten()[:2]
    assert torch.equal(drawn["clips"][one], drawn["clips"][other])  # of the same story
    alone = next(iter(StoryBatches(basis, 8, seed=1)))
    assert torch.equal(alone["past"], alone["clips"][:, :-1])
