"""How methods enter the one loop: nothing changes without them, each seam does what it says, clashes are refused."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.predict import Guided
from mpvg_core.diffusion.sampler import sample
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError
from mpvg_core.methods.technique import Start, Technique, sample_with

STEPS = 4


@pytest.fixture
def run(backbone, noise, positive, negative):
    def run_with(*techniques, scheduler="ddim", text=4.0):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(text, 0.0))
        stepper = Stepper(backbone.new_scheduler(scheduler), STEPS, torch.Generator().manual_seed(5))
        return sample_with(techniques, guided, stepper, noise)

    return run_with


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_without_techniques_the_clip_is_the_plain_one_bit_for_bit(run, backbone, noise, positive, negative, scheduler):
    plain = sample(
        backbone,
        noise=noise,
        positive=positive,
        negative=negative,
        guidance=HistoryGuidance(4.0, 0.0),
        scheduler=backbone.new_scheduler(scheduler),
        steps=STEPS,
        generator=torch.Generator().manual_seed(5),
    )
    assert torch.equal(run(scheduler=scheduler), plain)
    assert torch.equal(run(Technique("nothing"), scheduler=scheduler), plain)


def test_noises_are_changed_one_after_the_other(run, noise):
    flipped = Technique("flip", noise=lambda x: x.flip(-1))
    assert torch.equal(run(flipped, flipped), run())
    assert not torch.equal(run(flipped), run())


def test_the_loop_begins_where_a_technique_says(run, backbone, noise):
    late = Technique("late", start=lambda x, stepper, guided: Start(x, 3))
    run(late)
    assert len(backbone.calls) == 2  # one step of two branches


def test_constraints_see_every_step_and_the_end(run, noise):
    seen = []

    def constrain(_, stepper):
        def keep(latents, timestep):
            seen.append(None if timestep is None else int(timestep))
            return latents * 0 + 1 if timestep is None else latents

        return keep

    assert torch.equal(run(Technique("ones", constrain=constrain)), torch.ones_like(noise))
    assert seen == [749, 499, 249, None]


def test_every_call_is_wrapped_and_told_its_step_and_branch(run, backbone):
    seen = []

    def around(transformer, call):
        @contextmanager
        def noted():
            seen.append((call.step.index, call.branches[0].text, transformer is backbone.transformer))
            yield

        return noted()

    run(Technique("note", around=around))
    assert seen == [(i, text, True) for i in range(STEPS) for text in ("negative", "positive")]


def test_two_techniques_that_replace_the_prediction_are_refused_by_name(run):
    one, two = (Technique(name, predict=lambda guided: guided) for name in ("windows", "blocks"))
    with pytest.raises(InputError, match="windows and blocks"):
        run(one, two)
