"""Our own YAML and JSON: what they say, and how every mistake is named with its line."""

from __future__ import annotations

import json

import pytest

from mpvg_core.errors import InputError
from mpvg_core.storyboard import Actor, Place, Shot, Storyboard, dump_storyboard, parse_storyboard

FULL = """\
version: 1
title: The chase
style: Watercolour, soft light.
negative: text
cast:
  - {name: Mia, look: a girl in a red coat}
places:
  beach: a beach at low tide
fps: 8
size: 720x480
seed: 7
shots:
  - Mia runs along the beach.
  - name: rest
    prompt: >
      Mia rests
      under a tree.
    seconds: 2
    transition: crossfade
    transition_seconds: 0.25
    looks_back: [shot 1]
    negative: ""
  - {prompt: A dog., frames: 17, seed: 5, looks_back: 1}
"""


def lines_of(text: str, source: str = "b.yaml") -> list[str]:
    """The problems of a text that must have some."""
    with pytest.raises(InputError) as caught:
        parse_storyboard(text, source)
    return [str(problem) for problem in caught.value.problems]


def test_yaml_says_all_that_a_storyboard_can_say() -> None:
    board = parse_storyboard(FULL, "b.yaml")
    assert board == Storyboard(
        title="The chase",
        style="Watercolour, soft light.",
        negative="text",
        cast=(Actor(name="Mia", look="a girl in a red coat"),),
        places=(Place(name="beach", look="a beach at low tide"),),
        fps=8,
        size=(720, 480),
        seed=7,
        shots=(
            Shot(name="shot 1", prompt="Mia runs along the beach."),
            Shot(
                name="rest",
                prompt="Mia rests under a tree.",
                seconds=2,
                transition="crossfade",
                transition_seconds=0.25,
                looks_back=("shot 1",),
                negative="",
            ),
            Shot(name="shot 3", prompt="A dog.", frames=17, seed=5, looks_back=1),
        ),
    )


def test_json_and_yaml_of_a_board_are_the_same_board() -> None:
    board = parse_storyboard(FULL, "b.yaml")
    as_json = json.dumps(board.model_dump(mode="json"), indent="\t", ensure_ascii=True)
    assert parse_storyboard(as_json, "b.json") == board
    assert parse_storyboard(as_json) == board


def test_json_may_escape_characters_beyond_the_first_plane() -> None:
    assert parse_storyboard('{"shots": ["\\ud83d\\ude00 smiles"]}').shots[0].prompt == "😀 smiles"


def test_a_board_that_is_written_and_read_again_is_the_same_board() -> None:
    board = parse_storyboard(FULL, "b.yaml")
    text = dump_storyboard(board)
    assert text.startswith("version: 1\n")
    assert parse_storyboard(text, "again.yaml") == board


@pytest.mark.parametrize("word", ["yes", "no", "2024-01-01", "12:30", "1e5", "0x1F", "007", "1_000", "on"])
def test_words_that_yaml_once_took_for_other_things_are_text(word: str) -> None:
    assert parse_storyboard(f"title: {word}\nshots: [A dog.]\n", "b.yaml").title == word


def test_a_board_without_a_title_is_called_after_its_file() -> None:
    assert parse_storyboard("shots: [A dog.]", "films/my_first film.yaml").title == "my first film"
    assert parse_storyboard("A dog.").title == "Untitled"


def test_all_problems_come_at_once_with_lines_and_shots_and_remedies() -> None:
    text = """\
version: 1
titel: x
cast:
  - {name: Mia, lok: red}
shots:
  - prompt: A dog.
    secnds: 3
  - name: chase
    promt: B
    looks_back: [later]
  - name: Chase
    prompt: C.
    transition: crosfade
  - prompt: D.
    seconds: -1
"""
    assert lines_of(text) == [
        "b.yaml:2: unknown key 'titel'; expected one of version, title, overview, style, negative, cast, places, fps, "
        "size, seed, method, shots; did you mean 'title'?",
        "b.yaml:4: actor 'Mia': unknown key 'lok'; expected one of name, look; did you mean 'look'?",
        "b.yaml:7: shot 1: unknown key 'secnds'; expected one of name, prompt, seconds, frames, seed, transition, "
        "transition_seconds, looks_back, negative, continues, layout, method; did you mean 'seconds'?",
        "b.yaml:8: shot 'chase': 'prompt' is missing; add prompt: …",
        "b.yaml:9: shot 'chase': unknown key 'promt'; expected one of name, prompt, seconds, frames, seed, transition, "
        "transition_seconds, looks_back, negative, continues, layout, method; did you mean 'prompt'?",
        "b.yaml:10: shot 'chase': looks_back names 'later', which is no shot; expected one of 'shot 1'; remove it",
        "b.yaml:11: shot 'Chase': the name 'Chase' is also shot 2's; expected a name of its own; rename one",
        "b.yaml:13: shot 'Chase': 'transition' is 'crosfade'; expected 'cut', 'crossfade' or 'smooth'; did you mean "
        "'crossfade'?",
        "b.yaml:15: shot 4: 'seconds' is -1; expected greater than 0",
    ]


def test_json_problems_name_their_lines_too() -> None:
    text = '{\n "shots": [\n  {"prompt": "A"},\n  {"prompt": "B",\n   "frames": 0},\n  "",\n  7\n ],\n "seed": 1.5\n}'
    assert lines_of(text, "b.json") == [
        "b.json:5: shot 2: 'frames' is 0; expected greater than or equal to 1",
        "b.json:6: shot 3: the prompt is empty; expected a prompt; say what the shot shows",
        "b.json:7: shot 4: it is 7; expected a prompt, or keys and values",
        "b.json:9: 'seed' is 1.5; expected integer",
    ]


