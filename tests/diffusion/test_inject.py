"""History enters a stock transformer from outside, does what it says, and leaves no trace."""

from __future__ import annotations

import inspect

import pytest
import torch

from mpvg_core.diffusion.inject import (
    BLOCK_ARGUMENTS,
    ConcatInjection,
    GatedInjection,
    HistoryConditioning,
    injected,
    injection_from_config,
)
from mpvg_core.errors import MPVGError

HISTORY_DIM, TOKENS = 24, 6
ROUNDING = 5e-6


def build(form, gate=0.8):
    torch.manual_seed(11)
    if form == "concat":
        return ConcatInjection(history_dim=HISTORY_DIM, inner_width=64)
    injection = GatedInjection(history_dim=HISTORY_DIM, heads=4, head_dim=16, blocks=3)
    with torch.no_grad():
        for attention in injection.attentions:
            attention.gate.fill_(gate)
    return injection


@pytest.fixture(params=["concat", "gated"])
def injection(request):
    """Both forms in turn; the gated one with its gates open."""
    return build(request.param)


@pytest.fixture
def tokens(normal):
    return 3 * normal(3, 1, TOKENS, HISTORY_DIM)


def predict(backbone, noise, text, conditioning=None):
    """One call of the transformer at timestep 500, with a batch of as many rows as `text` has."""
    rows = text.shape[0]
    with injected(backbone.transformer, conditioning):
        return backbone.denoise(noise.expand(rows, *noise.shape[1:]), torch.full((rows,), 500), text, branch="test")


def test_the_stock_signatures_are_those_the_hooks_rely_on():
    from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock

    assert tuple(inspect.signature(CogVideoXBlock.forward).parameters) == ("self", *BLOCK_ARGUMENTS)
    assert tuple(inspect.signature(CogVideoXAttnProcessor2_0.__call__).parameters) == (
        "self",
        "attn",
        "hidden_states",
        "encoder_hidden_states",
        "attention_mask",
        "image_rotary_emb",
    )


def test_no_history_is_bit_for_bit_stock_and_sets_no_hook(backbone, injection, tokens, noise, positive, hooks_of):
    stock = predict(backbone, noise, positive)
    hidden = torch.zeros(1, TOKENS, dtype=torch.bool)
    for empty in (
        None,
        HistoryConditioning(injection, tokens[:, :0]),
        HistoryConditioning(injection, tokens, hidden),
    ):
        with injected(backbone.transformer, empty):
            assert hooks_of(backbone.transformer) == 0
        assert torch.equal(predict(backbone, noise, positive, empty), stock)


def test_history_really_changes_the_prediction(backbone, injection, tokens, noise, positive):
    stock = predict(backbone, noise, positive)
    one = predict(backbone, noise, positive, HistoryConditioning(injection, tokens))
    other = predict(backbone, noise, positive, HistoryConditioning(injection, -tokens))
    assert (one - stock).abs().max() > 1e-2
    assert (one - other).abs().max() > 1e-2


def test_closed_gates_are_bit_for_bit_stock(backbone, tokens, noise, positive):
    untrained = GatedInjection(history_dim=HISTORY_DIM, heads=4, head_dim=16, blocks=3)
    stock = predict(backbone, noise, positive)
    assert torch.equal(predict(backbone, noise, positive, HistoryConditioning(untrained, tokens)), stock)


def test_the_order_of_history_tokens_does_not_matter(backbone, injection, tokens, noise, positive, record_property):
    shuffled = tokens[:, torch.tensor([3, 0, 5, 1, 4, 2])]
    one = predict(backbone, noise, positive, HistoryConditioning(injection, tokens))
    other = predict(backbone, noise, positive, HistoryConditioning(injection, shuffled))
    difference = (one - other).abs().max().item()
    record_property("max_abs_difference", difference)
    assert difference < ROUNDING


def test_appended_text_features_equal_a_longer_prompt(make_backbone, noise, positive, normal, record_property):
    extra = normal(4, 1, TOKENS, 32)
    for kind in ("2b", "5b"):
        backbone = make_backbone(kind)
        longer = make_backbone(kind, max_text_seq_length=positive.shape[1] + TOKENS)
        longer.transformer.load_state_dict(backbone.transformer.state_dict())
        injection = ConcatInjection(history_dim=32, inner_width=64)
        injection.project.load_state_dict(backbone.transformer.patch_embed.text_proj.state_dict())
        expected = predict(longer, noise, torch.cat([positive, extra], dim=1))
        found = predict(backbone, noise, positive, HistoryConditioning(injection, extra))
        difference = (found - expected).abs().max().item()
        record_property(f"max_abs_difference_{kind}", difference)
        assert difference < ROUNDING


