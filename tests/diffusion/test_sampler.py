"""The one loop against the stock pipeline, and its promises about calls, cancelling and bad numbers."""

from __future__ import annotations

import pytest
import torch

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.inject import ConcatInjection, GatedInjection, HistoryConditioning
from mpvg_core.diffusion.noise import shot_noise
from mpvg_core.diffusion.sampler import sample
from mpvg_core.errors import InputError, MPVGError

STEPS = 4
ROUNDING = 1e-5  # of the largest value: between batched and single calls, guidance 6, over all steps


def stock_latents(backbone, scheduler, noise, positive, negative, *, scale, steps=STEPS, **options):
    from diffusers import CogVideoXPipeline

    pipeline = CogVideoXPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=None,
        transformer=backbone.transformer,
        scheduler=backbone.new_scheduler(scheduler),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        latents=noise.clone(),
        height=noise.shape[3] * 8,
        width=noise.shape[4] * 8,
        num_frames=4 * (noise.shape[1] - 1) + 1,
        num_inference_steps=steps,
        guidance_scale=scale,
        output_type="latent",
        generator=torch.Generator().manual_seed(5),
        **options,
    ).frames


def own_latents(backbone, scheduler, noise, positive, negative, *, text=1.0, pull=0.0, steps=STEPS, **options):
    form = options.pop("form", "mpvg")
    guidance = HistoryGuidance(
        text, pull, form, options.pop("schedule", "constant"), options.pop("interval", (0.0, 1.0))
    )
    return sample(
        backbone,
        noise=noise,
        positive=positive,
        negative=negative,
        history=options.pop("history", None),
        guidance=guidance,
        scheduler=backbone.new_scheduler(scheduler),
        steps=steps,
        generator=torch.Generator().manual_seed(5),
        **options,
    )


@pytest.fixture
def history(normal):
    torch.manual_seed(11)
    return HistoryConditioning(ConcatInjection(history_dim=24, inner_width=64), 3 * normal(3, 1, 6, 24))


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_batched_sampling_is_bit_equal_to_the_stock_pipeline(backbone, scheduler, scale, noise, positive, negative):
    stock = stock_latents(backbone, scheduler, noise, positive, negative, scale=scale)
    own = own_latents(backbone, scheduler, noise, positive, negative, text=scale, batched=True)
    assert torch.isfinite(stock).all() and stock.std() > 0.1
    assert torch.equal(own, stock)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_branches_one_after_the_other_equal_the_stock_pipeline_to_rounding(
    backbone, scheduler, noise, positive, negative, record_property
):
    stock = stock_latents(backbone, scheduler, noise, positive, negative, scale=6.0)
    own = own_latents(backbone, scheduler, noise, positive, negative, text=6.0)
    difference = ((own - stock).abs().max() / stock.abs().max()).item()
    record_property("max_relative_difference", difference)
    assert difference < ROUNDING


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_the_upstream_schedule_is_bit_equal_to_the_dynamic_guidance_of_diffusers(
    backbone, scheduler, noise, positive, negative
):
    stock = stock_latents(backbone, scheduler, noise, positive, negative, scale=6.0, use_dynamic_cfg=True)
    own = own_latents(backbone, scheduler, noise, positive, negative, text=6.0, schedule="upstream", batched=True)
    plain = own_latents(backbone, scheduler, noise, positive, negative, text=6.0, batched=True)
    assert torch.equal(own, stock)
    assert not torch.equal(own, plain)


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon"])
def test_the_loop_does_not_care_what_the_model_predicts(make_backbone, prediction_type, noise, positive, negative):
    backbone = make_backbone("2b", prediction_type)
    for scheduler in ("ddim", "dpm"):
        if prediction_type == "epsilon":  # undefined at zero signal-to-noise: stock gives no finite numbers either
            with pytest.raises(MPVGError, match="NaN"):
                own_latents(backbone, scheduler, noise, positive, negative)
            continue
        stock = stock_latents(backbone, scheduler, noise, positive, negative, scale=3.0)
        own = own_latents(backbone, scheduler, noise, positive, negative, text=3.0, batched=True)
        assert torch.equal(own, stock)


def test_bfloat16_latents_step_as_in_the_stock_pipeline(make_backbone, noise, positive, negative):
    backbone = make_backbone("5b")
    backbone.transformer.to(torch.bfloat16)
    noise, positive, negative = (tensor.to(torch.bfloat16) for tensor in (noise, positive, negative))
    stock = stock_latents(backbone, "ddim", noise, positive, negative, scale=6.0)
    own = own_latents(backbone, "ddim", noise, positive, negative, text=6.0, batched=True)
    assert own.dtype == torch.bfloat16
    assert torch.equal(own, stock)