def test_a_later_version_is_refused() -> None:
    assert lines_of("version: 2\nshots: [A.]") == ["b.yaml:1: 'version' is 2; expected 1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shots: &a [x]\ncast: *a", "b.yaml:2: alias *a"),
        ("shots: !!python/object/apply:os.system [ls]", "b.yaml:1: the tag '!!python/object/apply:os.system'"),
        ("shots:\n - {a: 1, a: 2}", "b.yaml:2: the key 'a' is given twice"),
        ("shots:\n\t- A", "b.yaml:2: a tab is used to indent"),
        ("shots:\n  - prompt: A man: he runs", "b.yaml:2: not YAML"),
        ("shots: [A.]\n---\nshots: [B.]", "b.yaml:2: a second YAML document"),
        ("shots: [A.]\n? [1, 2]\n: x", "b.yaml:2: a key is not a word"),
        ("just words", "b.yaml:1: the storyboard is 'just words'"),
        ("# nothing", "b.yaml:1: the storyboard is empty"),
        ("title: x", "b.yaml:1: 'shots' is missing"),
        ("shots: []", "b.yaml:1: 'shots' is empty; expected at least one shot"),
        ("shots: A man runs.", "b.yaml:1: 'shots' is 'A man runs.'; expected a list"),
        ("shots: [A.]\ntitle: 1984", "b.yaml:2: 'title' is 1984; expected text; put quotes around it"),
        ("shots: [A.]\nsize: 720", "b.yaml:2: size is 720"),
        ("shots: [A.]\nfps: fast", "b.yaml:2: 'fps' is 'fast'"),
        ("shots: [{prompt: A., name: '3'}]", "b.yaml:1: shot '3': the name is the number 3"),
        ("shots: [{prompt: A., name: 'a, b'}]", "b.yaml:1: shot 'a, b': the name 'a, b' holds a comma"),
        ("shots: [{prompt: A., seconds: 1, frames: 9}]", "b.yaml:1: shot 1: both seconds and frames"),
        ("shots: [{prompt: A., transition_seconds: 1}]", "b.yaml:1: shot 1: transition_seconds is given for a cut"),
        ("shots: [{prompt: A., transition: crossfade}]", "b.yaml:1: shot 1: the first shot has nothing to fade from"),
        ("shots: [A., {prompt: B., looks_back: shot 1}]", "write [shot 1] if this names a shot"),
        ("shots: [{prompt: A., looks_back: [shot 1]}]", "which is not earlier"),
        ("shots: [A.]\ncast: {Mia: red}\nplaces: {mia: sand}", "b.yaml:3: place 1: the name 'mia' is used twice"),
        ("shots: [A.]\ncast: {Mia: {lok: red}}", "b.yaml:2: actor 1: unknown key 'lok'"),
        ('shots: ["a\\u0007b"]', "b.yaml:1: shot 1: the text holds a control character, U+0007"),
        ("shots: " + "[" * 400, "nested too deeply"),
        ("seed: " + "9" * 6000 + "\nshots: [A.]", "b.yaml:1: 'seed' is '999"),
        ("seed: 18446744073709551616\nshots: [A.]", "b.yaml:1: 'seed' is 18446744073709551616"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, says: str) -> None:
    assert any(says in line for line in lines_of(text)), lines_of(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"shots": ["A."],}', "b.json:1: not JSON"),
        ('{\n"shots": ["A."]\n', "b.json:3: not JSON"),
        ('{"shots": ["A."], "seed": NaN}', "'seed' is 'NaN'"),
        ('{"shots": ["A."],\n "seed": 1, "seed": 2}', "b.json:2: the key 'seed' is given twice"),
        ('{"shots": ["\\ud800"]}', "b.json:1: shot 1: the text holds half a character"),
        ('["A."]', "b.json:1: the storyboard is a list of 1"),
        ("[" * 100_000, "nested too deeply"),
        ('{"seed": 1e999, "shots": ["A."]}', "b.json:1: 'seed' is inf"),
    ],
)
def test_a_mistake_in_json_is_named_with_its_line(text: str, says: str) -> None:
    found = lines_of(text, "b.json")
    assert any(says in line for line in found), found


def test_a_thousand_shots_are_read_and_one_more_is_refused() -> None:
    assert len(parse_storyboard("shots:\n" + "- A.\n" * 1000, "b.yaml").shots) == 1000
    assert "at most 1000" in lines_of("shots:\n" + "- A.\n" * 1001)[0]


def test_of_very_many_problems_the_first_are_named_and_the_rest_counted() -> None:
    found = lines_of("shots:\n" + "- ''\n" * 300)
    assert len(found) == 201
    assert found[199].startswith("b.yaml:201: shot 200: the prompt is empty")
    assert found[200] == "b.yaml: there are 100 more problems; mend these first"


def test_where_a_board_was_written_is_no_part_of_it() -> None:
    assert parse_storyboard("shots: [A.]", "x.yaml", "yaml") == parse_storyboard("\n\nshots: [A.]\n", "dir/x.yaml")


def test_a_name_used_twice_is_listed_once_among_those_to_look_back_at() -> None:
    text = "shots:\n- {name: a, prompt: x}\n- {name: a, prompt: y}\n- {name: b, prompt: z, looks_back: [q]}\n"
    assert lines_of(text) == [
        "b.yaml:3: shot 'a': the name 'a' is also shot 1's; expected a name of its own; rename one",
        "b.yaml:4: shot 'b': looks_back names 'q', which is no shot; expected one of 'a'; remove it",
    ]
