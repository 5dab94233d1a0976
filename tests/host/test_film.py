"""A film in a real ComfyUI: what is filmed again, what a cancel leaves, what a restart finds, and how errors read."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import real_comfy as host

ACTORS = [
    "Actor 1 is running on the playground.",
    "Actor 2 is skiing on the snow.",
    "Actor 2 is running on the playground.",
    "Actor 1 is skiing on the snow.",
]


def board(title: str, prompts: list[str], frames: int = 9) -> str:
    return f"title: {title}\nshots:\n" + "".join(f"  - prompt: {text}\n    frames: {frames}\n" for text in prompts)


def graph(text: str, steps: int = 1, **film: Any) -> dict[str, Any]:
    model = {"model": "pocket", "adapter": "the model's own", "dtype": "auto", "device": "auto"}
    plain = {"seed": 0, "shots": "", "keep": "", "folder": "", "scheduler": "ddim", "batched": False}
    links = {"model": ["model", 0], "storyboard": ["board", 0]}
    join = {"film": ["film", 0], "transitions": "cut", "crossfade_seconds": 0.5, "file_name": "film"}
    return {
        "model": {"class_type": "MPVG_LoadModel", "inputs": model},
        "board": {"class_type": "MPVG_Storyboard", "inputs": {"text": text}},
        "film": {"class_type": "MPVG_FilmStoryboard", "inputs": {**links, "steps": steps, **plain, **film}},
        "join": {"class_type": "MPVG_AssembleFilm", "inputs": join},
    }


def takes(server: host.Server, folder: str) -> set[str]:
    found = (server.base / "output" / "mpvg" / folder / "takes").glob("*/take.json")
    return {file.parent.name for file in found}


def test_only_a_changed_shot_and_those_that_remember_it_otherwise_are_filmed(server: host.Server) -> None:
    first = server.run(graph(board("cache", ACTORS)))
    assert first.filmed == [1, 2, 3, 4]
    changed = [*ACTORS[:2], "Actor 2 is waving on the beach.", ACTORS[3]]
    second = server.run(graph(board("cache", changed)))
    assert 3 in second.filmed and not {1, 2} & set(second.filmed)
    back = server.run(graph(board("cache", ACTORS)))
    assert back.end == "execution_success" and back.filmed == []


def test_kept_shots_hold_their_takes_while_another_is_rolled_again(server: host.Server) -> None:
    assert server.run(graph(board("kept", ACTORS))).filmed == [1, 2, 3, 4]
    again = graph(board("kept", ACTORS), keep="1,2,4")
    again["roll"] = {"class_type": "MPVG_RerollShot", "inputs": {"storyboard": ["board", 0], "shots": "3", "seed": 5}}
    again["film"]["inputs"]["storyboard"] = ["roll", 0]
    assert server.run(again).filmed == [3]


def test_a_film_whose_takes_were_deleted_is_filmed_again(server: host.Server) -> None:
    lost = graph(board("lost", ACTORS[:2]))
    server.run(lost)
    shutil.rmtree(server.base / "output" / "mpvg" / "lost")
    assert server.run(lost).filmed == [1, 2]


def test_cancel_takes_effect_at_once_and_leaves_the_finished_takes(server: host.Server) -> None:
    cancelled_at: list[float] = []

    def cancel(kind: str, data: Any) -> None:
        if kind == "text" and data[1].startswith("shot 2 of 3, step 2 of") and not cancelled_at:
            cancelled_at.append(len(data))
            server.post("/interrupt", {})

    text = board("cancel", ACTORS[:3], frames=17)
    outcome = server.run(graph(text, steps=300), watch=cancel)
    assert outcome.end == "execution_interrupted"
    pressed = next(at for kind, data, at in outcome.events if kind == "text" and "shot 2 of 3, step 2 of" in data[1])
    print(f"cancel took {outcome.events[-1][2] - pressed:.2f} s")
    steps_after = sum("shot 2 of 3, step" in line for line in outcome.lines) - 2
    assert steps_after <= 20, "a step of the pocket takes a few milliseconds, the message takes longer"
    assert len(takes(server, "cancel")) == 1
    assert not list((server.base / "output" / "mpvg" / "cancel" / "takes").glob(".writing-*"))


def test_after_a_killed_server_a_film_goes_on_where_it_was(tmp_path: Path) -> None:
    server = host.Server(tmp_path)
    server.start()
    text = board("restart", ACTORS[:3])

    def kill(kind: str, data: Any) -> None:
        if kind == "text" and data[1] == "shot 2 of 3 is done":
            server.stop(signal.SIGKILL)
            raise ConnectionError

    try:
        with pytest.raises(Exception):  # noqa: B017 - how a socket ends when its server dies is not ours
            server.run(graph(text, steps=3), watch=kill)
        before = takes(server, "restart")
        assert len(before) == 2
        server.start()
        outcome = server.run(graph(text, steps=3))
        assert outcome.end == "execution_success" and outcome.filmed == [3]
        assert before < takes(server, "restart")
    finally:
        server.stop()


def test_what_was_taken_otherwise_than_written_is_noted_on_the_shot(server: host.Server) -> None:
    text = "cast:\n  Mia: a red star\n" + board("noted", ACTORS[:2]).replace("frames: 9", "frames: 10", 1)
    outcome = server.run(graph(text))
    cards = [card for done in outcome.of("executed") for card in ((done["output"] or {}).get("mpvg_takes") or ())]
    assert [card["notes"] for card in cards] == [["'Mia' is named in no shot", "10 frames rounded to 9"], []]


def test_a_model_that_gave_way_to_others_films_on_when_it_is_needed_again(server: host.Server) -> None:
    assert server.run(graph(board("gives way", ACTORS[:1]))).filmed == [1]
    server.free(unload_models=True)
    assert server.run(graph(board("gives way", ACTORS[:2]))).filmed == [2]


def test_a_clip_of_the_sampler_is_found_again_after_everything_in_memory_is_gone(server: host.Server) -> None:
    chain = json.loads((host.ROOT / "workflows" / "api" / "four_shots_two_actors.json").read_text(encoding="utf-8"))
    host.quick(chain, steps=2)
    first = server.run(chain)
    assert first.end == "execution_success"
    server.free(unload_models=True, free_memory=True)
    again = server.run(chain)
    assert again.end == "execution_success" and [data for data in again.of("executing") if data["node"]]
    assert not again.of("preview"), "nothing is denoised a second time"


def test_a_storyboard_from_a_file_is_read_again_when_it_changes_and_refused_when_it_is_wrong(
    server: host.Server,
) -> None:
    file = server.base / "input" / "the chase.yaml"
    file.write_text(board("from a file", ACTORS[:1]), encoding="utf-8")
    loaded = graph("")
    loaded["board"] = {"class_type": "MPVG_LoadStoryboard", "inputs": {"file": file.name}}
    assert server.run(loaded).filmed == [1]
    file.write_text(board("from a file", ACTORS[:2]), encoding="utf-8")
    assert server.run(loaded).filmed == [2]
    file.write_text("shots:\n  - promt: a cat\n", encoding="utf-8")
    refused = server.run(loaded).refused
    assert refused is not None
    details = refused["node_errors"]["board"]["errors"][0]["details"]
    assert "the chase.yaml:2" in details and "promt" in details


def test_one_shot_of_a_storyboard_feeds_a_chain_of_its_own(server: host.Server) -> None:
    whole = graph("seed: 4\n" + board("chain", ACTORS[:2]))
    chain = {name: whole[name] for name in ("model", "board")}
    model = ["model", 0]
    chain["shot"] = {
        "class_type": "MPVG_StoryboardShot",
        "inputs": {"model": model, "storyboard": ["board", 0], "number": 2},
    }
    chain["prompt"] = {"class_type": "MPVG_EncodePrompt", "inputs": {"model": model, "text": ["shot", 0]}}
    plain = {"steps": 1, "width": 0, "height": 0, "scheduler": "ddim", "batched": True}
    links = {"model": model, "prompt": ["prompt", 0], "seed": ["shot", 2], "frames": ["shot", 3]}
    chain["sample"] = {"class_type": "MPVG_CogVideoXMultiSceneSampler", "inputs": {**links, **plain}}
    chain["decode"] = {"class_type": "MPVG_DecodeShot", "inputs": {"model": model, "latent": ["sample", 0]}}
    chain["show"] = {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}}
    outcome = server.run(chain)
    assert outcome.end == "execution_success", outcome.events[-1]
    (shown,) = [done["output"]["images"] for done in outcome.of("executed") if done["node"] == "show"]
    assert len(shown) == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: x\nshots:\n  - promt: Actor 1 is running.\n", "shot 1"),
        ("title: x\nshots:\n  - prompt: ''\n", "the prompt is empty"),
        ("", "storyboard"),
    ],
    ids=["a misspelt key", "an empty prompt", "nothing at all"],
)
def test_a_bad_storyboard_is_refused_when_it_is_queued(server: host.Server, text: str, expected: str) -> None:
    outcome = server.run(graph(text))
    assert outcome.refused is not None
    (error,) = outcome.refused["node_errors"]["board"]["errors"]
    assert expected in error["details"]


def test_a_film_shot_by_itself_is_refused_in_words(server: host.Server) -> None:
    alone = graph(board("x", ACTORS[:1]))
    alone["film"] = {"class_type": "MPVG_FilmShot", "inputs": {"work": "shot 1"}}
    alone["join"]["inputs"]["film"] = ["film", 1]
    assert "use Film Storyboard" in server.run(alone).message


def test_a_missing_model_is_refused_when_it_is_queued(server: host.Server) -> None:
    missing = graph(board("x", ACTORS[:1]))
    missing["model"]["inputs"]["model"] = "CogVideoX-9b"
    outcome = server.run(missing)
    assert outcome.refused is not None
    assert "CogVideoX-9b" in outcome.refused["node_errors"]["model"]["errors"][0]["details"]


@pytest.mark.parametrize(
    ("text", "film", "expected"),
    [
        (board("x", ["Actor 1 is running. " * 20]), {}, ["shot 1", "tokens", "at most"]),
        (board("x", ["Actor 1 is bananaing."]), {}, ["shot 1", "bananaing"]),
        ("size: 50x50\n" + board("x", ACTORS[:1]), {}, ["50x50", "multiples of"]),
        (board("x", ACTORS[:1]), {"shots": "7"}, ["there is no shot '7'"]),
    ],
    ids=["a prompt too long", "a word the model does not know", "a size that does not fit", "a shot that is not there"],
)
def test_what_the_model_cannot_film_is_one_readable_message_before_any_step(
    server: host.Server, text: str, film: dict[str, Any], expected: list[str]
) -> None:
    outcome = server.run(graph(text, **film))
    assert outcome.end == "execution_error"
    assert all(part in outcome.message for part in expected), outcome.message
    assert not outcome.of("preview")
