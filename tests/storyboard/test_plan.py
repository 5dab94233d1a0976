"""The plan: what is resolved, what is rounded and said so, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mpvg_core.errors import InputError
from mpvg_core.storyboard import FilmPlan, ModelLimits, parse_storyboard, plan_film, require_known_words


def plan_of(text: str, limits: ModelLimits, **options: Any) -> FilmPlan:
    return plan_film(parse_storyboard(text, "b.yaml"), limits, **options)


def problems_of(text: str, limits: ModelLimits, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan_of(text, limits, **options)
    return [str(problem) for problem in caught.value.problems]


def test_a_length_in_seconds_is_rounded_to_one_the_model_can_make_and_said(limits: ModelLimits) -> None:
    shot = plan_of("shots: [{prompt: A., seconds: 3}]", limits).shots[0]
    assert (shot.frames, shot.seconds) == (25, 3.125)
    assert shot.notes == ("3 s rounded to 3.125 s (25 frames at 8 a second)",)


def test_a_length_in_frames_is_rounded_and_said(limits: ModelLimits) -> None:
    shot = plan_of("shots: [{prompt: A., frames: 20}]", limits).shots[0]
    assert (shot.frames, shot.notes) == (17, ("20 frames rounded to 17",))


def test_a_legal_length_is_kept_without_a_word(limits: ModelLimits) -> None:
    shots = plan_of("shots: [{prompt: A., frames: 33}, {prompt: B., seconds: 6.125}, C.]", limits).shots
    assert [(shot.frames, shot.notes) for shot in shots] == [(33, ()), (49, ()), (49, ())]


def test_a_length_above_the_models_is_made_in_windows_and_said(limits: ModelLimits) -> None:
    text = "shots:\n- {prompt: A., name: long, seconds: 10}\n- {prompt: B., frames: 50}\n- {prompt: C., frames: 97}"
    shots = plan_of(text, limits).shots
    windows = "longer than the 49 frames of model 'toy': made in overlapping windows"
    assert [(shot.frames, shot.notes) for shot in shots] == [
        (81, (f"10 s rounded to 10.12 s (81 frames at 8 a second); {windows}",)),
        (49, (f"50 frames rounded to 49; {windows}",)),
        (97, (windows,)),
    ]


def test_seconds_count_at_the_films_own_rate(limits: ModelLimits) -> None:
    plan = plan_of("fps: 16\nshots: [{prompt: A., seconds: 2}]", limits)
    assert (plan.fps, plan.shots[0].frames, plan.shots[0].fps) == (16, 33, 16)
    assert plan.notes == ("16 frames a second; the model learned motion at 8",)


def test_memory_is_every_earlier_shot_or_what_the_board_says(limits: ModelLimits) -> None:
    text = """\
shots:
  - {prompt: A., name: a}
  - {prompt: B., name: b}
  - {prompt: C., name: c, looks_back: none}
  - {prompt: D., name: d, looks_back: 2}
  - {prompt: E., name: e, looks_back: [c, a]}
  - {prompt: F., name: f, looks_back: all}
  - {prompt: G., name: g, looks_back: 99}