def test_history_tokens_end_with_the_last_block(backbone, tokens, noise, positive):
    lengths = []
    last = backbone.transformer.transformer_blocks[-1]
    with injected(backbone.transformer, HistoryConditioning(build("concat"), tokens)):
        handle = last.register_forward_hook(lambda module, args, output: lengths.append(output[1].shape[1]))
        backbone.denoise(noise, torch.tensor([500]), positive, branch="test")
        handle.remove()
    assert lengths == [positive.shape[1]]


def test_gated_injection_is_the_written_formula(backbone, tokens, noise, positive):
    from diffusers.models.embeddings import apply_rotary_emb

    block = 1
    injection = GatedInjection(history_dim=HISTORY_DIM, heads=4, head_dim=16, blocks=3, chosen=[block])
    torch.nn.init.normal_(injection.attentions[0].gate)
    attn = backbone.transformer.transformer_blocks[block].attn1
    seen = {}

    def note(name):
        def hook(module, args, kwargs, output):
            seen[name] = (kwargs["hidden_states"], output)

        return hook

    before = attn.register_forward_hook(note("stock"), with_kwargs=True)
    with injected(backbone.transformer, HistoryConditioning(injection, tokens)):
        after = attn.register_forward_hook(note("with"), with_kwargs=True)
        backbone.denoise(noise, torch.tensor([500]), positive, branch="test")
    before.remove()
    after.remove()

    own, (video, (stock_video, stock_text)) = injection.attentions[0], seen["stock"]
    query = attn.norm_q(attn.to_q(video).view(1, -1, 4, 16).transpose(1, 2))
    if backbone.rotary is not None:
        query = apply_rotary_emb(query, backbone.rotary)
    key = own.norm_k(own.to_k(tokens).view(1, TOKENS, 4, 16)).transpose(1, 2)
    value = own.to_v(tokens).view(1, TOKENS, 4, 16).transpose(1, 2)
    attended = torch.softmax(query @ key.transpose(-1, -2) / 16**0.5, dim=-1) @ value
    gated = torch.tanh(own.gate)[None, :, None, None] * attended
    expected = stock_video + gated.transpose(1, 2).flatten(2) @ own.to_out.weight.T
    found_video, found_text = seen["with"][1]
    assert torch.allclose(found_video, expected, atol=1e-5)
    assert (found_video - stock_video).abs().max() > 1e-2
    assert torch.equal(found_text, stock_text)


@pytest.fixture
def ragged(normal):
    """Two rows: the first remembers tokens 0-2, the second tokens 1-5 (token 3 of neither is dropped)."""
    mask = torch.tensor([[True, True, True, False, False, False], [False, True, True, False, True, True]])
    return 3 * normal(5, 2, TOKENS, HISTORY_DIM), mask


def test_masked_tokens_are_irrelevant_and_rows_do_not_see_each_other(
    backbone, injection, ragged, noise, positive, negative
):
    tokens, mask = ragged
    text = torch.cat([negative, positive])
    together = predict(backbone, noise, text, HistoryConditioning(injection, tokens, mask))
    garbage = torch.where(mask[:, :, None], tokens, torch.full_like(tokens, 7.0))
    assert torch.equal(predict(backbone, noise, text, HistoryConditioning(injection, garbage, mask)), together)
    for row in range(2):
        kept = tokens[row : row + 1, mask[row]]
        alone = predict(backbone, noise, text[row : row + 1], HistoryConditioning(injection, kept))
        assert (together[row] - alone[0]).abs().max() < ROUNDING


def test_a_row_without_history_in_a_batch_with_history_is_stock_to_rounding(
    backbone, injection, ragged, noise, positive, negative
):
    tokens, mask = ragged
    text = torch.cat([negative, positive])
    mask = torch.stack([torch.zeros_like(mask[0]), mask[1]])
    found = predict(backbone, noise, text, HistoryConditioning(injection, tokens, mask))
    assert (found[0] - predict(backbone, noise, text)[0]).abs().max() < ROUNDING
    assert (found[1] - predict(backbone, noise, text)[1]).abs().max() > 1e-2


def test_masked_tokens_of_one_clip_are_dropped_not_masked(backbone, injection, tokens, noise, positive):
    mask = torch.tensor([[True, False, True, True, False, False]])
    masked = predict(backbone, noise, positive, HistoryConditioning(injection, tokens, mask))
    shorter = predict(backbone, noise, positive, HistoryConditioning(injection, tokens[:, mask[0]]))
    assert torch.equal(masked, shorter)
    assert HistoryConditioning(injection, tokens, mask).compact().mask is None  # no mask slows attention down


