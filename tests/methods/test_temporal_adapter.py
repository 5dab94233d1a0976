"""A temporal adapter across shots: exact where promised, and gone afterwards."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.technique import sample_with
from mpvg_core.methods.temporal_adapter import (
    CrossShotLayer,
    PastFrames,
    TemporalAdapter,
    attached,
    new_temporal_adapter,
    past_frames,
    read_temporal_adapter,
    spread,
    temporal_adapter,
    write_temporal_adapter,
)

FRAMES, PLACES, INNER = 3, 16, 32
NEAR = 1e-5


@pytest.fixture
def untrained(backbone) -> TemporalAdapter:
    torch.manual_seed(5)
    return new_temporal_adapter(backbone.transformer, inner=INNER, heads=2).eval()


@pytest.fixture
def adapter(untrained) -> TemporalAdapter:
    """One whose last layers are no longer zero."""
    with torch.no_grad():
        for layer in untrained.layers:
            layer.leave.weight.normal_(std=0.3)
    return untrained


@pytest.fixture
def clips(normal):
    """Two past shots of different lengths, the older first."""
    return [normal(20, 3, 4, 8, 8), normal(21, 5, 4, 8, 8)]


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(*techniques, latents=None, scheduler="ddim", batched=False):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0), batched=batched)
        stepper = Stepper(backbone.new_scheduler(scheduler), 3, torch.Generator().manual_seed(5))
        return sample_with(techniques, guided, stepper, noise if latents is None else latents)

    return run_with


@pytest.fixture
def layer() -> CrossShotLayer:
    torch.manual_seed(6)
    made = CrossShotLayer(width=24, inner=INNER, heads=2)
    torch.nn.init.normal_(made.leave.weight)
    return made


@pytest.fixture
def asked(layer, normal):
    """What the layer adds to two clips of three frames of four places, given their past."""

    @torch.no_grad()
    def ask(past, mask=None, video=None):
        video = normal(30, 2, FRAMES, 4, 24) if video is None else video
        return layer(video, normal(31, FRAMES, INNER), past, mask)

    return ask


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_an_untrained_adapter_is_the_stock_model_bit_for_bit(run, untrained, clips, scheduler):
    found = run(temporal_adapter(untrained, clips), scheduler=scheduler)
    assert torch.equal(found, run(scheduler=scheduler))


def test_strength_0_no_past_and_no_steps_are_the_stock_model_bit_for_bit(run, adapter, clips):
    plain = run()
    assert torch.equal(run(temporal_adapter(adapter, clips, 0.0)), plain)
    assert torch.equal(run(temporal_adapter(adapter, [])), plain)
    assert torch.equal(run(temporal_adapter(adapter, clips, interval=(0.5, 0.5))), plain)
    assert not torch.equal(run(temporal_adapter(adapter, clips)), plain)


def test_a_past_that_is_all_masked_is_none_bit_for_bit(backbone, adapter, clips, noise, positive):
    past = past_frames(clips, 2)
    hidden = PastFrames(past.latents, past.frames, past.ages, torch.zeros_like(past.ages, dtype=torch.bool))
    with torch.no_grad(), attached(backbone.transformer, adapter, hidden):
        found = backbone.denoise(noise, torch.tensor([500]), positive, branch="test")
    with torch.no_grad():
        assert torch.equal(found, backbone.denoise(noise, torch.tensor([500]), positive, branch="test"))


def test_it_leaves_no_trace(run, backbone, adapter, clips, hooks_of):
    plain, keys = run(), list(backbone.transformer.state_dict())
    run(temporal_adapter(adapter, clips))
    assert hooks_of(backbone.transformer) == 0
    assert list(backbone.transformer.state_dict()) == keys
    assert torch.equal(run(), plain)
    with pytest.raises(KeyboardInterrupt), attached(backbone.transformer, adapter, past_frames(clips, 2)):
        assert hooks_of(backbone.transformer) == 1 + len(adapter.layers)
        raise KeyboardInterrupt
    assert hooks_of(backbone.transformer) == 0


def test_strength_leads_from_the_stock_clip_without_a_jump(run, adapter, clips):
    plain = run()
    away = [float((run(temporal_adapter(adapter, clips, s)) - plain).abs().mean()) for s in (1e-4, 0.3, 1.0)]
    assert away[0] < 1e-3
    assert away == sorted(away)


def test_the_order_of_past_frames_does_not_matter_their_age_and_number_do(backbone, adapter, clips, noise, positive):
    def call(past):
        with torch.no_grad(), attached(backbone.transformer, adapter, past):
            return backbone.denoise(noise, torch.tensor([500]), positive, branch="test")

    past, turned = past_frames(clips, 2), torch.tensor([2, 0, 3, 1])
    found = call(past)
    permuted = PastFrames(past.latents[:, turned], past.frames[turned], past.ages[:, turned])
    assert (call(permuted) - found).abs().max() < NEAR
    assert (call(PastFrames(past.latents[:, turned], past.frames, past.ages)) - found).abs().max() > 100 * NEAR
    assert (call(PastFrames(past.latents, past.frames, past.ages + 1)) - found).abs().max() > 100 * NEAR
    assert (call(PastFrames(past.latents, past.frames + 1, past.ages)) - found).abs().max() > 100 * NEAR


def test_each_place_sees_its_own_past_alone_bit_for_bit(asked, normal):
    past = normal(32, 2, 5, 4, INNER)
    other = past.clone()
    other[:, 3, 2] += 1.0
    before, after = asked(past), asked(other)
    assert torch.equal(before[:, :, [0, 1, 3]], after[:, :, [0, 1, 3]])
    assert not torch.equal(before[:, :, 2], after[:, :, 2])


def test_places_may_be_permuted(asked, normal):
    past, video, turned = normal(32, 2, 5, 4, INNER), normal(30, 2, FRAMES, 4, 24), torch.tensor([3, 0, 2, 1])
    found = asked(past[:, :, turned], video=video[:, :, turned])
    assert (found - asked(past)[:, :, turned]).abs().max() < NEAR


def test_what_masked_frames_hold_does_not_matter_and_they_are_as_good_as_absent(asked, normal):
    past = normal(32, 2, 5, 4, INNER)
    mask = torch.tensor([[True, True, False, True, False]]).expand(2, -1)
    other = torch.where(mask[:, :, None, None], past, 100.0)
    assert torch.equal(asked(past, mask), asked(other, mask))
    assert (asked(past, mask) - asked(past[:, [0, 1, 3]])).abs().max() < NEAR
    assert (asked(past, mask) - asked(past)).abs().max() > 100 * NEAR


def test_rows_of_a_batch_do_not_see_each_other_and_one_without_past_gains_nothing(asked, normal):
    past = normal(32, 2, 5, 4, INNER)
    mask = torch.tensor([[True] * 5, [False] * 5])
    found = asked(past, mask)
    assert torch.equal(found[1], torch.zeros_like(found[1]))
    assert (found[0] - asked(past)[0]).abs().max() < NEAR
    other = past.clone()
    other[1] += 1.0
    assert torch.equal(asked(other)[0], asked(past)[0])


def test_frames_of_the_clip_see_each_other(asked, normal):
    past, video = normal(32, 2, 5, 4, INNER), normal(30, 2, FRAMES, 4, 24)
    other = video.clone()
    other[:, 2] = other[:, 2].flip(-1)
    assert not torch.equal(asked(past, video=other)[:, 0], asked(past, video=video)[:, 0])


def test_each_clip_of_a_call_has_its_own_past_in_every_branch(backbone, adapter, normal, positive, negative):
    past = past_frames([normal(22, 3, 4, 8, 8)], 2)
    two = PastFrames(torch.cat([past.latents, past.latents.flip(0) + 1]), past.frames, past.ages.expand(2, -1))
    latents = normal(23, 2, 3, 4, 8, 8)

    def call(latents, embeds, past):
        timestep = torch.tensor([500]).expand(len(latents))
        with torch.no_grad(), attached(backbone.transformer, adapter, past):
            return backbone.denoise(latents, timestep, embeds, branch="test")

    together = call(latents.repeat(2, 1, 1, 1, 1), torch.cat([negative, negative, positive, positive]), two)
    for row, embeds in enumerate((negative, negative, positive, positive)):
        clip = row % 2
        own = PastFrames(two.latents[clip : clip + 1], past.frames, past.ages)
        assert (call(latents[clip : clip + 1], embeds, own)[0] - together[row]).abs().max() < NEAR
    with pytest.raises(MPVGError, match="2 clips in a call of 3 rows"):
        call(normal(24, 3, 3, 4, 8, 8), positive.expand(3, -1, -1), two)


def test_a_window_is_told_which_frames_it_shows(backbone, adapter, clips, noise, positive):
    def call(frames):
        with torch.no_grad(), attached(backbone.transformer, adapter, past_frames(clips, 2), frames=frames):
            return backbone.denoise(noise, torch.tensor([500]), positive, branch="test")

    assert torch.equal(call(range(3)), call(None))
    assert (call(range(4, 7)) - call(None)).abs().max() > 100 * NEAR
    with pytest.raises(MPVGError, match="are not 2 frames"):
        call(range(2))


def test_middles_of_equal_parts_stand_for_a_clip():
    assert spread(5, 2) == [1, 3]
    assert spread(13, 3) == [2, 6, 10]
    assert spread(3, 1) == [1]
    assert spread(1, 2) == [0]


def test_past_frames_know_their_clip_and_their_number_in_it(clips):
    past = past_frames(clips, 2)
    assert past.ages.tolist() == [[2, 2, 1, 1]]
    assert past.frames.tolist() == [0, 2, 1, 3]
    assert torch.equal(past.latents[0, 3], clips[1][3])
    assert past_frames(clips, 1, ages=[7, 3]).ages.tolist() == [[7, 3]]


def test_tokens_are_patches_in_the_order_of_the_transformers_own(backbone, adapter, clips):
    past = past_frames(clips, 2)
    moved = past.latents.clone()
    moved[:, :, :, 2:4, 6:8] += 1.0  # the cells of row 1, column 3 of four
    with torch.no_grad():
        before = adapter.tokens(past)
        after = adapter.tokens(PastFrames(moved, past.frames, past.ages))
    assert before.shape == (1, 4, PLACES, INNER)
    changed = (before != after).any(dim=-1).any(dim=1)[0]
    assert changed.nonzero().flatten().tolist() == [7]
    grid = torch.zeros(1, 1, 4, 8, 8)
    grid[..., 2:4, 6:8] = 1.0
    with torch.no_grad():
        zero, one = (backbone.transformer.patch_embed.proj(part[:, 0]).flatten(2)[0].T for part in (0 * grid, grid))
    assert (zero != one).any(dim=1).nonzero().flatten().tolist() == [7]


def test_a_file_gives_back_what_was_written(run, adapter, clips, tmp_path):
    adapter.trained = {"steps": 3}
    write_temporal_adapter(adapter, tmp_path / "t.safetensors", dtype=torch.float32)
    found = read_temporal_adapter(tmp_path / "t.safetensors")
    assert found.numbers == adapter.numbers
    assert found.trained == {"steps": 3}
    assert found.fingerprint == adapter.fingerprint
    assert torch.equal(run(temporal_adapter(found, clips)), run(temporal_adapter(adapter, clips)))


@pytest.mark.parametrize(
    ("spoil", "config", "said"),
    [
        (lambda state: {name: value for name, value in state.items() if "age" not in name}, {}, "age.weight"),
        (lambda state: {name: value * float("nan") for name, value in state.items()}, {}, "NaN"),
        (lambda state: state, {"format": "mpvg-temporal-adapter/9"}, "'mpvg-temporal-adapter/9'"),
        (lambda state: state, {"chosen": [7]}, "chosen blocks"),
        (lambda state: state, {"heads": 5}, "multiple of 10"),
    ],
)
def test_a_spoilt_file_is_named(untrained, tmp_path, spoil, config, said):
    path = tmp_path / "t.safetensors"
    write_temporal_adapter(untrained, path)
    header = {"format": "mpvg-temporal-adapter/1", **untrained.numbers, **config}
    save_file(spoil(load_file(path)), path, metadata={"config": json.dumps(header)})
    with pytest.raises(InputError, match=said) as caught:
        read_temporal_adapter(path)
    assert caught.value.problems[0].where == str(path)


def test_another_transformer_is_refused(run, clips, backbone):
    other = TemporalAdapter(channels=4, patch=2, width=48, blocks=3, inner=INNER, heads=2)
    with pytest.raises(MPVGError, match="made for width 48; this transformer has channels 4, patch 2, width 64"):
        run(temporal_adapter(other, clips))


def test_another_size_of_picture_is_refused(run, adapter, normal):
    with pytest.raises(MPVGError, match="latents of 4x6, the clip of 8x8"):
        run(temporal_adapter(adapter, [normal(1, 3, 4, 6, 4)]))
    with pytest.raises(MPVGError, match="one size"):
        temporal_adapter(adapter, [normal(1, 3, 4, 6, 4), normal(2, 3, 4, 8, 8)])


def test_what_makes_no_sense_is_an_input_error(adapter, clips):
    with pytest.raises(InputError) as caught:
        temporal_adapter(adapter, clips, -1.0, interval=(0.8, 0.2))
    assert len(caught.value.problems) == 2
