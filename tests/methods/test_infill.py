"""Coarse to fine: the plan's numbers, ends that are exact, levels whose clips know nothing of one another."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.noise import shot_noise, step_generator
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError, MPVGError
from mpvg_core.methods.codenoise import codenoise
from mpvg_core.methods.infill import bridge_latents, bridged, infill, plan_infill, shoot_with, start_end
from mpvg_core.methods.technique import sample_with
from mpvg_core.methods.windows import plan_windows

STEPS, LENGTH = 3, 9  # a tiny clip has 3 latent frames, 9 pictures
SCHEDULERS = ("ddim", "dpm")

plans = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.just(n + 1),
        st.integers(0, 3 if n < 5 else 2),
        st.sampled_from([count + 1 for count in range(1, n + 1) if n % count == 0]),
    )
)


@pytest.mark.parametrize(("length", "depth", "frames"), [(16, 0, 16), (16, 1, 226), (16, 2, 3376), (17, 1, 257)])
def test_with_every_frame_a_key_the_film_has_nuwa_xls_number_of_frames(length, depth, frames):
    plan = plan_infill(length, depth)
    assert plan.frames == frames == (length - 1) ** (depth + 1) + 1
    assert [len(level) for level in plan.levels] == [(length - 1) ** d for d in range(depth + 1)]


@settings(max_examples=60, deadline=None)
@given(plans)
def test_clips_of_a_level_cover_the_film_and_share_their_end_points_alone(asked):
    length, depth, keys = asked
    plan = plan_infill(length, depth, keys)
    assert plan.frames == (length - 1) * (keys - 1) ** depth + 1
    for level in plan.levels:
        assert all(len(segment.frames) == length for segment in level)
        for one, following in pairwise(level):
            assert set(one.frames) & set(following.frames) == {one.frames[-1]} == {following.frames[0]}
        assert (level[0].frames[0], level[-1].frames[-1]) == (0, plan.frames - 1)
    assert [frame for segment in plan.levels[-1] for frame in segment.frames[:-1]] == list(range(plan.frames - 1))


@settings(max_examples=60, deadline=None)
@given(plans)
def test_the_ends_of_a_clip_are_neighbouring_keys_of_the_level_above(asked):
    plan = plan_infill(*asked)
    for above, level in pairwise(plan.levels):
        keys = [frame for segment in above for frame in segment.frames[:: plan.key_step][:-1]] + [plan.frames - 1]
        assert [(s.frames[0], s.frames[-1]) for s in level] == list(pairwise(keys))


def test_impossible_plans_are_refused():
    with pytest.raises(InputError, match="key frames: 4 of a clip; expected one of 2, 3, 5, 9, 17"):
        plan_infill(17, 1, 4)
    with pytest.raises(InputError, match="depth: -1 levels"):
        plan_infill(17, -1)
    with pytest.raises(InputError, match="clip length: 1 frames"):
        plan_infill(1, 0)


class Blocks:
    """A codec without weights: a latent frame is the mean picture of its frames, and of the first one if it is first.

    Channel 3 tells the first latent frame from the others.
    """

    def encode_clip(self, frames):
        groups = [frames[:1], *np.split(frames[1:], (len(frames) - 1) // 4)]
        means = np.stack([group.mean((0, 3)) for group in groups]) / 64 - 2
        latents = torch.from_numpy(means).float()[:, None].repeat(1, 4, 1, 1)
        latents[:, 3] = 1.0
        latents[0, 3] = -1.0
        return latents

    def decode(self, latents):
        pictures = ((latents[:, :1].clamp(-2, 2) + 2) * 63).round().to(torch.uint8).movedim(1, -1)
        pictures = pictures.repeat(1, 1, 1, 3).numpy()
        yield pictures[:1]
        for picture in pictures[1:]:
            yield np.repeat(picture[None], 4, axis=0)


@pytest.fixture
def shoot(backbone, positive, negative):
    def shoot_by(scheduler, prompt=None):
        return shoot_with(
            Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0)),
            lambda segments: Stepper(
                backbone.new_scheduler(scheduler), STEPS, [step_generator(s.level * 100 + s.index) for s in segments]
            ),
            lambda s: shot_noise(s.level * 100 + s.index, (1, 3, 4, 8, 8)),
            prompt,
        )

    return shoot_by


@pytest.fixture
def plain(backbone, positive, negative):
    def sampled(scheduler, *techniques, seed=0):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        stepper = Stepper(backbone.new_scheduler(scheduler), STEPS, step_generator(seed))
        return sample_with(techniques, guided, stepper, shot_noise(seed, (1, 3, 4, 8, 8)))

    return sampled


def film(plan, shoot, batch=1):
    clips = {}
    frames = list(
        infill(plan, shoot, Blocks(), batch=batch, on_clip=lambda s, x: clips.update({(s.level, s.index): x}))
    )
    return np.concatenate(frames), clips


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_depth_0_is_the_plain_clip_bit_for_bit(shoot, plain, scheduler):
    frames, clips = film(plan_infill(LENGTH, 0), shoot(scheduler))
    assert torch.equal(clips[0, 0], plain(scheduler)[0])
    assert np.array_equal(frames, np.concatenate(list(Blocks().decode(plain(scheduler)[0]))))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_known_ends_are_exact_and_change_what_lies_between(plain, normal, scheduler):
    first, last = normal(30, 4, 8, 8), normal(31, 4, 8, 8)
    clip, free = plain(scheduler, start_end(first, last)), plain(scheduler)
    assert torch.equal(clip[0, 0], first) and torch.equal(clip[0, -1], last)
    assert (clip[:, 1] - free[:, 1]).abs().max() > 1e-3
    assert torch.equal(plain(scheduler, start_end(first))[0, 0], first)
    assert torch.equal(plain(scheduler, start_end(last=last))[0, -1], last)


def test_no_known_end_is_the_plain_clip_bit_for_bit(plain):
    assert torch.equal(plain("dpm", start_end()), plain("dpm"))


def test_known_ends_stand_at_each_step_as_their_noise_says_and_nothing_else_is_touched(make_backbone, normal):
    stepper = Stepper(make_backbone("2b").new_scheduler(), 4)
    noise, latents, first = normal(1, 1, 3, 4, 8, 8), normal(2, 1, 3, 4, 8, 8), normal(3, 4, 8, 8)
    held = start_end(first).constrain(noise, stepper)(latents, stepper.timesteps[2])
    a, s = stepper.level(stepper.timesteps[2])
    assert 0.1 < a < 0.99
    assert torch.allclose(held[0, 0], a * first + s * noise[0, 0])
    assert torch.equal(held[:, 1:], latents[:, 1:])
    assert not torch.equal(latents[:, 0], held[:, 0])  # the loop's own latents stay


def test_the_ends_of_a_long_shot_are_held_in_windows_too(make_backbone, positive, negative, normal):
    first, last = normal(30, 4, 8, 8), normal(31, 4, 8, 8)
    backbone = make_backbone("2b")
    guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
    techniques = [codenoise(plan_windows(7, 3, 1)), start_end(first, last)]
    clip = sample_with(techniques, guided, Stepper(backbone.new_scheduler(), STEPS), normal(4, 1, 7, 4, 8, 8))
    assert torch.equal(clip[0, 0], first) and torch.equal(clip[0, -1], last)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_clips_of_a_level_do_not_depend_on_how_many_are_made_together(shoot, scheduler):
    plan, shots = plan_infill(LENGTH, 1, 5), shoot(scheduler)
    frames, alone = film(plan, shots)
    assert len(frames) == plan.frames == 33
    _, together = film(plan, shots, batch=3)
    for key, clip in alone.items():
        assert (together[key] - clip).abs().max() < 1e-4 * clip.abs().max()
    assert not torch.equal(alone[1, 0], alone[1, 1])


def test_the_order_of_a_batch_changes_nothing(shoot, normal):
    segments = plan_infill(LENGTH, 1, 3).levels[1]
    ends = normal(30, 2, 4, 8, 8), normal(31, 2, 4, 8, 8)
    forth = shoot("dpm")(segments, [start_end(*ends)])
    back = shoot("dpm")(segments[::-1], [start_end(*(end.flip(0) for end in ends))])
    assert (back.flip(0) - forth).abs().max() < 1e-4 * forth.abs().max()


def test_each_clip_begins_and_ends_with_key_frames_of_the_level_above(shoot):
    plan, codec = plan_infill(LENGTH, 2, 3), Blocks()
    frames, clips = film(plan, shoot("ddim"), batch=2)
    assert len(frames) == plan.frames == 33
    for level in (1, 2):
        above = [np.concatenate(list(codec.decode(clips[s.level, s.index]))) for s in plan.levels[level - 1]]
        pictures = {
            number: picture
            for segment, shown in zip(plan.levels[level - 1][::-1], above[::-1], strict=True)
            for number, picture in zip(segment.frames, shown, strict=True)
        }
        # Where two clips meet, the later one's first picture is the key.
        for segment in plan.levels[level - 1]:
            pictures[segment.frames[0]] = above[segment.index][0]
        for segment in plan.levels[level]:
            ends = bridge_latents(codec, pictures[segment.frames[0]], pictures[segment.frames[-1]], LENGTH)
            made = clips[segment.level, segment.index]
            assert torch.equal(made[0], ends[0]) and torch.equal(made[-1], ends[-1])
    last = np.concatenate(list(codec.decode(clips[2, 3])))
    assert np.array_equal(frames[-LENGTH:], last)


def test_a_known_last_frame_is_encoded_as_one_that_stands_for_several_pictures():
    first, last = np.full((8, 8, 3), 40, np.uint8), np.full((8, 8, 3), 200, np.uint8)
    bridge = bridge_latents(Blocks(), first, last, 17)
    assert (bridge[0, 3] == -1).all() and (bridge[-1, 3] == 1).all()
    levels = torch.tensor([40, 40, 40, 200, 200]) / 64 - 2
    assert torch.allclose(bridge[:, 0], levels[:, None, None].expand(5, 8, 8))


def test_a_bridge_begins_on_the_way_and_strength_1_is_no_bridge_bit_for_bit(plain, normal):
    bridge = 3 * normal(30, 3, 4, 8, 8)
    ends = start_end(bridge[0], bridge[-1])
    assert torch.equal(plain("dpm", bridged(bridge, 1.0), ends), plain("dpm", ends))
    far, near = (plain("ddim", bridged(bridge, strength), ends)[0] for strength in (1.0, 0.4))
    assert (near - bridge).norm() < 0.8 * (far - bridge).norm()
    assert torch.equal(near[-1], bridge[-1])
    assert torch.equal(plain("ddim", bridged(bridge, 0.0))[0], bridge)
    with pytest.raises(InputError, match="strength"):
        bridged(bridge, 1.1)
    with pytest.raises(MPVGError, match="bridge: the clip has latents"):
        plain("ddim", bridged(bridge[:2], 0.5))


def test_every_clip_can_have_its_own_prompt(shoot, positive, normal):
    other = normal(9, *positive.shape)
    plan = plan_infill(LENGTH, 1, 3)
    _, same = film(plan, shoot("ddim"), batch=2)
    _, own = film(plan, shoot("ddim", lambda s: other if (s.level, s.index) == (1, 1) else positive), batch=2)
    assert torch.equal(own[0, 0], same[0, 0]) and torch.equal(own[1, 0], same[1, 0])
    assert not torch.equal(own[1, 1][1], same[1, 1][1])


def test_ends_of_another_size_are_refused(plain, normal):
    with pytest.raises(MPVGError, match=r"last frame of the clip has latents \[4, 4, 8\]"):
        plain("ddim", start_end(last=normal(1, 4, 4, 8)))