def test_empty_history_is_bit_for_bit_the_stock_pipeline(backbone, history, noise, positive, negative):
    stock = stock_latents(backbone, "ddim", noise, positive, negative, scale=6.0)
    nothing = HistoryConditioning(history.injection, history.tokens[:, :0])
    masked = HistoryConditioning(history.injection, history.tokens, torch.zeros(1, 6, dtype=torch.bool))
    for empty in (None, nothing, masked):
        for form in ("mpvg", "nested"):
            own = own_latents(
                backbone, "ddim", noise, positive, negative, text=6.0, pull=2.0, form=form, history=empty, batched=True
            )
            assert torch.equal(own, stock)


def test_no_pull_is_bit_for_bit_plain_guidance_with_history(backbone, history, noise, positive, negative):
    from mpvg_core.diffusion.inject import injected

    with injected(backbone.transformer, history):
        stock = stock_latents(backbone, "dpm", noise, positive, negative, scale=6.0)
    options = {"text": 6.0, "history": history, "batched": True}
    own = own_latents(backbone, "dpm", noise, positive, negative, pull=0.0, **options)
    pulled = own_latents(backbone, "dpm", noise, positive, negative, pull=0.5, **options)
    assert torch.equal(own, stock)
    assert (pulled - own).abs().max() > 1e-3  # scales between 0 and 1 count


def test_nested_without_pull_is_bit_for_bit_plain_guidance_without_history(
    backbone, history, noise, positive, negative
):
    stock = stock_latents(backbone, "ddim", noise, positive, negative, scale=6.0)
    own = own_latents(
        backbone, "ddim", noise, positive, negative, text=6.0, pull=0.0, form="nested", history=history, batched=True
    )
    assert torch.equal(own, stock)


@pytest.mark.parametrize("form", ["mpvg", "nested"])
@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_batched_equals_sequential_to_rounding(
    backbone, history, form, scheduler, noise, positive, negative, record_property
):
    options = {"text": 4.0, "pull": 1.5, "form": form, "history": history}
    one_by_one = own_latents(backbone, scheduler, noise, positive, negative, **options)
    together = own_latents(backbone, scheduler, noise, positive, negative, batched=True, **options)
    difference = ((one_by_one - together).abs().max() / together.abs().max()).item()
    record_property("max_relative_difference", difference)
    assert difference < ROUNDING


@pytest.mark.parametrize(
    ("text", "pull", "form", "per_step"),
    [
        (6.0, 1.0, "mpvg", ["negative+history", "positive", "positive+history"]),
        (6.0, 0.0, "mpvg", ["negative+history", "positive+history"]),
        (1.0, 2.0, "mpvg", ["positive", "positive+history"]),
        (1.0, 0.0, "mpvg", ["positive+history"]),
        (1.0, -1.0, "mpvg", ["positive"]),
        (6.0, 1.0, "nested", ["negative", "positive", "positive+history"]),
        (6.0, 6.0, "nested", ["negative", "positive+history"]),
        (6.0, 0.0, "nested", ["negative", "positive"]),
        (1.0, 1.0, "nested", ["positive+history"]),
        (0.0, 0.0, "nested", ["negative"]),
    ],
)
def test_only_conditions_that_count_are_evaluated_each_once(
    make_backbone, history, text, pull, form, per_step, noise, positive, negative
):
    backbone = make_backbone("2b")
    own_latents(backbone, "ddim", noise, positive, negative, text=text, pull=pull, form=form, history=history, steps=2)
    assert backbone.calls == [(branch, 1) for branch in per_step] * 2


def test_batched_calls_share_what_has_the_same_token_length(make_backbone, history, noise, positive, negative):
    backbone = make_backbone("2b")
    own_latents(backbone, "ddim", noise, positive, negative, text=6.0, pull=1.0, history=history, steps=2, batched=True)
    assert backbone.calls == [("positive", 1), ("negative+history positive+history", 2)] * 2


def test_outside_the_interval_only_the_history_term_is_skipped(make_backbone, history, noise, positive, negative):
    backbone = make_backbone("2b")
    own_latents(backbone, "ddim", noise, positive, negative, text=6.0, pull=1.0, history=history, interval=(0.25, 0.75))
    without, within = ["negative+history", "positive+history"], ["negative+history", "positive", "positive+history"]
    assert [branch for branch, _ in backbone.calls] == without + within + within + without


