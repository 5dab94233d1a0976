"""Windows of one latent: the identities that hold whatever the model, prompts, schedulers, cost and memory."""

from __future__ import annotations

import weakref
from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mpvg_core.diffusion.frames import latent_frames
from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.inject import ConcatInjection, HistoryConditioning
from mpvg_core.diffusion.predict import Guided, Step
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError
from mpvg_core.methods.codenoise import PromptSpan, codenoise, consecutive, fused
from mpvg_core.methods.technique import Technique, sample_with
from mpvg_core.methods.windows import plan_windows, window_shares

STEPS, WINDOW = 3, 3
SCHEDULERS = ("ddim", "dpm")


@pytest.fixture
def run(backbone, positive, negative):
    def run_with(noise, *techniques, scheduler="ddim", prompt=positive, history=None, seed=5, text=4.0):
        guided = Guided(backbone, prompt, negative, history, HistoryGuidance(text, 1.0))
        stepper = Stepper(backbone.new_scheduler(scheduler), STEPS, torch.Generator().manual_seed(seed))
        return sample_with(techniques, guided, stepper, noise)

    return run_with


@pytest.fixture
def long_noise(normal):
    return normal(4, 1, 7, 4, 8, 8)


def relative(one, other):
    return ((one - other).abs().max() / other.abs().max()).item()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_clip_of_one_window_is_the_plain_clip_bit_for_bit(run, noise, scheduler):
    plain = run(noise, scheduler=scheduler)
    assert torch.equal(run(noise, codenoise(plan_windows(3, WINDOW, 1)), scheduler=scheduler), plain)


@pytest.mark.parametrize(("scheduler", "weights"), [("ddim", "flat"), ("dpm", "pyramid")])
def test_windows_that_lie_on_one_another_are_the_single_window(run, noise, scheduler, weights):
    plain = run(noise, scheduler=scheduler)
    two = run(noise, codenoise([range(3)] * 2, weights=weights), scheduler=scheduler)
    five = run(noise, codenoise([range(3)] * 5, weights=weights), scheduler=scheduler)
    assert torch.equal(two, plain)
    assert relative(five, plain) < 1e-5


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_windows_without_overlap_are_the_isolated_clips_bit_for_bit(run, normal, positive, scheduler, monkeypatch):
    noise, other = normal(4, 1, 6, 4, 8, 8), normal(9, *positive.shape)
    spans = [PromptSpan(range(3), positive), PromptSpan(range(3, 6), other)]
    together = run(noise, codenoise(plan_windows(6, WINDOW, 0), spans), scheduler=scheduler)
    from diffusers.schedulers import scheduling_dpm_cogvideox as dpm

    draw = dpm.randn_tensor
    for span in spans:
        part = slice(span.frames.start, span.frames.stop)
        # An isolated clip gets the part of each step's noise that it has in the long one.
        monkeypatch.setattr(dpm, "randn_tensor", lambda _, p=part, **kw: draw(noise.shape, **kw)[:, p])
        alone = run(noise[:, part], scheduler=scheduler, prompt=span.positive)
        assert torch.equal(together[:, part], alone)


def test_the_order_of_the_windows_changes_nothing(run, long_noise, backbone, positive, negative):
    windows = plan_windows(7, WINDOW, 2)
    once = run(long_noise, codenoise(windows), scheduler="dpm")
    shuffled = run(long_noise, codenoise([windows[i] for i in (3, 0, 4, 2, 1)]), scheduler="dpm")
    assert relative(shuffled, once) < 1e-5
    part = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
    step = Step(0, 1, torch.tensor(700))
    shares = window_shares(windows, "pyramid")
    forth = fused(windows, shares, [part] * 5)(long_noise, step)
    back = fused(windows[::-1], shares[::-1], [part] * 5)(long_noise, step)
    assert relative(back, forth) < 1e-6


@pytest.mark.parametrize("weights", ["flat", "pyramid"])
def test_one_step_of_fused_predictions_is_the_mean_of_the_windows_ddim_steps(
    make_backbone, long_noise, positive, negative, weights
):
    backbone, windows = make_backbone("2b"), plan_windows(7, WINDOW, 1)
    part = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
    shares = window_shares(windows, weights)
    stepper = Stepper(backbone.new_scheduler("ddim"), STEPS)
    step = Step(1, STEPS, stepper.timesteps[1])
    together, _ = stepper.step(fused(windows, shares, [part] * len(windows))(long_noise, step), 1, long_noise)
    mean = torch.zeros_like(long_noise)
    for window, share in zip(windows, shares, strict=True):
        own = long_noise[:, window.start : window.stop]
        mean[:, window.start : window.stop] += share[:, None, None, None] * stepper.step(part(own, step), 1, own)[0]
    assert relative(together, mean) < 1e-6


def test_neighbours_see_each_other_through_the_overlap_and_only_through_it(run, long_noise):
    overlapping, apart = codenoise(plan_windows(7, WINDOW, 1)), codenoise(plan_windows(6, WINDOW, 0))
    changed = long_noise.clone()
    changed[:, 5:] += 1
    # Over two overlaps, within three steps.
    assert not torch.equal(run(long_noise, overlapping)[:, 0], run(changed, overlapping)[:, 0])
    assert torch.equal(run(long_noise[:, :6], apart)[:, :3], run(changed[:, :6], apart)[:, :3])


