"""Regional object tokens: exactly who sees whom, nothing without a box, most of the effect inside it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.hooks import RemovableHandle

from mpvg_core.diffusion.attention import rotate
from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.diffusion.inject import ConcatInjection, HistoryConditioning, injected
from mpvg_core.diffusion.predict import Guided, Step
from mpvg_core.diffusion.schedule import Stepper
from mpvg_core.errors import InputError
from mpvg_core.methods.causal import causal_attention
from mpvg_core.methods.regions import Region, Regions, box_clip, inside, latent_times, placed, regions
from mpvg_core.methods.shared_attention import Anchor, Sharing, shared_attention
from mpvg_core.methods.technique import require_compatible, sample_with

SIZE = (3, 8, 8)  # latents of tests/diffusion/tiny.py: frames, height, width; 4 x 4 tokens a frame
LEFT, RIGHT, NOWHERE = ((0.0, (0.0, 0.0, 0.5, 1.0)),), ((0.0, (0.5, 0.0, 0.5, 1.0)),), ((0.0, (0.2, 0.2, 0.0, 1.0)),)
STEP = Step(2, 4, torch.tensor(499))


@pytest.fixture
def words(normal):
    return normal(11, 5, 32)


@pytest.fixture
def predict(backbone, noise, positive, negative):
    """The guided prediction of one step with techniques."""

    def ask(*techniques, latents=noise, **changes):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        guided = replace(guided, around=tuple(t.around for t in techniques if t.around), **changes)
        with torch.no_grad():
            return guided(latents, STEP)

    return ask


def shift(one, other):
    """The mean absolute difference in the left and in the right half of the picture."""
    apart = (one - other).abs()
    return float(apart[..., :4].mean()), float(apart[..., 4:].mean())


class MaskedOracle:
    """Stock attention over [text | objects | video] under one mask of all tokens by all tokens."""

    def __init__(self, visible, bias, text):
        self.scores = torch.zeros(visible.shape).masked_fill(~visible, -torch.inf) + bias
        self.text = text

    def __call__(self, attn, hidden_states, encoder_hidden_states, attention_mask=None, image_rotary_emb=None):
        length = encoder_hidden_states.shape[1]
        states = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        query, key, value = (
            m(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for m in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = attn.norm_q(query), attn.norm_k(key)
        if image_rotary_emb is not None:
            query, key = (
                torch.cat([x[:, :, :length], rotate(x[:, :, length:], image_rotary_emb)], dim=2) for x in (query, key)
            )
        seen = scaled_dot_product_attention(query, key, value, attn_mask=self.scores)
        written = attn.to_out[0](seen.transpose(1, 2).flatten(2))
        return written[:, length:], written[:, :length]


@contextmanager
def oracle(transformer, objects, members, strength):
    """What `placed` says, by masks: words appended to the text, every attention replaced."""
    text, count, video = 10, sum(len(own) for own in objects), len(members[0])
    total = text + count + video
    visible = torch.ones(total, total, dtype=torch.bool)
    visible[:, text : text + count] = False
    visible[text : text + count] = False
    bias, start = torch.zeros(total, total), text
    for own, member in zip(objects, members, strict=True):
        span = slice(start, start + len(own))
        visible[span, span] = True
        visible[span, text + count :] = member
        visible[text + count :, span] = member[:, None]
        bias[text + count :, span] = torch.log(torch.tensor(strength))
        start += len(own)
    blocks = list(transformer.transformer_blocks)
    stock = [block.attn1.processor for block in blocks]
    for block in blocks:
        block.attn1.set_processor(MaskedOracle(visible, bias, text))

    def append(module, args, kwargs):
        return args, {
            **kwargs,
            "encoder_hidden_states": torch.cat([kwargs["encoder_hidden_states"], torch.cat(objects)[None]], 1),
        }

    def drop(module, args, kwargs, output):
        return output[0], output[1][:, :text]

    handles: list[RemovableHandle] = [
        blocks[0].register_forward_pre_hook(append, with_kwargs=True),
        blocks[-1].register_forward_hook(drop, with_kwargs=True),
    ]
    yield
    for handle in handles:
        handle.remove()
    for block, processor in zip(blocks, stock, strict=True):
        block.attn1.set_processor(processor)


@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_it_is_attention_under_a_mask_of_all_tokens_by_all_tokens(backbone, noise, positive, normal, strength):
    transformer, times = backbone.transformer, latent_times(3)
    tracks = (((0.0, (0.0, 0.0, 0.6, 0.8)), (1.0, (0.4, 0.2, 0.6, 0.8))), ((0.0, (0.3, 0.3, 0.7, 0.4)),))
    members = [inside(track, times, 4, 4).flatten() for track in tracks]
    assert 0 < int((members[0] & members[1]).sum()) < int(members[0].sum()) < len(members[0])
    objects = [normal(21, 3, 64), normal(22, 2, 64)]
    with torch.no_grad():
        with placed(transformer, objects, members, [True], strength):
            fast = backbone.denoise(noise, torch.tensor([499]), positive, branch="fast")
        with oracle(transformer, objects, members, strength):
            slow = backbone.denoise(noise, torch.tensor([499]), positive, branch="slow")
        stock = backbone.denoise(noise, torch.tensor([499]), positive, branch="stock")
    assert (slow - stock).abs().max() > 1e-3
    assert (fast - slow).abs().max() < 2e-6


def test_an_empty_box_is_the_stock_model_bit_for_bit(predict, words):
    assert torch.equal(predict(regions([Region(words, NOWHERE)], SIZE)), predict())


def test_tokens_that_nobody_sees_change_nothing_but_rounding(backbone, noise, positive, normal):
    with torch.no_grad():
        stock = backbone.denoise(noise, torch.tensor([499]), positive, branch="a")
        with placed(backbone.transformer, [normal(21, 3, 64)], [torch.zeros(48, dtype=torch.bool)], [True], 1.0):
            unseen = backbone.denoise(noise, torch.tensor([499]), positive, branch="b")
    assert (stock - unseen).abs().max() <= 2e-6


def test_words_that_were_read_where_weights_wait_come_to_the_device_of_the_call(backbone, noise, positive, normal):
    """A model that does not fit has its weights elsewhere until a part is called; `meta` tells devices apart."""
    transformer, where = backbone.transformer.to("meta"), [torch.arange(48) < 20, torch.arange(48) > 30]
    with torch.no_grad(), placed(transformer, [normal(21, 3, 64), normal(22, 2, 64)], where, [True], 1.0):
        found = transformer(noise.to("meta"), positive.to("meta"), torch.tensor([499], device="meta"))[0]
    assert found.device.type == "meta" and found.shape == noise.shape


def test_methods_that_each_change_the_attention_are_refused_in_either_order_unless_in_other_steps(words, backbone):
    two = [regions([Region(words, LEFT)], SIZE), causal_attention()]
    for techniques in (two, two[::-1]):
        with pytest.raises(InputError, match="both change the attention itself"):
            require_compatible(techniques)
    early, late = Regions(interval=(0.0, 0.5)), Sharing(interval=(0.5, 1.0))
    anchor = Anchor(torch.zeros(3, 4, 8, 8), torch.zeros(1, 10, 32), torch.zeros(3, 4, 8, 8))
    require_compatible([regions([Region(words, LEFT)], SIZE, early), shared_attention(backbone, [anchor], late)])


@pytest.mark.parametrize(
    "settings", [Regions(strength=0.0), Regions(interval=(0.0, 0.5)), Regions(interval=(0.75, 1.0))]
)
def test_strength_zero_and_steps_outside_the_interval_are_stock_bit_for_bit(predict, words, settings):
    assert torch.equal(predict(regions([Region(words, LEFT)], SIZE, settings)), predict())


def test_the_effect_is_concentrated_in_the_box(predict, words):
    stock = predict()
    left, right = shift(predict(regions([Region(words, LEFT)], SIZE)), stock)
    assert left > 5 * right > 0
    left, right = shift(predict(regions([Region(words, RIGHT)], SIZE)), stock)
    assert right > 5 * left > 0


def test_a_stronger_region_changes_more(predict, words):
    stock = predict()
    changes = [shift(predict(regions([Region(words, LEFT)], SIZE, Regions(s))), stock)[0] for s in (0.1, 1.0, 10.0)]
    assert changes[0] < 0.5 * changes[1] < changes[1] < 0.5 * changes[2]


def test_the_order_of_regions_does_not_matter(predict, words, normal):
    two = [Region(words, LEFT), Region(normal(12, 3, 32), ((0.0, (0.25, 0.25, 0.5, 0.5)),))]
    one, other = predict(regions(two, SIZE)), predict(regions(two[::-1], SIZE))
    assert (one - other).abs().max() < 5e-6


def test_only_branches_that_see_the_prompt_see_the_regions(predict, words, backbone, noise, positive, negative):
    placed_left = regions([Region(words, LEFT)], SIZE)
    single, batched = predict(placed_left), predict(placed_left, batched=True)
    assert (single - batched).abs().max() < 2e-5
    negative_only = Guided(backbone, positive, negative, None, HistoryGuidance(0.0, 0.0))
    with torch.no_grad():
        plain = negative_only(noise, STEP)
        assert torch.equal(replace(negative_only, around=(placed_left.around,))(noise, STEP), plain)


def test_several_clips_in_one_call_are_placed_alike(predict, words, noise, positive, negative, normal):
    both = torch.cat([noise, normal(5, *noise.shape)])
    technique = regions([Region(words, LEFT)], SIZE)
    texts = {"positive": positive.expand(2, -1, -1), "negative": negative.expand(2, -1, -1)}
    for batched in (False, True):
        together = predict(technique, latents=both, batched=batched, **texts)
        assert (together[:1] - predict(technique)).abs().max() < 2e-5
        assert (together[1:] - predict(technique, latents=both[1:])).abs().max() < 2e-5


def jump(at):
    """From the left half to the right half, within a hundredth of the clip."""
    left, right = LEFT[0][1], RIGHT[0][1]
    return ((at, left), (at + 0.01, right))


def test_a_window_of_the_clip_gets_its_own_part_of_the_boxes(predict, words):
    technique = regions([Region(words, jump(0.5))], (5, 8, 8))  # left in latent frames 0 to 2, right in 3 and 4
    assert torch.equal(predict(technique, frames=range(3)), predict(regions([Region(words, LEFT)], SIZE)))
    late = regions([Region(words, jump(0.1))], SIZE)  # left in latent frame 0, right in 1 and 2
    assert torch.equal(predict(technique, frames=range(2, 5)), predict(late))


@pytest.mark.parametrize("masked", [False, True])
def test_history_and_regions_act_together_and_apart(backbone, noise, positive, words, normal, hooks_of, masked):
    transformer = backbone.transformer
    mask = torch.tensor([[True, True, False, True]] * 2 + [[True, True, True, True]])[1:] if masked else None
    injection = ConcatInjection(history_dim=6, inner_width=64).eval()
    history = HistoryConditioning(injection, normal(31, 2, 4, 6), mask=mask)
    member = inside(LEFT, latent_times(3), 4, 4).flatten()
    rows = {"latents": noise.expand(2, -1, -1, -1, -1), "embeds": positive.expand(2, -1, -1)}

    def ask(objects, with_history):
        with torch.no_grad(), injected_and_placed(transformer, objects, member, history if with_history else None):
            return backbone.denoise(rows["latents"], torch.tensor([499, 499]), rows["embeds"], branch="x")

    plain, remembered = ask(None, False), ask(None, True)
    nothing = torch.zeros_like(member)
    assert (ask((normal(21, 3, 64), nothing), True) - remembered).abs().max() < 5e-6
    both = ask((normal(21, 3, 64), member), True)
    left, right = shift(both, remembered)
    assert left > 5 * right
    assert (both - ask((normal(21, 3, 64), member), False)).abs().max() > 1e-4
    assert torch.equal(ask(None, False), plain)
    assert hooks_of(transformer) == 0


@contextmanager
def injected_and_placed(transformer, objects, member, history):
    if objects is None:
        with injected(transformer, history):
            yield
        return
    words, where = objects
    with placed(transformer, [words], [where], [True], 1.0), injected(transformer, history):
        yield


def test_no_hook_is_left_even_when_a_call_fails(backbone, predict, words, hooks_of, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(backbone.transformer.transformer_blocks[1].ff, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        predict(regions([Region(words, LEFT)], SIZE))
    assert hooks_of(backbone.transformer) == 0


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_a_clip_is_sampled_with_regions(backbone, noise, positive, negative, words, scheduler):
    def run(*techniques):
        guided = Guided(backbone, positive, negative, None, HistoryGuidance(4.0, 0.0))
        stepper = Stepper(backbone.new_scheduler(scheduler), 3, torch.Generator().manual_seed(5))
        return sample_with(techniques, guided, stepper, noise)

    stock = run()
    assert torch.equal(run(regions([Region(words, NOWHERE)], SIZE)), stock)
    left, right = shift(run(regions([Region(words, LEFT)], SIZE)), stock)
    assert left > right > 0


def test_a_method_that_replaces_the_attention_is_not_silently_undone(backbone, predict, words):
    attn = backbone.transformer.transformer_blocks[1].attn1
    stock = attn.processor
    attn.set_processor(lambda *args, **kwargs: stock(*args, **kwargs))
    with pytest.raises(InputError, match="leave one out"):
        predict(regions([Region(words, LEFT)], SIZE))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"strength": -1.0}, "strength of the regions: -1.0"),
        ({"strength": float("nan")}, "strength of the regions: nan"),
        ({"interval": (0.5, 0.2)}, "interval of steps"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Regions(**wrong)


def test_a_latent_frame_stands_at_the_middle_of_its_pixel_frames():
    assert latent_times(3) == (0.0, 2.5 / 8, 6.5 / 8)  # frames 0, 1 to 4, 5 to 8 of 9
    assert latent_times(1) == (0.0,)


def test_a_token_is_inside_where_its_middle_is():
    found = inside(((0.0, (0.25, 0.5, 0.5, 0.25)),), (0.0,), 4, 4)
    assert found[0].int().tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert bool(inside(((0.0, (0, 0, 1, 1)),), (0.0, 1.0), 4, 4).all())


def test_neighbouring_boxes_share_no_token_and_leave_none_out():
    halves = [inside(track, (0.0,), 5, 7) for track in (LEFT, RIGHT)]
    assert bool((halves[0] ^ halves[1]).all())


def test_the_boxes_as_a_clip_are_filled_where_they_are_and_black_elsewhere():
    track = ((0.0, (0.0, 0.0, 0.5, 0.5)), (1.0, (0.5, 0.5, 0.5, 0.5)))
    clip = box_clip([track, RIGHT], 5, 8, 12)
    assert clip.shape == (5, 8, 12, 3) and clip.dtype == torch.uint8
    first, second = clip[0, 0, 0].tolist(), clip[0, 0, 11].tolist()
    assert first != second and max(first) == max(second) == 255
    assert clip[0, 7, 0].tolist() == [0, 0, 0]
    assert clip[4, 0, 0].tolist() == [0, 0, 0]
    assert clip[4, 7, 11].tolist() == second  # later ones lie on top
    assert box_clip([RIGHT], 1, 8, 12, [(1, 2, 3)])[0, 0, 11].tolist() == [1, 2, 3]
