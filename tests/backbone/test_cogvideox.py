"""The backbone against the stock pipeline: the same embeddings, latents and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpvg_core.backbone.cogvideox import CogVideoXBackbone
from mpvg_core.backbone.load import load_backbone
from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.noise import shot_noise
from mpvg_core.diffusion.sampler import sample
from mpvg_core.errors import InputError, MPVGError

PROMPT, NEGATIVE, STEPS, SCALE = "A cat rides, a dog runs.", "snow", 3, 6.0
KINDS = pytest.mark.parametrize("kind", ["2b", "5b"])


@pytest.fixture(scope="module")
def backbones(folders: dict[str, Path]) -> dict[str, CogVideoXBackbone]:
    return {kind: load_backbone(str(path), device="cpu") for kind, path in folders.items()}


@pytest.fixture(scope="module")
def pipelines(folders: dict[str, Path]) -> dict[str, Any]:
    from diffusers import CogVideoXPipeline

    found = {}
    for kind, path in folders.items():
        found[kind] = CogVideoXPipeline.from_pretrained(path).to(torch.float32)
        found[kind].set_progress_bar_config(disable=True)
    return found


def stock(pipeline, latents, output, prompt=PROMPT, negative=NEGATIVE, side=4):
    return pipeline(
        prompt=prompt,
        negative_prompt=negative,
        latents=latents.clone(),
        height=latents.shape[3] * side,
        width=latents.shape[4] * side,
        num_frames=4 * (latents.shape[1] - 1) + 1,
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        max_sequence_length=pipeline.transformer.config.max_text_seq_length,
        output_type=output,
    ).frames


@KINDS
@pytest.mark.parametrize("size", [(3, 6, 8), (1, 6, 8), (3, 8, 6)])
def test_a_shot_is_bit_for_bit_that_of_the_stock_pipeline_given_the_prompt(backbones, pipelines, kind, size):
    backbone = backbones[kind]
    noise = shot_noise(4, (1, size[0], 4, *size[1:]), backbone.device, backbone.dtype)
    positive, negative = backbone.encode_text([PROMPT, NEGATIVE])
    found = sample(
        backbone,
        noise=noise,
        positive=positive.embeds[None],
        negative=negative.embeds[None],
        guidance=HistoryGuidance(SCALE, 0.0),
        scheduler=backbone.new_scheduler("ddim"),
        steps=STEPS,
        batched=True,
    )
    assert torch.equal(found, stock(pipelines[kind], noise, "latent"))


@KINDS
@pytest.mark.parametrize("prompt", ["", "snow", PROMPT])
def test_a_prompt_is_embedded_bit_for_bit_as_in_the_stock_pipeline(backbones, pipelines, kind, prompt):
    with torch.no_grad():
        embeds, _ = pipelines[kind].encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=10)
    text = backbones[kind].encode_text(["a dog", prompt])[1]
    assert torch.equal(text.embeds, embeds[0])


def test_an_embedding_tells_words_from_specials(backbones):
    text = backbones["2b"].encode_text(["A zebra rides."])[0]
    assert text.pieces == ("a", "<unk>", "rides", ".", "</s>", *["<pad>"] * 5)
    assert text.mask.tolist() == [True, False, True, True, *[False] * 6]
    assert text.ids.tolist() == [3, 2, 6, 9, 1, 0, 0, 0, 0, 0]
    assert text.embeds.shape == (10, 16)


def test_all_prompts_that_are_too_long_are_named_and_none_is_cut(backbones):
    long = "a cat a dog a cat a dog a cat"
    with pytest.raises(InputError) as caught:
        backbones["2b"].encode_text(["a cat", long, long + " runs"])
    assert [problem.what for problem in caught.value.problems] == ["11 tokens", "12 tokens"]
    assert backbones["2b"].encode_text([long[:-4]])[0].mask.sum() == 9  # with its end token just long enough


@KINDS
@pytest.mark.parametrize("frames", [1, 3, 5])
def test_decoded_frames_are_those_of_the_stock_decoder_chunk_by_chunk(backbones, pipelines, kind, frames):
    backbone = backbones[kind]
    latents = torch.randn(frames, 4, 6, 8, generator=torch.Generator().manual_seed(frames)) * 2
    chunks = list(backbone.decode(latents))
    assert [len(chunk) for chunk in chunks] == {1: [1], 3: [9], 5: [9, 8]}[frames]
    assert all(chunk.dtype == np.uint8 for chunk in chunks)
    together = np.concatenate(chunks)
    with torch.no_grad():
        pixels = pipelines[kind].decode_latents(latents[None])
    wanted = pipelines[kind].video_processor.postprocess_video(pixels, output_type="np")[0]
    assert together.shape == (4 * (frames - 1) + 1, 24, 32, 3)
    assert np.array_equal(together, (wanted * 255).round().astype(np.uint8))
    assert together.std() > 1  # a picture at all


def test_frames_come_before_the_whole_clip_is_decoded(backbones, monkeypatch):
    calls = []
    decoder = backbones["2b"].vae.decoder.forward

    def counted(*args, **kwargs):
        calls.append(1)
        return decoder(*args, **kwargs)

    monkeypatch.setattr(backbones["2b"].vae.decoder, "forward", counted)
    next(iter(backbones["2b"].decode(torch.zeros(7, 4, 6, 8))))
    assert len(calls) == 1


def test_large_pictures_are_decoded_in_the_stock_tiles(copied, pipelines, monkeypatch):
    monkeypatch.setattr("mpvg_core.backbone.cogvideox._TILE_FROM", 24 * 32 - 1)
    backbone = load_backbone(str(copied), device="cpu")
    latents = torch.randn(3, 4, 6, 8, generator=torch.Generator().manual_seed(1))
    chunks = list(backbone.decode(latents))
    vae = pipelines["2b"].vae
    vae.enable_tiling()
    try:
        with torch.no_grad():
            pixels = pipelines["2b"].decode_latents(latents[None])
    finally:
        vae.disable_tiling()
    wanted = pipelines["2b"].video_processor.postprocess_video(pixels, output_type="np")[0]
    assert np.array_equal(np.concatenate(chunks), (wanted * 255).round().astype(np.uint8))


def test_nan_in_the_decoder_is_an_error(backbones):
    with pytest.raises(MPVGError, match="decoder gave NaN"):
        list(backbones["2b"].decode(torch.full((1, 4, 6, 8), float("nan"))))


def test_the_backbone_says_what_latents_it_takes(backbones):
    for kind, backbone in backbones.items():
        assert (backbone.latent_channels, backbone.spatial_compression, backbone.temporal_compression) == (4, 4, 4)
        assert backbone.name == f"Kino ä {kind}"
        assert not backbone.transformer.training


def test_schedulers_are_fresh_and_the_models_own(backbones):
    backbone = backbones["2b"]
    first, second = backbone.new_scheduler(), backbone.new_scheduler()
    assert first is not second
    assert first.config.snr_shift_scale == 3.0
    dpm = backbone.new_scheduler("dpm")
    assert (type(dpm).__name__, dpm.config.snr_shift_scale) == ("CogVideoXDPMScheduler", 3.0)
    with pytest.raises(InputError, match="'euler' is unknown; expected one of ddim, dpm"):
        backbone.new_scheduler("euler")


def test_a_text_encoder_too_large_to_keep_makes_room_after_the_prompts(copied, monkeypatch):
    backbone = load_backbone(str(copied), device="cpu")
    before = backbone.encode_text(["a cat"])[0].embeds
    assert backbone._text_encoder is not None
    monkeypatch.setattr("mpvg_core.backbone.cogvideox._KEEP_TEXT_ENCODER", 0)
    assert torch.equal(backbone.encode_text(["a cat"])[0].embeds, before)
    assert backbone._text_encoder is None
    assert torch.equal(backbone.encode_text(["a cat"])[0].embeds, before)


def test_bfloat16_films_too(folders):
    backbone = load_backbone(str(folders["5b"]), device="cpu", dtype="bfloat16")
    positive = backbone.encode_text([PROMPT])[0].embeds[None]
    noise = shot_noise(4, (1, 3, 4, 6, 8), backbone.device, backbone.dtype)
    latents = sample(
        backbone,
        noise=noise,
        positive=positive,
        guidance=HistoryGuidance(1.0, 0.0),
        scheduler=backbone.new_scheduler(),
        steps=2,
    )
    assert (positive.dtype, latents.dtype) == (torch.bfloat16, torch.bfloat16)
    assert sum(len(chunk) for chunk in backbone.decode(latents[0])) == 9
