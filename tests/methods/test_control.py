"""A clip follows another one's structure: exact where nothing acts, channels in their order, clear errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mpvg_core.diffusion.guidance import Branch, HistoryGuidance
from mpvg_core.diffusion.predict import Call, Guided, Step
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.causal import held_frames
from mpvg_core.methods.codenoise import codenoise
from mpvg_core.methods.control import Control, control, control_latents
from mpvg_core.methods.control_adapter import (
    load_control_adapter,
    new_control_adapter,
    require_fit,
    save_control_adapter,
    widened,
)
from mpvg_core.methods.regions import Region, regions
from mpvg_core.methods.technique import sample_with

STEPS = 3
CHANNELS = 4


@pytest.fixture
def clip(normal):
    """A control clip's latents [F, C, h, w]."""
    return normal(31, 3, CHANNELS, 8, 8)


def trained(backbone, rank=0, seed=3):
    """An adapter whose weights are no longer zero."""
    adapter = new_control_adapter(backbone.transformer, rank=rank)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return adapter


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(*techniques, scheduler="ddim", text=4.0, batched=False, start=noise):
        rows = (prompt.expand(len(start), -1, -1) for prompt in (positive, negative))
        guided = Guided(backbone, *rows, None, HistoryGuidance(text, 0.0), batched=batched)
        stepper = Stepper(backbone.new_scheduler(scheduler), STEPS, torch.Generator().manual_seed(5))
        return sample_with(techniques, guided, stepper, start)

    return run_with


def call(*branches, index=0, steps=4, frames=None):
    return Call(Step(index, steps, torch.tensor(500)), branches, "", frames)


# ---------------------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
@pytest.mark.parametrize("batched", [False, True])
def test_an_untrained_adapter_is_the_stock_model_bit_for_bit(run, backbone, clip, rank, scheduler, batched):
    untrained = new_control_adapter(backbone.transformer, rank=rank)
    plain = run(scheduler=scheduler, batched=batched)
    assert torch.equal(run(control(clip, untrained), scheduler=scheduler, batched=batched), plain)


@pytest.mark.parametrize(
    "settings", [Control(strength=0.0), Control(interval=(0.5, 0.5)), Control(strength=0.0, scale=3.0)]
)
def test_a_control_that_never_acts_is_the_stock_model_bit_for_bit(run, backbone, clip, settings):
    assert torch.equal(run(control(clip, trained(backbone, rank=2), settings)), run())


def test_scale_0_leaves_the_plain_prompt_bit_for_bit(run, backbone, clip):
    assert torch.equal(run(control(clip, trained(backbone, 2), Control(scale=0.0)), text=1.0), run(text=1.0))


def test_the_transformer_is_left_as_it_was(run, backbone, clip, hooks_of):
    before = {name: value.clone() for name, value in backbone.transformer.state_dict().items()}
    run(control(clip, trained(backbone, rank=2)))
    assert hooks_of(backbone.transformer) == 0
    after = backbone.transformer.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    adapter = trained(backbone, rank=2)
    with pytest.raises(RuntimeError, match="mine"), widened(backbone.transformer, adapter):
        raise RuntimeError("mine")
    assert hooks_of(backbone.transformer) == 0


# ------------------------------------------------------------------------------------------------------------ channels


def test_the_clips_channels_come_first_and_the_controls_behind_them(backbone, noise, clip, positive):
    branch = Branch("positive", False)
    states = control(clip, trained(backbone)).widen(noise, call(branch))
    assert states.shape[2] == 2 * CHANNELS
    assert torch.equal(states[:, :, :CHANNELS], noise)
    assert torch.equal(states[:, :, CHANNELS:], clip[None])