def test_the_negative_embedding_may_be_missing_only_where_nothing_asks_for_it(make_backbone, noise, positive):
    backbone = make_backbone("2b")
    assert own_latents(backbone, "ddim", noise, positive, None, text=1.0).shape == noise.shape
    with pytest.raises(MPVGError, match="negative prompt"):
        own_latents(backbone, "ddim", noise, positive, None, text=6.0)


def test_on_step_is_told_every_step_once_with_the_clean_prediction(make_backbone, noise, positive, negative):
    backbone, steps = make_backbone("2b"), []
    result = own_latents(backbone, "ddim", noise, positive, negative, text=6.0, on_step=steps.append)
    assert [info.index for info in steps] == [0, 1, 2, 3]
    assert [info.timestep for info in steps] == [999, 749, 499, 249]
    assert {info.steps for info in steps} == {STEPS}
    assert all(info.seconds > 0 and info.predicted.shape == noise.shape for info in steps)
    assert torch.equal(steps[-1].latents, result)
    # the last step ends at no noise at all
    assert torch.allclose(steps[-1].predicted, result, atol=1e-5)


class Stop(Exception):
    pass


def test_cancelling_takes_effect_within_one_transformer_call(
    make_backbone, history, noise, positive, negative, hooks_of
):
    backbone = make_backbone("2b")

    def stop_before_the_fifth_call():
        if len(backbone.calls) == 4:
            raise Stop

    with pytest.raises(Stop):
        own_latents(
            backbone,
            "ddim",
            noise,
            positive,
            negative,
            text=6.0,
            pull=1.0,
            history=history,
            interrupt=stop_before_the_fifth_call,
        )
    assert len(backbone.calls) == 4
    assert hooks_of(backbone.transformer) == 0


def test_on_step_can_stop_the_loop(make_backbone, noise, positive, negative):
    backbone = make_backbone("2b")

    def stop(info):
        raise Stop

    with pytest.raises(Stop):
        own_latents(backbone, "ddim", noise, positive, negative, text=6.0, on_step=stop)
    assert len(backbone.calls) == 2


@pytest.mark.parametrize(("broken_call", "step"), [(1, 1), (3, 4)])
def test_numbers_that_are_not_finite_are_an_error_in_words(
    make_backbone, broken_call, step, noise, positive, negative, monkeypatch
):
    backbone = make_backbone("2b")
    backbone.transformer.half()
    half = [tensor.half() for tensor in (noise, positive, negative)]
    intact = type(backbone).denoise

    def overflow(self, latents, timestep, embeds, *, branch):
        result = intact(self, latents, timestep, embeds, branch=branch)
        return result * float("inf") if len(self.calls) >= broken_call else result

    monkeypatch.setattr(type(backbone), "denoise", overflow)
    with pytest.raises(MPVGError, match=rf"step {step} of 4 in float16; .*bfloat16"):
        own_latents(backbone, "ddim", *half)


def test_dpm_without_a_generator_is_refused(make_backbone, noise, positive, negative):
    backbone = make_backbone("2b")
    with pytest.raises(MPVGError, match="generator"):
        sample(
            backbone,
            noise=noise,
            positive=positive,
            negative=negative,
            guidance=HistoryGuidance(),
            scheduler=backbone.new_scheduler("dpm"),
            steps=2,
        )
    assert backbone.calls == []


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_step_counts_are_input_errors(make_backbone, steps, noise, positive, negative):
    with pytest.raises(InputError, match="steps"):
        own_latents(make_backbone("2b"), "ddim", noise, positive, negative, steps=steps)


def test_sampling_again_gives_the_same_clip_and_leaves_the_noise_alone(make_backbone, positive, negative):
    backbone, noise = make_backbone("5b"), shot_noise(3, (1, 3, 4, 8, 8))
    kept = noise.clone()
    first, second = (own_latents(backbone, "dpm", noise, positive, negative, text=6.0) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(noise, kept)


def test_an_untrained_gated_history_without_pull_is_bit_for_bit_stock(backbone, noise, positive, negative, normal):
    history = HistoryConditioning(GatedInjection(history_dim=24, heads=4, head_dim=16, blocks=3), normal(3, 1, 6, 24))
    stock = stock_latents(backbone, "ddim", noise, positive, negative, scale=6.0)
    own = own_latents(backbone, "ddim", noise, positive, negative, text=6.0, history=history, batched=True)
    assert torch.equal(own, stock)