def test_one_history_serves_every_row_of_a_call(backbone, injection, tokens, noise, positive, negative):
    text = torch.cat([negative, positive])
    both = predict(backbone, noise, text, HistoryConditioning(injection, tokens))
    for row in range(2):
        alone = predict(backbone, noise, text[row : row + 1], HistoryConditioning(injection, tokens))
        assert (both[row] - alone[0]).abs().max() < ROUNDING


def test_removing_the_history_leaves_no_trace(backbone, injection, tokens, noise, positive, hooks_of):
    transformer = backbone.transformer
    before = predict(backbone, noise, positive)
    weights = {name: weight.clone() for name, weight in transformer.state_dict().items()}
    attributes = {name: set(vars(part)) for name, part in transformer.named_modules()}
    with injected(transformer, HistoryConditioning(injection, tokens)):
        assert hooks_of(transformer) > 0
        backbone.denoise(noise, torch.tensor([500]), positive, branch="test")
    assert hooks_of(transformer) == 0
    assert {name: set(vars(part)) for name, part in transformer.named_modules()} == attributes
    assert list(transformer.state_dict()) == list(weights)
    assert all(torch.equal(transformer.state_dict()[name], weight) for name, weight in weights.items())
    assert torch.equal(predict(backbone, noise, positive), before)


def test_hooks_are_removed_after_an_error(backbone, injection, tokens, hooks_of):
    with (
        pytest.raises(RuntimeError, match="boom"),
        injected(backbone.transformer, HistoryConditioning(injection, tokens)),
    ):
        raise RuntimeError("boom")
    assert hooks_of(backbone.transformer) == 0


def test_hooks_set_before_an_error_in_setting_them_are_removed(backbone, tokens, hooks_of, monkeypatch):
    attention = backbone.transformer.transformer_blocks[2].attn1

    def refuse(*args, **kwargs):
        raise RuntimeError("no more hooks")

    monkeypatch.setattr(attention, "register_forward_hook", refuse)
    with (
        pytest.raises(RuntimeError, match="no more hooks"),
        injected(backbone.transformer, HistoryConditioning(build("gated"), tokens)),
    ):
        pass
    assert hooks_of(backbone.transformer) == 0


def gradients(backbone, injection, tokens, noise, positive, checkpointing):
    backbone.transformer.train(checkpointing)
    (backbone.transformer.enable_gradient_checkpointing if checkpointing else lambda: None)()
    tokens = tokens.clone().requires_grad_()
    injection.zero_grad()
    with injected(backbone.transformer, HistoryConditioning(injection, tokens)):
        backbone.denoise(noise, torch.tensor([500]), positive, branch="test").square().mean().backward()
    return {"tokens": tokens.grad} | {name: weight.grad.clone() for name, weight in injection.named_parameters()}


def test_gradients_reach_tokens_and_injection_with_and_without_checkpointing(
    backbone, injection, tokens, noise, positive
):
    backbone.transformer.requires_grad_(False)
    plain = gradients(backbone, injection, tokens, noise, positive, checkpointing=False)
    checkpointed = gradients(backbone, injection, tokens, noise, positive, checkpointing=True)
    assert len(plain) > 2
    for name, gradient in plain.items():
        if name.endswith("norm_k.bias"):  # a bias on every key alike is lost in the softmax
            continue
        assert gradient.abs().max() > 1e-7, name
        assert torch.allclose(checkpointed[name], gradient, rtol=1e-4, atol=1e-7), name


def test_closed_gates_can_open(backbone, tokens, noise, positive):
    found = gradients(backbone, build("gated", gate=0.0), tokens, noise, positive, checkpointing=False)
    assert all(gradient.abs().max() > 1e-7 for name, gradient in found.items() if name.endswith("gate"))


def test_masks_pass_through_gradient_checkpointing(backbone, injection, ragged, noise, positive, negative):
    tokens, mask = ragged
    text = torch.cat([negative, positive])
    expected = predict(backbone, noise, text, HistoryConditioning(injection, tokens, mask))
    backbone.transformer.train().enable_gradient_checkpointing()
    found = predict(backbone, noise, text, HistoryConditioning(injection, tokens, mask))
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_forgotten_context_in_a_checkpointed_backward_is_an_error_not_a_wrong_gradient(
    backbone, injection, tokens, noise, positive
):
    backbone.transformer.train().enable_gradient_checkpointing()
    prediction = predict(backbone, noise, positive, HistoryConditioning(injection, tokens))
    with pytest.raises(torch.utils.checkpoint.CheckpointError):
        prediction.square().mean().backward()