def test_a_widened_model_is_one_with_the_weights_beside_one_another(make_backbone, noise, clip, positive):
    plain, wide = make_backbone("2b"), make_backbone("2b", in_channels=2 * CHANNELS)
    adapter = trained(plain)
    state = plain.transformer.state_dict()
    state["patch_embed.proj.weight"] = torch.cat([state["patch_embed.proj.weight"], adapter.proj.weight.detach()], 1)
    wide.transformer.load_state_dict(state)
    states, at = torch.cat([noise, clip[None]], dim=2), torch.tensor([500])
    with torch.no_grad(), widened(plain.transformer, adapter):
        found = plain.denoise(states, at, positive, branch="b")
    with torch.no_grad():
        wanted = wide.denoise(states, at, positive, branch="b")
    assert torch.allclose(found, wanted, atol=1e-5)
    swapped = torch.cat([clip[None], noise], dim=2)
    with torch.no_grad():
        assert not torch.allclose(wide.denoise(swapped, at, positive, branch="b"), wanted, atol=1e-2)


def test_low_rank_changes_add_to_the_layers_they_name(backbone, noise, clip, positive):
    adapter = trained(backbone, rank=2)
    states, at = torch.cat([noise, clip[None]], dim=2), torch.tensor([500])
    with torch.no_grad(), widened(backbone.transformer, adapter):
        found = backbone.denoise(states, at, positive, branch="b")
    plain_projection = trained(backbone, rank=2)
    plain_projection.proj.load_state_dict(adapter.proj.state_dict())
    for block, changes in zip(backbone.transformer.transformer_blocks, adapter.changes, strict=True):
        for name, change in changes.items():
            with torch.no_grad():
                block.get_submodule(name.replace("/", ".")).weight += change.up.weight @ change.down.weight
    with torch.no_grad():
        for change in (part for changes in plain_projection.changes for part in changes.values()):
            change.up.weight.zero_()
    with torch.no_grad(), widened(backbone.transformer, plain_projection):
        assert torch.allclose(found, backbone.denoise(states, at, positive, branch="b"), atol=1e-4)


@pytest.mark.parametrize("rank", [0, 2])
def test_another_control_clip_gives_another_clip(run, backbone, clip, normal, rank):
    adapter = trained(backbone, rank)
    one, other = run(control(clip, adapter)), run(control(normal(77, *clip.shape), adapter))
    assert not torch.allclose(one, other, atol=1e-2)
    assert not torch.allclose(one, run(), atol=1e-2)


def test_strength_makes_it_more(run, backbone, clip):
    adapter, plain = trained(backbone), run()
    weak, strong = (run(control(clip, adapter, Control(strength=s))) for s in (0.1, 1.0))
    assert 0 < float((weak - plain).norm()) < float((strong - plain).norm())


def test_a_look_at_another_shot_meets_the_stock_model(backbone, noise, clip, positive):
    at = torch.tensor([500])
    with torch.no_grad():
        stock = backbone.denoise(noise, at, positive, branch="b")
        with widened(backbone.transformer, trained(backbone, rank=2)):
            backbone.denoise(torch.cat([noise, clip[None]], dim=2), at, positive, branch="b")
            assert torch.equal(backbone.denoise(noise, at, positive, branch="b"), stock)
            with pytest.raises(MPVGError, match="has 4 \\+ 4 channels, not 12"):
                backbone.denoise(torch.cat([noise] * 3, dim=2), at, positive, branch="b")


# ------------------------------------------------------------------------------------------------- branches and steps


def test_the_negative_branch_sees_it_only_where_asked(backbone, noise, clip):
    branches = (Branch("negative", False), Branch("positive", False))
    both = torch.cat([noise, noise])
    shown = control(clip, trained(backbone)).widen(both, call(*branches))
    hidden = control(clip, trained(backbone), Control(negative=False)).widen(both, call(*branches))
    assert torch.equal(shown[0], shown[1])
    assert torch.equal(hidden[1], shown[1])
    assert not bool(hidden[0, :, CHANNELS:].any())


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("settings", [Control(negative=False), Control(scale=2.0), Control(strength=0.5)])
def test_batched_and_one_after_the_other_agree(run, backbone, clip, settings, rank):
    technique = control(clip, trained(backbone, rank), settings)
    assert torch.allclose(run(technique, batched=True), run(technique), atol=1e-4)


