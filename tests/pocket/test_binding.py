"""Which tokens speak of whom, and which show whom."""

from __future__ import annotations

import numpy as np
import torch

from mpvg_core.pocket.batches import actor_share
from mpvg_core.pocket.binding import look_words, new_word_reader, video_lanes, word_lanes, word_loss, word_owners
from mpvg_core.pocket.world import Look, Role, Scene, draw_scene


def scene_of(*colours):
    return Scene(tuple(Role(i, Look(c, "square"), "waving") for i, c in enumerate(colours)), "snow")


def test_words_bear_the_place_of_their_actor_and_looks_are_marked():
    pieces = ["actor", "2", "(", "a", "red", "star", ")", "and", "actor", "1", "are", "running", "</s>"]
    lanes = word_lanes([pieces], [[1, 0]])
    assert lanes.tolist() == [[0, 0, 0, 0, 0, 0, 0, -1, 1, 1, -1, -1, -1]]
    assert [pieces[i] for i in look_words([pieces])[0].nonzero().flatten()] == ["red", "star"]


def test_video_tokens_bear_the_place_of_the_actor_that_they_show():
    scene = scene_of("red", "blue", "green")
    clip = draw_scene(scene)
    shares = torch.from_numpy(np.stack([actor_share(clip, scene)]))
    lanes = video_lanes(shares, [[0, 1, 2]], 2).view(5, 8, 8)
    assert set(lanes.unique().tolist()) == {-1, 0, 1, 2}
    still = lanes[0]
    means = [float((still == lane).nonzero()[:, 1].float().mean()) for lane in range(3)]
    assert means == sorted(means) and means[1] - means[0] > 1.5
    assert (still[0] == -1).all()  # the sky


def test_the_word_loss_is_met_only_by_embeddings_that_tell_both_the_place_and_the_actor():
    pieces = [["actor", "2", "and", "actor", "1", "</s>"]]
    lanes, owners = word_lanes(pieces, [[1, 0]]), word_owners(pieces)
    assert owners.tolist() == [[1, 1, -1, 0, 0, -1]]
    reader = new_word_reader(6)
    with torch.no_grad():
        reader.weight.copy_(20 * torch.eye(6))
        reader.bias.zero_()
    places = torch.nn.functional.one_hot(lanes.clamp(min=0), 3).float()
    actors = torch.nn.functional.one_hot(owners.clamp(min=0), 3).float()
    assert word_loss(reader, lanes, owners, torch.cat([places, actors], dim=2)) < 1e-6
    assert word_loss(reader, lanes, owners, torch.cat([places, places], dim=2)) > 5
    assert word_loss(reader, lanes, owners, torch.cat([actors, actors], dim=2)) > 5
    assert word_loss(reader, lanes - 9, owners - 9, torch.zeros(1, 6, 6)) == 0
