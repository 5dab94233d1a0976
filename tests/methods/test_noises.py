"""Noise that is shared, moved or drawn together: always standard normal, and off is the shot's own, bit for bit."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.noises import (
    box_path,
    move_noise,
    moving_noise,
    noise_of_boxes,
    path,
    same_background,
    shared_noise,
)
from mpvg_core.methods.technique import sample_with

BIG = (1, 7, 16, 30, 45)


@pytest.fixture
def run(backbone, noise, positive):
    def run_with(*techniques, scheduler="ddim"):
        guided = Guided(backbone, positive, None, None, HistoryGuidance(1.0, 0.0))
        stepper = Stepper(backbone.new_scheduler(scheduler), 4, torch.Generator().manual_seed(5))
        return sample_with(techniques, guided, stepper, noise)

    return run_with


def correlation(one, other):
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


def test_shared_noise_correlates_as_asked_and_its_ends_are_the_noises_themselves(normal):
    shared, own = normal(1, *BIG), normal(2, *BIG)
    mixed = shared_noise(shared, 0.6).noise(own)
    assert correlation(mixed, shared) == pytest.approx(0.6**0.5, abs=0.01)
    assert mixed.std().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(shared_noise(shared, 0.0).noise(own), own)
    assert torch.equal(shared_noise(shared, 1.0).noise(own), shared)
    with pytest.raises(InputError, match="ratio"):
        shared_noise(shared, 1.1)


def test_no_ratio_is_the_shots_own_noise_bit_for_bit(run, noise):
    plain = run()
    assert torch.equal(run(shared_noise(noise.flip(1), 0.0)), plain)
    assert torch.equal(run(moving_noise(torch.ones(3, 2), ratio=0.0)), plain)
    assert torch.equal(run(same_background(noise[0], torch.zeros(1, 3, 1, 8, 8).bool(), strength=0.0)), plain)


@pytest.mark.parametrize("technique", [moving_noise(torch.ones(3, 2)), shared_noise(torch.ones(1, 3, 4, 8, 8), 0.5)])
def test_noise_that_the_scheduler_would_not_keep_is_refused(run, technique):
    with pytest.raises(InputError, match=f"{technique.name}: it acts by noise.*'ddim'"):
        run(technique, scheduler="dpm")


def test_a_speed_of_d_pixels_a_frame_is_half_as_many_cells_a_latent_frame():
    speed, frames = 3.0, 5
    straight = path([(0, 0), (0, speed * 16)], frames, spatial=8)  # 17 pixel frames: 16 steps
    assert torch.allclose(straight[:, 1], torch.arange(5) * 4 * speed / 8)
    assert not straight[:, 0].any()


def test_a_path_goes_through_its_points_and_begins_at_nothing():
    bent = path([(10, 20), (10, 36), (42, 36)], 5, spatial=8)
    assert bent.tolist() == [[0, 0], [0, 1], [0, 2], [2, 2], [4, 2]]
    assert path([(3, 4)], 3, spatial=8).tolist() == [[0, 0]] * 3
    with pytest.raises(InputError, match="points"):
        path([], 3, spatial=8)


def test_whole_moves_carry_the_values_along_and_leave_new_noise_behind(normal):
    noise = normal(1, *BIG)
    shifts = torch.tensor([[0.0, 0.0]] + [[0.0, 2.0 * frame] for frame in range(1, 7)])
    moved = move_noise(noise, shifts)
    for frame in range(7):
        gap = 2 * frame
        assert torch.equal(moved[:, frame, :, :, gap:], noise[:, 0, :, :, : 45 - gap])
        assert torch.equal(moved[:, frame, :, :, :gap], noise[:, frame, :, :, :gap])


def test_boxes_take_the_noise_inside_them_along_each_its_own_way(normal):
    noise, (frames, _, rows, columns) = normal(1, *BIG), BIG[1:]
    left = box_path(((0.0, (0.0, 0.0, 0.2, 1.0)), (1.0, (0.4, 0.0, 0.2, 1.0))), frames, rows, columns)
    right = box_path(((0.0, (0.8, 0.0, 0.2, 0.4)),), frames, rows, columns)
    wide = round(0.4 * columns)
    assert left[0][:, 1].tolist() == pytest.approx([wide * frame / (frames - 1) for frame in range(frames)])
    assert not left[0][:, 0].any() and not right[0].any()
    moved = noise_of_boxes([left, right], ratio=1.0).noise(noise)
    held, end = round(0.2 * columns), slice(wide, wide + round(0.2 * columns))
    assert torch.equal(moved[:, -1, :, :, end], noise[:, 0, :, :, :held])
    low = round(0.4 * rows)
    assert torch.equal(moved[:, -1, :, :low, -held:], noise[:, 0, :, :low, -held:])
    assert torch.equal(moved[:, 0], noise[:, 0])
    assert torch.equal(moved[:, -1, :, :, :held], noise[:, -1, :, :, :held])


@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_boxes_that_meet_leave_noise_of_unit_variance(normal, ratio):
    noise, (frames, _, rows, columns) = normal(1, 1, 7, 64, 30, 45), BIG[1:]
    still = box_path(((0.0, (0.0, 0.0, 0.6, 1.0)),), frames, rows, columns)
    moves = box_path(((0.0, (0.1, 0.0, 0.4, 1.0)), (1.0, (0.3, 0.0, 0.4, 1.0))), frames, rows, columns)
    mixed = noise_of_boxes([still, moves, still], ratio=ratio).noise(noise)
    assert mixed.var(dim=(0, 2)).mean(dim=(1, 2)).tolist() == pytest.approx([1.0] * frames, abs=0.02)
    assert mixed[:, -1].var().item() == pytest.approx(1.0, abs=0.02)


def test_moves_up_and_left_are_moves_as_well(normal):
    noise = normal(1, *BIG)
    moved = move_noise(noise, torch.tensor([[0.0, 0.0]] * 6 + [[-3.0, -4.2]]))
    assert torch.equal(moved[:, 6, :, :-3, :-4], noise[:, 0, :, 3:, 4:])


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_moved_noise_has_unit_variance_in_every_frame(normal, whole, ratio):
    shifts = torch.tensor([[0.4 * frame, 1.5 * frame] for frame in range(7)])
    moved = move_noise(normal(1, *BIG), shifts, whole=whole, ratio=ratio)
    spread = moved.std(dim=(0, 2, 3, 4))
    assert spread.tolist() == pytest.approx([1.0] * 7, abs=0.02)
    assert moved.mean().abs().item() < 0.02


def test_only_whole_moves_leave_neighbours_independent(normal):
    shifts = torch.tensor([[0.0, 0.5 * frame] for frame in range(7)])
    for whole, expected in ((True, 0.0), (False, 0.5)):
        frame = move_noise(normal(1, *BIG), shifts, whole=whole)[:, 1]
        assert correlation(frame[..., 10:-1], frame[..., 11:]) == pytest.approx(expected, abs=0.03)


def test_the_ratio_is_the_correlation_with_the_wandering_noise(normal):
    noise = normal(1, *BIG)
    moved = move_noise(noise, torch.tensor([[0.0, 1.0 * frame] for frame in range(7)]), ratio=0.49)
    assert correlation(moved[:, 3, :, :, 3:], noise[:, 0, :, :, :-3]) == pytest.approx(0.7, abs=0.02)


def test_a_region_moves_alone(normal):
    noise = normal(1, *BIG)
    region = torch.zeros(30, 45, dtype=torch.bool)
    region[5:10, 5:10] = True
    moved = move_noise(noise, torch.tensor([[0.0, 0.0]] * 6 + [[2.0, 3.0]]), region=region)
    assert torch.equal(moved[:, 6, :, 7:12, 8:13], noise[:, 0, :, 5:10, 5:10])
    assert (moved[:, 6] != noise[:, 6]).sum() == 16 * 25
    assert torch.equal(moved[:, :6, :, :, :], move_noise(noise, torch.zeros(7, 2), region=region)[:, :6])


def test_a_path_of_another_length_is_an_error(normal):
    with pytest.raises(MPVGError, match=r"expected \[7, 2\]"):
        move_noise(normal(1, *BIG), torch.zeros(5, 2))


def foreground():
    mask = torch.zeros(1, 3, 1, 8, 8, dtype=torch.bool)
    mask[..., 2:5, 2:5] = True
    return mask


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_the_background_of_the_anchor_comes_out_where_no_actor_is(run, normal, noise, scheduler):
    anchor = normal(8, *noise.shape[1:])
    whole = same_background(anchor, foreground(), strength=1.0, interval=(0.0, 1.0))
    result = run(whole, scheduler=scheduler)
    actors = foreground().expand_as(result)
    assert torch.allclose(result[~actors], anchor[None][~actors], atol=1e-5)
    assert not torch.allclose(result[actors], anchor[None][actors], atol=1e-2)


def test_the_background_comes_nearer_with_the_strength(run, normal, noise):
    anchor, actors = normal(8, *noise.shape[1:]), foreground().expand_as(noise)
    results = [run(same_background(anchor, foreground(), strength=strength)) for strength in (0.0, 0.3, 0.6, 1.0)]
    distances = [(result - anchor)[~actors].norm().item() for result in results]
    assert distances == sorted(distances, reverse=True) and distances[-1] < distances[0]


def test_the_background_is_drawn_in_the_interval_only(noise, backbone, normal):
    stepper = Stepper(backbone.new_scheduler(), 4)
    draw = same_background(normal(8, *noise.shape[1:]), foreground(), interval=(0.25, 0.5)).constrain(noise, stepper)
    after = [*stepper.timesteps[1:], None]
    assert [torch.equal(draw(noise, timestep), noise) for timestep in after] == [True, False, True, True]


def test_all_wrong_settings_of_the_background_are_named_together(noise):
    with pytest.raises(InputError) as caught:
        same_background(noise[0], torch.zeros(1), strength=2.0, interval=(0.9, 0.1))
    assert len(caught.value.problems) == 3