def test_the_scale_pulls_from_the_uncontrolled_prompt_to_the_controlled_one(backbone, noise, clip, positive, negative):
    adapter, step = trained(backbone, rank=2), Step(1, 4, torch.tensor(500))

    def asked(*techniques, text):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(text, 0.0))
        around = tuple(t.around for t in techniques)
        guided = replace(guided, around=around, widen=tuple(t.widen for t in techniques))
        guided = replace(guided, reweigh=tuple(t.reweigh for t in techniques if t.reweigh))
        with torch.no_grad():
            return guided(noise, step)

    plain, seen = asked(text=1.0), asked(control(clip, adapter), text=1.0)
    wanted = asked(control(clip, adapter), text=4.0) + 1.5 * (seen - plain)
    backbone.calls.clear()
    found = asked(control(clip, adapter, Control(scale=2.5)), text=4.0)
    assert torch.allclose(found, wanted, atol=1e-4)
    assert [branch for branch, _ in backbone.calls] == ["negative", "positive", "positive-control"]


def test_scale_1_asks_nothing_more(run, backbone, clip):
    run(control(clip, trained(backbone)))
    assert len(backbone.calls) == 2 * STEPS


def test_outside_the_interval_the_stock_model_is_asked(backbone, noise, clip, positive, negative):
    technique = control(clip, trained(backbone, 2), Control(interval=(0.0, 0.5), scale=3.0))
    guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
    controlled = replace(guided, around=[technique.around], widen=[technique.widen], reweigh=[technique.reweigh])
    with torch.no_grad():
        for index, same in ((0, False), (1, False), (2, True), (3, True)):
            step = Step(index, 4, torch.tensor(900 - 200 * index))
            assert torch.equal(controlled(noise, step), guided(noise, step)) == same


# -------------------------------------------------------------------------------------------------- with other methods


def test_a_window_is_shown_its_part_of_the_control_clip(backbone, normal):
    long = normal(9, 7, CHANNELS, 8, 8)
    technique = control(long, trained(backbone))
    part = normal(2, 1, 3, CHANNELS, 8, 8)
    states = technique.widen(part, call(Branch("positive", False), frames=range(2, 5)))
    assert torch.equal(states[0, :, CHANNELS:], long[2:5])
    alone = control(long[2:5], trained(backbone)).widen(part, call(Branch("positive", False)))
    assert torch.equal(states, alone)


def test_a_film_of_windows_follows_a_control_clip(make_backbone, normal, positive, negative):
    backbone = make_backbone("2b")
    long = normal(9, 5, CHANNELS, 8, 8)
    adapter = trained(backbone)

    def filmed(*more):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        stepper = Stepper(backbone.new_scheduler(), 2)
        windows = codenoise([range(3), range(2, 5)])
        return sample_with([windows, *more], guided, stepper, normal(0, 1, 5, CHANNELS, 8, 8))

    assert not torch.allclose(filmed(control(long, adapter)), filmed(), atol=1e-2)
    assert torch.equal(filmed(control(long, new_control_adapter(backbone.transformer))), filmed())


def test_held_frames_and_a_control_clip_go_together(run, backbone, clip, normal):
    known, held = normal(5, 3, CHANNELS, 8, 8), torch.tensor([True, False, False])
    holding = held_frames(known, held)
    found = run(holding, control(clip, trained(backbone)))
    assert torch.equal(found[0, 0], known[0])
    assert not torch.allclose(found, run(holding), atol=1e-2)


def test_each_clip_of_a_batch_follows_its_own(backbone, run, noise, clip, normal):
    other = normal(78, *clip.shape)
    adapter, two = trained(backbone, 2), torch.cat([noise, noise])
    both = run(control(torch.stack([clip, other]), adapter), start=two)
    assert torch.allclose(both[:1], run(control(clip, adapter)), atol=1e-4)
    assert torch.allclose(both[1:], run(control(other, adapter)), atol=1e-4)


