from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from mpvg_core.pocket.reader import STANDING, Reading, agreement, paired, read_clip
from mpvg_core.pocket.world import PLACES, Look, Role, Scene, background, draw_scene, draw_story

Rates = dict[str, float]


def held_out_scenes(number: int, first_seed: int) -> list[Scene]:
    """As many scenes of one, of two and of three actors."""
    scenes: dict[int, list[Scene]] = {1: [], 2: [], 3: []}
    seed = first_seed
    while min(map(len, scenes.values())) < number // 3:
        for scene in draw_story(seed).scenes:
            if len(scenes[len(scene.roles)]) < number // 3:
                scenes[len(scene.roles)].append(scene)
        seed += 1
    return [scene for same in scenes.values() for scene in same]


def rates(scenes: Iterable[Scene], change: Callable[[np.ndarray], np.ndarray]) -> Rates:
    """Share of scenes read right in place and number, share of roles in colour, shape and motion."""
    right, roles, number = Counter[str](), 0, 0
    for scene in scenes:
        found = agreement(read_clip(change(draw_scene(scene))), scene)
        number, roles = number + 1, roles + len(scene.roles)
        for name in ("place", "mirrored", "count"):
            right[name] += found[name]
        for name in ("colour", "shape", "motion"):
            right[name] += found[name] * len(scene.roles)
    return {name: hits / (roles if name in ("colour", "shape", "motion") else number) for name, hits in right.items()}


def blurred(clip: np.ndarray, sigma: float) -> np.ndarray:
    offsets = np.arange(-4, 5)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    soft = clip.astype(np.float32)
    for axis in (1, 2):
        edges = [(0, 0)] * 4
        edges[axis] = (4, 4)
        padded = np.pad(soft, edges, mode="edge")
        soft = sum(w * np.take(padded, range(i, i + 64), axis) for i, w in enumerate(kernel))
    return soft


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)


def test_a_drawn_scene_is_read_back() -> None:
    found = rates(held_out_scenes(90, 20_000), lambda clip: clip)
    assert min(found.values()) >= 0.98, found


def test_soft_noisy_tinted_pictures_are_read() -> None:
    rng = np.random.default_rng(0)

    def spoil(clip: np.ndarray) -> np.ndarray:
        return as_bytes(blurred(clip, 1.0) + rng.normal(0, 8, clip.shape) + rng.choice([-12, 12], 3))

    found = rates(held_out_scenes(30, 30_000), spoil)
    assert found["place"] == found["mirrored"] == 1
    assert min(found["count"], found["colour"], found["shape"], found["motion"]) >= 0.9, found


def test_the_linear_round_trip_keeps_what_can_be_read(round_trip: Callable[[np.ndarray], np.ndarray]) -> None:
    found = rates(held_out_scenes(30, 40_000), round_trip)
    assert found["place"] == found["mirrored"] == 1
    assert min(found["count"], found["colour"]) >= 0.9, found
    assert found["motion"] >= 0.75, found  # swings of eight frames fade in means over four
    assert found["shape"] >= 0.7, found


@pytest.mark.parametrize("frames", [5, 9, 33])
def test_clips_of_other_lengths_are_read(frames: int) -> None:
    scene = Scene(
        (Role(0, Look("pink", "star"), "dancing"), Role(1, Look("green", "square"), "dancing")), "moon", True, 0, 0
    )
    found = agreement(read_clip(draw_scene(scene, frames)), scene)
    assert found == {"place": True, "mirrored": True, "count": True, "colour": 1, "shape": 1, "motion": 1}


@pytest.mark.parametrize("place", PLACES)
def test_an_empty_place_has_no_actors(place: str) -> None:
    clip = np.repeat((background(place, True) + 0.5).astype(np.uint8)[None], 9, axis=0)
    assert read_clip(clip) == Reading(place, True, ())


def test_an_actor_who_keeps_still_is_standing_not_waving() -> None:
    scene = Scene((Role(0, Look("red", "circle"), "jumping"),), "beach", False, 0.25, 0.0)
    assert read_clip(np.repeat(draw_scene(scene)[:1], 17, axis=0)).actors[0].motion == STANDING
    waving = replace(scene, roles=(replace(scene.roles[0], motion="waving"),))
    assert read_clip(draw_scene(waving)).actors[0].motion == "waving"


def test_any_picture_gives_a_reading() -> None:
    rng = np.random.default_rng(3)
    clips = [rng.integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)]
    clips += [np.full((5, 64, 64, 3), colour, np.uint8) for colour in ((0, 0, 0), (255, 255, 255), (222, 44, 44))]
    stripes = np.zeros((6, 64, 64, 3), np.uint8)
    stripes[:, 20:50, ::8] = stripes[:, 20:50, 1::8] = stripes[:, 20:50, 2::8] = (250, 214, 40)
    for clip in [*clips, stripes]:
        assert read_clip(clip).place in PLACES


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros((4, 64, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((9, 64, 32, 3), np.uint8),
        np.zeros((9, 64, 64, 3), np.float32),
        [[0]],
    ],
    ids=["short", "picture", "narrow", "float", "list"],
)
def test_what_is_no_clip_is_refused_in_words(clip: object) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        read_clip(clip)  # type: ignore[arg-type]


def test_agreement_counts_what_differs() -> None:
    scene = Scene(
        (Role(0, Look("red", "circle"), "waving"), Role(2, Look("blue", "star"), "jumping")), "snow", False, 0.1, 0
    )
    reading = read_clip(draw_scene(scene))
    other = replace(scene, place="moon", roles=(scene.roles[0], Role(2, Look("blue", "square"), "dancing")))
    assert agreement(reading, other) == {
        "place": False, "mirrored": True, "count": True, "colour": 1.0, "shape": 0.5, "motion": 0.5,
    }  # fmt: skip


def test_where_numbers_differ_roles_take_the_actor_in_their_lane() -> None:
    scene = Scene(
        (Role(0, Look("red", "circle"), "waving"), Role(2, Look("blue", "star"), "waving")), "snow", False, 0.1, 0
    )
    reading = read_clip(draw_scene(scene))
    only_right = replace(reading, actors=reading.actors[1:])
    assert [actor and actor.colour for _, actor in paired(only_right, scene)] == [None, "blue"]
    found = agreement(only_right, scene)
    assert (found["count"], found["colour"], found["shape"]) == (False, 0.5, 0.5)
    assert agreement(replace(reading, actors=()), scene)["colour"] == 0
