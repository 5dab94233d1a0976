"""Words find their place: what the watched heads give, and what the loss of their attention wants."""

from __future__ import annotations

import math

import torch

from mpvg_core.training.binding import Heads, attention_binding_loss, watched

WORDS = torch.tensor([[-1, 0, 0, 1, -1]])  # two words of actor 0, one of actor 1
VIDEO = torch.tensor([[0, 1, -1]])


def heads(scores):
    """Queries and keys of one head whose products are `scores` [V, L] times √d: keys are unit vectors."""
    length = scores.shape[1]
    keys = torch.cat([torch.eye(length), torch.zeros(len(scores), length)])
    queries = torch.cat([torch.zeros(length, length), scores * length**0.5])
    return Heads([queries[None, None]], [keys[None, None]])


def test_attention_that_does_not_choose_costs_what_chance_costs():
    found = attention_binding_loss(heads(torch.zeros(3, 5)), WORDS, VIDEO)
    chance = (-math.log(2 / 8) - math.log(1 / 8)) / 2  # of eight tokens two are words of actor 0
    assert torch.allclose(found, torch.tensor(chance))


def test_attention_to_the_own_words_costs_nothing_and_to_the_other_s_much():
    own = torch.tensor([[0.0, 20, 20, 0, 0], [0, 0, 0, 20, 0], [0, 0, 0, 0, 0]])
    assert attention_binding_loss(heads(own), WORDS, VIDEO) < 1e-6
    assert attention_binding_loss(heads(own[[1, 0, 2]]), WORDS, VIDEO) > 15


def test_attention_that_goes_elsewhere_costs_as_much_as_to_the_other_s_words():
    elsewhere = torch.tensor([[20.0, 0, 0, 0, 0], [20, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert attention_binding_loss(heads(elsewhere), WORDS, VIDEO) > 15


def test_video_without_an_actor_does_not_count():
    plain, scores = torch.zeros(3, 5), torch.zeros(3, 5)
    scores[2] = torch.tensor([5.0, 1, 2, 3, 4])
    assert torch.allclose(
        attention_binding_loss(heads(scores), WORDS, VIDEO), attention_binding_loss(heads(plain), WORDS, VIDEO)
    )


def test_a_clip_without_named_words_has_nothing_to_learn():
    assert attention_binding_loss(heads(torch.randn(3, 5)), torch.full((1, 5), -1), VIDEO) == 0.0


def test_a_clip_of_one_name_learns_to_look_at_its_words():
    alone = torch.tensor([[-1, 0, 0, -1, -1]])
    assert torch.isclose(attention_binding_loss(heads(torch.zeros(3, 5)), alone, VIDEO), torch.tensor(-math.log(2 / 8)))


def test_the_transformer_is_watched_without_a_trace():
    from diffusers import CogVideoXTransformer3DModel

    torch.manual_seed(0)
    model = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=16,
        num_layers=2,
        sample_width=8,
        sample_height=8,
        sample_frames=9,
        max_text_seq_length=5,
    )
    clip, text, when = torch.randn(1, 3, 4, 8, 8), torch.randn(1, 5, 16), torch.tensor([500])
    plain = model(clip, text, when, return_dict=False)[0]
    with watched(model, (1,)) as found:
        assert torch.equal(model(clip, text, when, return_dict=False)[0], plain)
    assert [tuple(query.shape) for query in found.queries] == [(1, 2, 5 + 48, 8)]
    model(clip, text, when)
    assert len(found.queries) == 1