def test_an_injection_is_built_again_from_its_config_and_weights(backbone, injection, tokens, noise, positive):
    import json

    again = injection_from_config(json.loads(json.dumps(injection.config())))
    again.load_state_dict(injection.state_dict())
    one = predict(backbone, noise, positive, HistoryConditioning(injection, tokens))
    assert torch.equal(predict(backbone, noise, positive, HistoryConditioning(again, tokens)), one)
    with pytest.raises(MPVGError, match="'other'"):
        injection_from_config({"form": "other"})


def test_kinds_of_tokens_have_embeddings_of_their_own(backbone, tokens, noise, positive):
    torch.manual_seed(1)
    typed = ConcatInjection(history_dim=HISTORY_DIM, inner_width=64, kinds=2)
    kinds = torch.tensor([[0, 0, 0, 1, 1, 1]])
    plain = predict(backbone, noise, positive, HistoryConditioning(typed, tokens))
    assert torch.equal(predict(backbone, noise, positive, HistoryConditioning(typed, tokens, kinds=kinds)), plain)
    torch.nn.init.normal_(typed.kind.weight)
    one = predict(backbone, noise, positive, HistoryConditioning(typed, tokens, kinds=kinds))
    other = predict(backbone, noise, positive, HistoryConditioning(typed, tokens, kinds=1 - kinds))
    assert (one - plain).abs().max() > 1e-3 and (one - other).abs().max() > 1e-3
    with pytest.raises(MPVGError, match="type embeddings"):
        predict(backbone, noise, positive, HistoryConditioning(build("concat"), tokens, kinds=kinds))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (ConcatInjection(history_dim=HISTORY_DIM, inner_width=128), "width 128"),
        (GatedInjection(history_dim=HISTORY_DIM, heads=4, head_dim=16, blocks=5), "5 blocks"),
        (GatedInjection(history_dim=HISTORY_DIM, heads=2, head_dim=32, blocks=3), "2 heads of 32"),
    ],
)
def test_an_adapter_for_another_transformer_is_refused(backbone, wrong, message, tokens, noise, positive, hooks_of):
    with pytest.raises(MPVGError, match=message):
        predict(backbone, noise, positive, HistoryConditioning(wrong, tokens))
    assert hooks_of(backbone.transformer) == 0


def test_tokens_and_masks_of_wrong_shape_are_refused(injection, tokens, make_backbone, noise, positive):
    with pytest.raises(MPVGError, match=r"\[B, N, 24\]"):
        HistoryConditioning(injection, tokens[:, :, :8])
    with pytest.raises(MPVGError, match="mask"):
        HistoryConditioning(injection, tokens, torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(MPVGError, match="expected 1 or 3"):
        text = positive.expand(3, -1, -1)
        predict(make_backbone("2b"), noise, text, HistoryConditioning(injection, tokens.expand(2, -1, -1)))


@pytest.mark.parametrize("chosen", [[0, 0], [3], [-1]])
def test_chosen_blocks_must_exist_once(chosen):
    with pytest.raises(ValueError, match="chosen blocks"):
        GatedInjection(history_dim=8, heads=4, head_dim=16, blocks=3, chosen=chosen)


def test_a_float32_adapter_serves_a_bfloat16_transformer(backbone, injection, tokens, noise, positive):
    exact = predict(backbone, noise, positive, HistoryConditioning(injection, tokens))
    backbone.transformer.to(torch.bfloat16)
    low = predict(backbone, noise.bfloat16(), positive.bfloat16(), HistoryConditioning(injection, tokens))
    assert low.dtype == torch.bfloat16
    assert (low.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_history_works_on_fused_projections(backbone, injection, tokens, noise, positive):
    separate = predict(backbone, noise, positive, HistoryConditioning(injection, tokens))
    backbone.transformer.fuse_qkv_projections()
    fused = predict(backbone, noise, positive, HistoryConditioning(injection, tokens))
    assert (fused - separate).abs().max() < ROUNDING


def test_history_works_under_the_first_block_cache(backbone, injection, tokens, noise, positive):
    from diffusers import FirstBlockCacheConfig

    conditioning = HistoryConditioning(injection, tokens)
    exact = predict(backbone, noise, positive, conditioning)
    backbone.transformer.enable_cache(FirstBlockCacheConfig(threshold=1.0))
    first, second = (predict(backbone, noise, positive, conditioning) for _ in range(2))
    backbone.transformer.disable_cache()
    assert torch.equal(first, exact)
    assert (second - exact).abs().max() < ROUNDING