def test_boxes_of_entities_and_a_control_clip_go_together(run, backbone, clip, normal):
    adapter, placed = trained(backbone, 2), Region(normal(4, 2, 32), ((0.0, (0.0, 0.0, 0.5, 0.5)),))
    boxes = regions([placed], (3, 8, 8))
    together = run(boxes, control(clip, adapter))
    assert not torch.allclose(together, run(control(clip, adapter)), atol=1e-4)
    assert torch.allclose(run(boxes, control(clip, adapter), batched=True), together, atol=1e-4)
    with pytest.raises(MPVGError, match="film without batching"):
        run(boxes, control(clip, adapter, Control(negative=False)), batched=True)


# ------------------------------------------------------------------------------------------------------ control models


def test_a_control_model_is_given_the_channels_as_they_are(make_backbone, noise, clip, positive, negative):
    backbone = make_backbone("2b", in_channels=2 * CHANNELS)
    states, at = torch.cat([noise, clip[None]], dim=2), torch.tensor([500])
    guided = Guided(backbone, positive, negative, None, HistoryGuidance(1.0, 0.0))
    technique = control(clip)
    controlled = replace(guided, around=[technique.around], widen=[technique.widen])
    with torch.no_grad():
        found = controlled(noise, Step(0, 4, at[0]))
        assert torch.equal(found, backbone.denoise(states, at, positive, branch="b").float())


def test_a_control_model_films_what_the_stock_pipeline_films(make_backbone, noise, clip, positive, negative):
    from diffusers import AutoencoderKLCogVideoX, CogVideoXFunControlPipeline

    backbone = make_backbone("2b", in_channels=2 * CHANNELS)
    torch.manual_seed(1)
    vae = AutoencoderKLCogVideoX(
        latent_channels=CHANNELS, block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1,
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        scaling_factor=0.7,
    ).eval()  # fmt: skip
    pixels = torch.randn(1, 3, 9, 64, 64, generator=torch.Generator().manual_seed(4)).clamp(-1, 1)
    with torch.no_grad():
        encoded = vae.encode(pixels).latent_dist.mode().transpose(1, 2) * 0.7
    pipeline = CogVideoXFunControlPipeline(
        tokenizer=None, text_encoder=None, vae=vae, transformer=backbone.transformer, scheduler=backbone.new_scheduler()
    )
    pipeline.set_progress_bar_config(disable=True)
    wanted = pipeline(
        prompt_embeds=positive, negative_prompt_embeds=negative, control_video=(pixels / 2 + 0.5).transpose(1, 2),
        height=64, width=64, num_inference_steps=STEPS, guidance_scale=4.0, latents=noise, output_type="latent",
    ).frames  # fmt: skip
    guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0), batched=True)
    stepper = Stepper(backbone.new_scheduler(), STEPS)
    found = sample_with([control(encoded)], guided, stepper, noise)
    assert torch.allclose(found, wanted, atol=1e-4)


def test_outside_its_interval_a_control_model_sees_zeros(clip, noise):
    technique = control(clip, None, Control(interval=(0.5, 1.0)))
    states = technique.widen(noise, call(Branch("positive", False), index=0))
    assert states.shape[2] == 2 * CHANNELS
    assert not bool(states[:, :, CHANNELS:].any())


# ------------------------------------------------------------------------------------------------ what does not fit


def test_settings_that_cannot_be_are_refused_together():
    with pytest.raises(InputError) as caught:
        Control(strength=-1.0, scale=float("nan"), interval=(0.6, 0.2))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (3, 4, 8, 6), (3, 2, 8, 8)])
def test_a_control_clip_of_another_size_is_refused(run, backbone, normal, shape):
    with pytest.raises(InputError, match=r"control clip: its latents are \[.*length and size of the shot"):
        run(control(normal(1, *shape), trained(backbone)))