def test_each_window_has_its_own_prompt_frames_and_cache_contexts(
    make_backbone, long_noise, positive, negative, normal
):
    backbone, seen = make_backbone("2b"), []
    other = normal(9, *positive.shape)

    def around(transformer, call):
        @contextmanager
        def noted():
            seen.append((call.scope, call.branches[0].text, call.frames))
            yield

        return noted()

    spans = [PromptSpan(range(3), positive), PromptSpan(range(3, 7), other)]
    asked = []
    intact = backbone.denoise

    def denoise(latents, timestep, embeds, *, branch):
        asked.append((branch, embeds, latents.shape[1]))
        return intact(latents, timestep, embeds, branch=branch)

    backbone.denoise = denoise
    guided = Guided(backbone, normal(8, *positive.shape), negative, None, HistoryGuidance(4.0, 0.0), scope="clip")
    techniques = [Technique("note", around=around), codenoise(plan_windows(7, WINDOW, 1), spans)]
    sample_with(techniques, guided, Stepper(backbone.new_scheduler(), 1), long_noise)
    windows = plan_windows(7, WINDOW, 1)
    assert seen == [(f"clip w{k}", text, windows[k]) for k in range(3) for text in ("negative", "positive")]
    assert [branch for branch, *_ in asked] == [
        f"clip w{k} {text}" for k in range(3) for text in ("negative", "positive")
    ]
    assert {count for *_, count in asked} == {WINDOW}
    for (_, embeds, _), expected in zip(asked[1::2], (positive, other, other), strict=True):
        assert torch.equal(embeds, expected)


def test_each_prompt_brings_its_own_history(run, normal, positive, backbone):
    torch.manual_seed(11)
    injection = ConcatInjection(history_dim=24, inner_width=64)
    one, two = (HistoryConditioning(injection, 3 * normal(seed, 1, 6, 24)) for seed in (20, 21))
    noise = normal(4, 1, 6, 4, 8, 8)
    spans = [PromptSpan(range(3), positive, one), PromptSpan(range(3, 6), positive, two)]
    together = run(noise, codenoise(plan_windows(6, WINDOW, 0), spans), history=two)
    assert torch.equal(together[:, :3], run(noise[:, :3], history=one))
    assert torch.equal(together[:, 3:], run(noise[:, 3:], history=two))
    assert any("history" in branch for branch, _ in backbone.calls)
    forgetful = run(noise, codenoise(plan_windows(6, WINDOW, 0), [PromptSpan(range(6), positive)]), history=two)
    assert torch.equal(forgetful[:, :3], run(noise[:, :3]))
    kept = run(noise, codenoise(plan_windows(6, WINDOW, 0)), history=two)  # no spans: the clip's own
    assert torch.equal(kept[:, :3], run(noise[:, :3], history=two))


def embeddings_asked(make_backbone, long_noise, spans, between, windows):
    backbone, asked = make_backbone("2b"), []
    backbone.denoise = lambda latents, timestep, embeds, *, branch: asked.append(embeds) or torch.zeros_like(latents)
    guided = Guided(backbone, spans[0].positive, None, None, HistoryGuidance(1.0, 0.0))
    sample_with([codenoise(windows, spans, between=between)], guided, Stepper(backbone.new_scheduler(), 1), long_noise)
    return asked


def test_a_window_between_two_prompts_takes_the_nearer_or_their_mean(make_backbone, normal, positive, long_noise):
    other = normal(9, *positive.shape)
    spans = [PromptSpan(range(3), positive), PromptSpan(range(3, 7), other)]
    windows = plan_windows(7, WINDOW, 2)  # 0-2, 1-3, 2-4, 3-5, 4-6
    nearest = embeddings_asked(make_backbone, long_noise, spans, "nearest", windows)
    for embeds, expected in zip(nearest, (positive, positive, other, other, other), strict=True):
        assert torch.equal(embeds, expected)
    blended = embeddings_asked(make_backbone, long_noise, spans, "blend", windows)
    assert torch.equal(blended[0], positive) and torch.equal(blended[4], other)
    assert torch.allclose(blended[1], (2 * positive + other) / 3, atol=1e-6)
    assert torch.allclose(blended[2], (positive + 2 * other) / 3, atol=1e-6)


def test_of_two_prompts_equally_near_a_window_takes_the_earlier(make_backbone, normal, positive):
    other, noise = normal(9, *positive.shape), normal(4, 1, 6, 4, 8, 8)
    spans = [PromptSpan(range(3), positive), PromptSpan(range(3, 6), other)]
    asked = embeddings_asked(make_backbone, noise, spans, "nearest", plan_windows(6, 4, 2))
    assert torch.equal(asked[0], positive) and torch.equal(asked[1], other)
    tie = embeddings_asked(make_backbone, noise, spans, "nearest", [range(3), range(2, 4), range(3, 6)])
    assert torch.equal(tie[1], positive)