"""
    looks_back = [shot.looks_back for shot in plan_of(text, limits).shots]
    assert looks_back[:5] == [(), ("a",), (), ("b", "c"), ("a", "c")]
    assert looks_back[5:] == [("a", "b", "c", "d", "e"), ("a", "b", "c", "d", "e", "f")]


def test_a_shots_seed_is_its_own_or_derived_and_the_command_lines_seed_wins(limits: ModelLimits) -> None:
    text = "seed: 7\nshots: [A., {prompt: B., seed: 5}]"
    assert [shot.seed for shot in plan_of(text, limits).shots] == [2630602035, 5]
    assert plan_of(text, limits, seed=7) == plan_of(text, limits)
    assert plan_of(text, limits, seed=8).shots[0].seed != 2630602035
    assert "the seed is -1" in problems_of(text, limits, seed=-1)[0]


def test_a_shot_keeps_its_seed_when_others_come_and_go(limits: ModelLimits) -> None:
    alone = plan_of("shots: [{prompt: A., name: chase}]", limits).shots[0]
    later = plan_of("shots: [B., C., {prompt: A., name: chase}]", limits).shots[2]
    assert alone.seed == later.seed


def test_too_many_tokens_are_an_error_that_says_by_how_much_and_where(limits_with: Callable[..., ModelLimits]) -> None:
    text = "style: soft light from a window\ncast: {Mia: a girl}\nshots:\n- Mia runs.\n- Mia runs and runs and runs."
    assert problems_of(text, limits_with(max_tokens=10)) == [
        "b.yaml:5: shot 2: the full prompt has 13 tokens; expected at most 10 for model 'toy'; shorten by 3 "
        "tokens (the prompt itself 6, the looks of cast and places 2, the style 5), best the prompt itself"
    ]
    assert plan_of(text, limits_with(max_tokens=13)).shots[1].tokens == 13


def test_a_negative_prompt_is_counted_too_and_a_shots_own_replaces_the_boards(
    limits_with: Callable[..., ModelLimits],
) -> None:
    text = "negative: text blur\nshots:\n- A.\n- {prompt: B., negative: ''}\n- {prompt: C., negative: one two three}"
    assert [shot.negative for shot in plan_of(text, limits_with()).shots] == ["text blur", "", "one two three"]
    assert problems_of(text, limits_with(max_tokens=2)) == [
        "b.yaml:5: shot 3: the negative prompt has 3 tokens; expected at most 2; shorten it by 1 tokens"
    ]


def test_a_size_off_the_models_grid_is_refused_with_a_near_one(limits: ModelLimits) -> None:
    assert problems_of("size: 730x481\nshots: [A.]", limits) == [
        "b.yaml:1: the size is 730x481; expected multiples of 16 for model 'toy'; for example 736x480"
    ]
    plan = plan_of("size: 480x320\nshots: [A.]", limits)
    assert (plan.width, plan.height, plan.shots[0].height) == (480, 320, 320)
    assert plan.notes == ("the size 480x320 is not the model's own, 720x480",)


def test_a_crossfade_has_a_length_and_leaves_something_of_its_shots(limits: ModelLimits) -> None:
    text = "shots:\n- A.\n- {prompt: B., transition: crossfade, frames: 9}\n"
    shots = plan_of(text, limits).shots
    assert [(shot.transition, shot.transition_seconds) for shot in shots] == [("cut", 0.0), ("crossfade", 0.5)]
    longer = text + "- {prompt: C., transition: crossfade, transition_seconds: 0.7}\n"
    assert problems_of(longer, limits) == [
        "b.yaml:3: shot 2: crossfades take 1.2 of the 1.125 seconds of 'shot 2'; expected less than the shot "
        "itself; shorten transition_seconds or film longer shots"
    ]


def test_all_planning_problems_come_at_once(limits: ModelLimits) -> None:
    text = "size: 1x1\nnegative: " + "x " * 61 + "\nshots:\n- {prompt: A., method: regions}\n- " + "y " * 61
    assert len(problems_of(text, limits)) == 4


def test_the_source_given_names_the_board_in_problems(limits: ModelLimits) -> None:
    assert problems_of("size: 1x1\nshots: [A.]", limits, source="node 5")[0].startswith("node 5:1: the size is 1x1")


def test_one_of_the_cast_that_no_shot_names_is_noted(limits: ModelLimits) -> None:
    plan = plan_of("cast: {Mia: a girl, mara: a cat}\nshots: [mia runs.]", limits)
    assert plan.notes == ("'Mia' is named in no shot", "'mara' is named in no shot")
    assert plan.shots[0].notes == ("'mia' is not taken for 'Mia' of the cast: write it with the same capitals",)


def test_words_that_a_small_model_does_not_know_are_noted_in_the_plan_and_refused_for_filming(
    limits_with: Callable[..., ModelLimits],
) -> None:
    known = ("a", "dog", "runs")
    limits = limits_with(
        unknown_words=lambda text: tuple(word for word in text.lower().strip(".").split() if word not in known),
        known_words=known,
    )
    plan = plan_of("shots:\n- A dog runs.\n- A dgo flies.", limits)
    assert [shot.notes for shot in plan.shots] == [(), ("words that model 'toy' does not know: dgo, flies",)]
    with pytest.raises(InputError) as caught:
        require_known_words(plan, limits)
    assert [str(problem) for problem in caught.value.problems] == [
        "b.yaml:3: shot 2: model 'toy' does not know 'dgo', 'flies'; expected its own words: a, dog, runs; "
        "did you mean 'dog' for 'dgo'?"
    ]
    require_known_words(plan_of("shots: [A dog runs.]", limits), limits)
    require_known_words(plan, limits_with())


def test_words_of_the_negative_prompt_that_a_model_does_not_know_are_told_once(
    limits_with: Callable[..., ModelLimits],
) -> None:
    known = {"a", "dog", "runs", "cat"}
    limits = limits_with(
        unknown_words=lambda text: [word for word in text.lower().strip(".").split() if word not in known],
        known_words=tuple(sorted(known)),
    )
    board = "negative: A blur.\nshots:\n- A dog runs.\n- A dog.\n- {prompt: A cat., negative: A bird.}"
    with pytest.raises(InputError) as caught:
        require_known_words(plan_of(board, limits), limits)
    told = [str(problem) for problem in caught.value.problems]
    assert [line.partition(";")[0] for line in told] == [
        "b.yaml:3: shot 1: negative: model 'toy' does not know 'blur'",
        "b.yaml:5: shot 3: negative: model 'toy' does not know 'bird'",
    ]


def test_the_plan_as_json_holds_every_shot_resolved(limits: ModelLimits) -> None:
    film = plan_of("title: Pets\nstyle: Ink.\nshots: [A dog., {prompt: A cat., seconds: 1}]", limits).to_json()
    assert json.loads(json.dumps(film)) == film
    assert (film["title"], film["slug"], film["frames"], len(film["shots"])) == ("Pets", "pets", 58, 2)
    second = film["shots"][1]
    expected = {"name": "shot 2", "prompt": "A cat.", "full_prompt": "A cat. Ink.", "frames": 9, "seconds": 1.125}
    assert {key: second[key] for key in expected} == expected
    assert (second["tokens"], second["looks_back"]) == (3, ["shot 1"])
    assert "where" not in second


def test_where_a_shot_was_written_is_no_part_of_the_plan(limits: ModelLimits) -> None:
    assert plan_of("shots: [A.]", limits) == plan_of("\n\nshots: [A.]", limits)