def test_control_clips_for_another_number_of_clips_are_refused(run, backbone, normal):
    with pytest.raises(InputError, match="it is for 2 clips, the batch has 1"):
        run(control(normal(1, 2, 3, CHANNELS, 8, 8), trained(backbone)))


def test_a_stock_model_without_adapter_is_refused(run, clip):
    with pytest.raises(InputError, match="this model takes no control clip by itself; expected a control adapter"):
        run(control(clip))


def test_a_control_model_with_an_adapter_is_refused(make_backbone, noise, clip, positive):
    adapter = trained(make_backbone("2b"))
    wide = make_backbone("2b", in_channels=2 * CHANNELS)
    with pytest.raises(InputError, match="leave the control adapter out"):
        require_fit(adapter, wide.transformer)
    with pytest.raises(InputError, match="leave the control adapter out"):
        new_control_adapter(wide.transformer)


def test_an_adapter_of_another_model_is_refused_by_what_differs(make_backbone):
    adapter = trained(make_backbone("2b"))
    other = make_backbone("2b", num_layers=2)
    with pytest.raises(InputError, match="here: was made for blocks 3; expected blocks 2 for this model"):
        require_fit(adapter, other.transformer, "here")


def test_fused_layers_are_refused_where_they_would_be_passed_over(make_backbone):
    backbone = make_backbone("2b")
    backbone.transformer.fuse_qkv_projections()
    require_fit(trained(backbone), backbone.transformer)
    with pytest.raises(InputError, match="fused"):
        require_fit(trained(backbone, rank=2), backbone.transformer)


def test_a_control_clip_is_encoded_as_footage_is_or_refused():
    class Encoder:
        def encode_clip(self, frames):
            return torch.from_numpy(frames[::4]).float()

    clip = np.zeros((9, 16, 24, 3), np.uint8)
    assert control_latents(Encoder(), clip, 9, 16, 24).shape == (3, 16, 24, 3)
    for wrong in (clip[:5], clip[:, :8], clip.astype(np.float32), clip[..., 0]):
        with pytest.raises(InputError, match=r"control clip: .* expected 9 frames of 24x16, RGB"):
            control_latents(Encoder(), wrong, 9, 16, 24)


# ---------------------------------------------------------------------------------------------------------- its file


@pytest.mark.parametrize("rank", [0, 2])
def test_an_adapter_comes_back_from_its_file(backbone, tmp_path, clip, run, rank):
    adapter, file = trained(backbone, rank), tmp_path / "adaptateur 模型.safetensors"
    save_control_adapter(adapter, file, dtype=torch.float32, steps=12)
    again = load_control_adapter(file)
    assert again.trained == {"steps": 12}
    assert again.fingerprint == adapter.fingerprint
    assert again.fingerprint != trained(backbone, rank, seed=4).fingerprint
    assert torch.equal(run(control(clip, again)), run(control(clip, adapter)))


def test_a_file_that_is_no_adapter_is_named_with_its_fault(backbone, tmp_path):
    file = tmp_path / "a.safetensors"

    def refused():
        with pytest.raises(InputError) as caught:
            load_control_adapter(file)
        return str(caught.value)

    assert refused().startswith(f"{file}: does not open")
    file.write_bytes(b"junk")
    assert refused().startswith(f"{file}: does not open")
    save_file({"weight": torch.zeros(1)}, file)
    assert "no control adapter that this version reads" in refused()
    save_control_adapter(trained(backbone), file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    state, config = load_file(file), json.loads(metadata["config"])
    save_file(state, file, metadata={"config": json.dumps({**config, "format": "mpvg-control-adapter/9"})})
    assert "expected mpvg-control-adapter/1; choose an adapter of this format, or update MPVG" in refused()
    save_file(state, file, metadata={"config": json.dumps({**config, "width": 8})})
    assert "size mismatch" in refused()
    save_file({name: value * float("nan") for name, value in state.items()}, file, metadata=metadata)
    assert "NaN or infinity in 'proj.weight'" in refused()
