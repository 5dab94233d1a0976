"""What a server says, in words."""

from __future__ import annotations

import pytest

from mpvg_core.batch.messages import MadeFile, made_files, node_failure, one_line, queue_length, read_message, refusal


def test_a_line_on_a_node_is_read_from_its_binary_message():
    message = (3).to_bytes(4, "big") + (4).to_bytes(4, "big") + b"3:12" + b"shot 2 of 4, 1:40 left"
    assert read_message(message) == ("text", {"node": "3:12", "text": "shot 2 of 4, 1:40 left"})


def test_a_preview_says_nothing():
    assert read_message((1).to_bytes(4, "big") + b"\xff\xd8 a picture") == ("", {})


@pytest.mark.parametrize("message", ["hello", "[1]", '{"type": "status", "data": 3}'])
def test_what_no_comfyui_says_is_an_error(message):
    with pytest.raises(ValueError):
        read_message(message)


def test_a_refusal_names_every_node_and_reason():
    faults = {"errors": [{"message": "Value not in list", "details": "model: 'x'"}], "class_type": "MPVG_LoadModel"}
    others = {"errors": [{"message": "Too big", "details": ""}], "class_type": "MPVG_ContactSheet"}
    answer = {"error": {"message": "Prompt outputs failed validation"}, "node_errors": {"1": faults, "5": others}}
    said = "node 1 (MPVG_LoadModel): Value not in list: model: 'x'; node 5 (MPVG_ContactSheet): Too big"
    assert refusal(answer) == said


def test_a_refusal_without_nodes_gives_the_reason_of_the_whole():
    missing = {"message": "Node 'MPVG_Storyboard' not found.", "details": "Node ID '#2'"}
    assert refusal({"error": missing, "node_errors": {}}) == "Node 'MPVG_Storyboard' not found.: Node ID '#2'"
    assert refusal(None) == "no reason was given"


def test_a_failure_of_a_node_is_one_line():
    data = {"node_id": "3", "node_type": "MPVG_FilmStoryboard", "exception_message": "shot 1: too long\nshot 2: too\n"}
    assert node_failure(data) == "node 3 (MPVG_FilmStoryboard): shot 1: too long shot 2: too"


def test_commands_for_a_terminal_are_taken_out_of_what_a_server_says():
    assert one_line(b"\x1b[2Jshot\r\n 1\x07") == "[2Jshot 1"


def test_only_files_that_stay_count_as_made_and_each_once():
    film = {"filename": "film.mp4", "subfolder": "mpvg/x", "type": "output"}
    preview = {"filename": "p.png", "subfolder": "", "type": "temp"}
    outputs = {"3": {"images": [preview], "mpvg_takes": [{"clip": film}]}, "4": {"images": [film], "animated": [True]}}
    assert made_files({**outputs, "9": {"images": [film]}}) == (MadeFile("film.mp4", "mpvg/x"),)


@pytest.mark.parametrize("outputs", [None, [], {"3": None}, {"3": {"images": [None, "film.mp4", {}]}}])
def test_outputs_that_list_no_file_make_none(outputs):
    assert made_files(outputs) == ()


def test_the_length_of_a_queue_is_read_from_an_answer_as_from_a_message():
    info = {"exec_info": {"queue_remaining": 3}}
    assert queue_length(info) == queue_length({"status": info, "sid": "x"}) == 3


@pytest.mark.parametrize("data", [{}, {"status": None}, {"exec_info": {}}, []])
def test_a_server_that_does_not_tell_the_length_of_its_queue_is_no_comfyui(data):
    with pytest.raises(ValueError, match="length of its queue"):
        queue_length(data)