def test_calls_grow_linearly_with_the_length(make_backbone, positive, negative, normal):
    counts = []
    for frames in (5, 9, 13, 17):
        backbone = make_backbone("2b")
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        windows = codenoise(plan_windows(frames, WINDOW, 1))
        stepper = Stepper(backbone.new_scheduler(), 1)
        sample_with([windows], guided, stepper, normal(4, 1, frames, 4, 8, 8))
        counts.append(len(backbone.calls))
    assert counts == [4, 8, 12, 16]  # two branches for each of 2, 4, 6, 8 windows


class CountingBackbone:
    """Knows how many of its predictions are alive at the same time, and how large its calls were."""

    transformer = torch.nn.Module()

    def __init__(self):
        self.alive = self.most = self.largest = 0

    def denoise(self, latents, timestep, embeds, *, branch):
        prediction = latents * 0.5
        self.alive += prediction.shape[1]
        self.most, self.largest = max(self.most, self.alive), max(self.largest, latents.numel())
        weakref.finalize(prediction, self.released, prediction.shape[1])
        return prediction

    def released(self, frames):
        self.alive -= frames


def test_the_memory_is_that_of_one_window_however_long_the_clip(positive, negative, normal):
    found = set()
    for frames in (3, 7, 15, 31):
        backbone = CountingBackbone()
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        predict = codenoise(plan_windows(frames, WINDOW, 2)).predict(guided)
        predict(normal(4, 1, frames, 4, 8, 8), Step(0, 1, torch.tensor(999)))
        assert backbone.alive == 0
        found.add((backbone.most, backbone.largest))
    assert found == {(2 * WINDOW, WINDOW * 4 * 8 * 8)}  # the two branches of one window


class LiveBytes(TorchDispatchMode):
    """The most bytes of storages that calculations keep alive at the same time."""

    def __init__(self):
        super().__init__()
        self.users, self.now, self.peak = Counter(), 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                place, size = storage.data_ptr(), storage.nbytes()
                self.now += size * (not self.users[place])
                self.users[place] += 1
                weakref.finalize(tensor, self.released, place, size)
        self.peak = max(self.peak, self.now)
        return result

    def released(self, place, size):
        self.users[place] -= 1
        self.now -= size * (not self.users[place])


@torch.no_grad()
def test_a_step_of_twice_the_frames_takes_no_more_memory_latents_aside(make_backbone, positive, negative, normal):
    backbone, peaks = make_backbone("2b"), []
    guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
    for frames in (9, 18, 36):
        latents, predict = normal(4, 1, frames, 4, 8, 8), codenoise(plan_windows(frames, WINDOW, 1)).predict(guided)
        with LiveBytes() as live:
            predict(latents, Step(0, 1, torch.tensor(999)))
        peaks.append(live.peak - 2 * latents.numel() * 4)  # of the whole length: the latents and the fused prediction
    assert max(peaks) < 1.05 * min(peaks)
    assert min(peaks) > 10 * WINDOW * 4 * 8 * 8 * 4  # the transformer's own work was seen


def test_bfloat16_latents_are_fused_in_float32(positive, negative, normal):
    guided = Guided(CountingBackbone(), positive, negative, None, HistoryGuidance(4.0, 0.0))
    noise = normal(4, 1, 7, 4, 8, 8).bfloat16()
    fused_prediction = codenoise(plan_windows(7, WINDOW, 1)).predict(guided)(noise, Step(0, 1, torch.tensor(999)))
    assert fused_prediction.dtype == torch.float32
    assert torch.allclose(fused_prediction, noise.float() / 2, atol=1e-6)


def test_shots_that_flow_into_one_another_share_no_frame_and_stay_an_odd_number_of_latents():
    spans = consecutive([5, 5, 3])
    assert spans == (range(5), range(5, 9), range(9, 11))
    lengths = [17, 33, 9, 25]
    together = consecutive([latent_frames(length) for length in lengths])
    assert together[-1].stop == latent_frames(1 + sum(length - 1 for length in lengths))


def test_prompts_that_do_not_fit_the_clip_are_refused(positive):
    windows = plan_windows(7, WINDOW, 1)

    def told(*frames):
        return codenoise(windows, [PromptSpan(one, positive) for one in frames])

    with pytest.raises(InputError, match=r"prompt 2: it is told from latent frame 4 to 7; expected it begins at 3"):
        told(range(3), range(4, 7))
    with pytest.raises(InputError, match="they tell 5 latent frames; expected 7"):
        told(range(5))
    with pytest.raises(InputError, match="prompt 2: no window takes it: 1 latent frames are too few"):
        told(range(3), range(3, 4), range(4, 7))
    with pytest.raises(InputError, match="nearest, blend"):
        codenoise(windows, [PromptSpan(range(7), positive)], between="both")


def test_windows_for_a_clip_of_another_length_are_refused(run, noise):
    with pytest.raises(InputError, match="they cover 7 latent frames; expected 3"):
        run(noise, codenoise(plan_windows(7, WINDOW, 1)))
