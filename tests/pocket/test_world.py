import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mpvg_core.pocket import batches, stories
from mpvg_core.pocket.language import MAX_TOKENS, actor_of_token, lane_of_token, tell, told_places, vocabulary
from mpvg_core.pocket.world import COLOURS, FRAMES, MOTIONS, PLACES, SHAPES, Story, draw_scene, draw_story

LOOKS = {*COLOURS, *SHAPES}


def pieces(prompt: str) -> list[str]:
    """Whole words, signs and single digits, as the pocket's tokenizer splits them."""
    return re.findall(r"[a-z]+|\d|[^\w\s]", prompt.lower())


def test_a_seed_is_a_story_and_its_pixels() -> None:
    assert draw_story(11) == draw_story(11)
    assert draw_story(11) != draw_story(12)
    scene = draw_story(11).scenes[0]
    assert np.array_equal(draw_scene(scene), draw_scene(scene))


def test_clips_are_bytes_of_the_asked_length() -> None:
    scene = draw_story(3).scenes[0]
    assert draw_scene(scene).shape == (FRAMES, 64, 64, 3)
    assert draw_scene(scene, 9).shape == (9, 64, 64, 3)
    assert draw_scene(scene).dtype == np.uint8


def test_actors_of_a_story_differ_in_colour_and_keep_their_look() -> None:
    for seed in range(200):
        story = draw_story(seed)
        assert len({look.colour for look in story.looks}) == len(story.looks)
        for scene in story.scenes:
            assert all(role.look == story.looks[role.index] for role in scene.roles)
            assert len({role.index for role in scene.roles}) == len(scene.roles)


def test_prompt_and_looks_fix_the_picture_of_a_story() -> None:
    drawn: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}
    for seed in range(400):
        for scene in draw_story(seed, shots=6, max_actors=1).scenes:
            told = (tell(scene, np.random.default_rng(0), told=True, plain=True), ())
            clip = draw_scene(scene)
            assert np.array_equal(drawn.setdefault(told, clip), clip)
    assert len(drawn) < 2000  # some of the 2400 scenes were the same


def test_takes_can_vary_in_side_beat_and_spot() -> None:
    scene = draw_story(3, max_actors=1).scenes[0]
    others = [replace(scene, mirrored=True), replace(scene, phase=0.5), replace(scene, shift=1.0)]
    assert all(not np.array_equal(draw_scene(other), draw_scene(scene)) for other in others)


def test_stories_show_every_look_motion_place_and_number_of_actors() -> None:
    scenes = [scene for seed in range(300) for scene in draw_story(seed).scenes]
    roles = [role for scene in scenes for role in scene.roles]
    assert {str(role.look) for role in roles} == {f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES}
    assert {role.motion for role in roles} == set(MOTIONS)
    assert {scene.place for scene in scenes} == set(PLACES)
    assert set(Counter(len(scene.roles) for scene in scenes)) == {1, 2, 3}


@pytest.mark.parametrize("module", [batches, stories], ids=["scenes", "stories"])
def test_training_never_draws_a_held_out_seed(module, basis, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def spy(seed: int, **options: int) -> Story:
        drawn.append(seed)
        return draw_story(seed, **options)

    monkeypatch.setattr(module, "draw_story", spy)
    kind = batches.SceneBatches if module is batches else stories.StoryBatches
    next(iter(kind(basis, 4, seed=0)))
    assert drawn
    assert min(drawn) >= batches.FIRST_TRAINING_SEED > 100_000


def test_prompts_tell_looks_only_when_asked() -> None:
    rng = np.random.default_rng(0)
    for seed in range(300):
        for scene in draw_story(seed).scenes:
            assert not LOOKS & set(pieces(tell(scene, rng)))
            told = tell(scene, rng, told=True)
            assert all(f"Actor {role.index + 1} ({role.look})" in told for role in scene.roles)


def test_every_prompt_fits_the_model_and_has_only_known_words() -> None:
    rng, known = np.random.default_rng(1), set(vocabulary())
    for seed in range(400):
        for scene in draw_story(seed).scenes:
            for told, cast_first in ((False, False), (True, False), (True, True)):
                words = pieces(tell(scene, rng, told=told, cast_first=cast_first))
                assert len(words) + 1 <= MAX_TOKENS  # one for the end of the sentence
                assert set(words) <= known


def test_prompts_name_actors_from_left_to_right_with_motion_and_place() -> None:
    rng = np.random.default_rng(2)
    for seed in range(100):
        for scene in draw_story(seed).scenes:
            prompt = tell(scene, rng)
            assert [int(number) - 1 for number in re.findall(r"Actor (\d)", prompt)] == [r.index for r in scene.roles]
            assert PLACES[scene.place].split()[-1] in prompt
            assert all(any(form in prompt for form in MOTIONS[role.motion]) for role in scene.roles)


def test_a_plain_prompt_is_the_same_whatever_the_draw() -> None:
    scene = draw_story(5).scenes[0]
    assert len({tell(scene, np.random.default_rng(seed), plain=True) for seed in range(20)}) == 1


def test_vocabulary_has_no_word_twice() -> None:
    assert len(set(vocabulary())) == len(vocabulary())


def test_tokens_belong_to_the_actor_whose_name_and_look_they_tell() -> None:
    words = pieces("Actor 3 (a red star) and Actor 1 are running on the moon.")
    assert words[:6] == ["actor", "3", "(", "a", "red", "star"]
    assert actor_of_token(words) == [2] * 7 + [-1] + [0, 0] + [-1] * 6


def test_a_cast_told_first_says_each_look_in_any_order_and_only_the_number_ties_it() -> None:
    scene = next(s for seed in range(50) for s in draw_story(seed).scenes if len(s.roles) == 3)
    prompts = {tell(scene, np.random.default_rng(seed), told=True, cast_first=True) for seed in range(60)}
    assert all(f"Actor {role.index + 1} is {role.look}." in prompt for prompt in prompts for role in scene.roles)
    assert len({re.findall(r"Actor (\d) is a", prompt)[0] for prompt in prompts}) == 3


def test_tokens_of_a_look_told_in_a_sentence_belong_to_its_actor() -> None:
    words = pieces("Actor 2 is a blue star. Actor 2 is running.")
    assert actor_of_token(words) == [1] * 7 + [1, 1] + [-1] * 3


def test_words_of_an_actor_know_its_place_from_the_left_wherever_they_stand() -> None:
    words = pieces("Actor 2 is a blue star. Actor 3 is a red star. Actor 3 and Actor 2 are running.")
    lanes = lane_of_token(words, [2, 1])
    assert lanes[:7] == [1] * 7
    assert lanes[7:14] == [0] * 7
    assert lanes[14:] == [0, 0, -1, 1, 1, -1, -1, -1]


def test_a_name_stands_where_the_told_prompt_says_colour_and_shape() -> None:
    plain = [*pieces("On the moon, Actor 3 and Actor 1 are running."), "</s>", "<pad>"]
    told = [*pieces("On the moon, Actor 3 (a red star) and Actor 1 (a blue circle) are running."), "</s>"]
    said = [told[place] if place >= 0 else "" for place in told_places(plain, told)]
    assert said == ["on", "the", "moon", ",", "red", "star", "and", "blue", "circle", "are", "running", ".", "", ""]
    assert told_places(told, told)[4:6] == [told.index("red"), told.index("star")]


def test_a_name_without_a_known_number_belongs_to_nobody() -> None:
    assert actor_of_token(["actor", "7", "runs", "actor"]) == [-1, -1, -1, -1]
