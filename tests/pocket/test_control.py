"""Structure of the toy world: drawn where the actors are, the same again, and read back from true clips."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from mpvg_core.backbone.load import load_backbone
from mpvg_core.methods.control import control, control_latents
from mpvg_core.methods.control_adapter import new_control_adapter
from mpvg_core.pocket.control import (
    KINDS,
    ControlBatches,
    actor_tracks,
    control_scenes,
    draw_structure,
    film,
    followed,
    vary,
)
from mpvg_core.pocket.latents import LatentBasis
from mpvg_core.pocket.trial import actors_truth
from mpvg_core.pocket.world import MOTIONS, PLACES, SIZE, Look, Role, Scene, draw_scene
from mpvg_core.storyboard.layout import box_at


def scene(motion: str = "running", place: str = "snow", shapes: tuple[str, ...] = ("circle",)) -> Scene:
    colours = ("red", "blue", "green")
    roles = tuple(Role(index, Look(colours[index], shape), motion) for index, shape in enumerate(shapes))
    return Scene(roles, place)


@pytest.mark.parametrize("kind", KINDS)
def test_structure_is_a_clip_like_the_shot_and_does_not_tell_colours(kind) -> None:
    one = scene()
    other = replace(one, roles=(replace(one.roles[0], look=Look("green", "circle")),))
    drawn = [draw_structure(some, draw_scene(some), kind) for some in (one, other)]
    assert drawn[0].shape == (17, SIZE, SIZE, 3) and drawn[0].dtype == np.uint8
    assert drawn[0].any()
    assert (drawn[0] != drawn[1]).any(-1).mean() < 0.02  # edges between close colours come and go
    away = replace(one, shift=0.9)
    assert (draw_structure(away, draw_scene(away), kind) != drawn[0]).any(-1).mean() > 0.02


def test_silhouettes_are_where_the_actors_are_whatever_the_place() -> None:
    masks = [actors_truth(scene(place=place), draw_scene(scene(place=place))) for place in PLACES]
    assert 0.03 < masks[0].mean() < 0.3
    for mask in masks[1:]:
        assert (mask != masks[0]).mean() < 0.01


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_box_follows_each_actor_and_holds_it(motion) -> None:
    some = scene(motion, shapes=("circle", "star"))
    clip = draw_scene(some)
    tracks, mask = actor_tracks(some, clip), actors_truth(some, clip)
    assert len(tracks) == 2
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    for frame in range(17):
        held = np.zeros((SIZE, SIZE), bool)
        for track in tracks:
            x, y, w, h = box_at(track, frame / 16)
            held |= (rows >= y - 0.02) & (rows < y + h + 0.02) & (columns >= x - 0.02) & (columns < x + w + 0.02)
        assert (mask[frame] & held).sum() > 0.93 * mask[frame].sum()
    assert max(w * h for track in tracks for _, (_, _, w, h) in track) < 0.45


def test_boxes_take_their_colours_from_the_layouts_order() -> None:
    some = scene(shapes=("circle", "star"))
    clip = draw_scene(some)
    plain, turned = (draw_structure(some, clip, "boxes", order) for order in ((0, 1), (1, 0)))
    left, right = (40, 16), (40, 48)
    assert np.array_equal(plain[8][left], turned[8][right]) and np.array_equal(plain[8][right], turned[8][left])
    assert not np.array_equal(plain[8][left], plain[8][right])


def test_batches_pair_each_clip_with_its_structure_and_are_the_same_again(basis: LatentBasis) -> None:
    batches = list(islice(iter(ControlBatches(basis, 4, seed=0)), 3))
    for batch in batches:
        assert batch["latents"].shape == batch["control"].shape == (4, 5, 16, 16, 16)
        assert batch["importance"].shape == (4, 5, 1, 16, 16)
        assert float(batch["importance"].min()) == 1 < float(batch["importance"].max())
    again = next(iter(ControlBatches(basis, 4, seed=0, skip=2)))
    assert torch.equal(again["control"], batches[2]["control"]) and again["prompts"] == batches[2]["prompts"]
    boxes, edges = (next(iter(ControlBatches(basis, 4, seed=0, kinds=[kind]))) for kind in ("boxes", "edges"))
    assert torch.equal(boxes["latents"], edges["latents"])
    assert not torch.allclose(boxes["control"], edges["control"], atol=0.1)


def test_an_untrained_adapter_films_what_the_pocket_films_without_it() -> None:
    torch.set_num_threads(1)
    backbone = load_backbone("pocket", device="cpu", dtype="float32")
    how = replace(backbone.folder.defaults(), steps=2)
    scenes = {7: control_scenes(1)[0]}
    structure = draw_structure(scenes[7], draw_scene(scenes[7]), "boxes")
    seen, adapter = (
        control_latents(backbone, structure, 17, SIZE, SIZE),
        new_control_adapter(backbone.transformer, rank=2),
    )
    (plain,) = film(backbone, scenes, [], how)
    assert np.array_equal(film(backbone, scenes, [control(seen, adapter)], how)[0], plain)
    with torch.no_grad():
        adapter.proj.weight.add_(0.1)
    assert not np.array_equal(film(backbone, scenes, [control(seen, adapter)], how)[0], plain)


def test_scenes_to_measure_with_stand_where_no_story_stands() -> None:
    scenes = control_scenes(20)
    assert len({some.phase for some in scenes}) > 4
    assert all(-1 <= some.shift <= 1 and some.shift for some in scenes)
    assert vary(scenes[0], np.random.default_rng(1)) == vary(scenes[0], np.random.default_rng(1))


def test_true_clips_follow_their_scenes_and_clips_of_other_scenes_do_not() -> None:
    scenes = control_scenes(8)
    clips = [draw_scene(some) for some in scenes]
    right, wrong = followed(scenes, clips), followed(scenes, clips[1:] + clips[:1])
    assert right.overlap.mean > 0.9
    assert right.count.mean == 1 and right.shape.mean > 0.9 and right.place.mean == 1
    assert wrong.overlap.mean < 0.5
