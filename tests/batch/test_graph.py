"""Graphs in API format, and a storyboard in one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpvg_core.batch.graph import packaged_graph, read_graph
from mpvg_core.errors import InputError
from mpvg_core.storyboard.read import parse_storyboard, read_storyboard

SHOWN = Path(__file__).resolve().parents[2] / "workflows" / "api" / "film_a_storyboard.json"
BOARD = {"class_type": "MPVG_Storyboard", "inputs": {"text": "a cat"}}
LOADED = {"class_type": "MPVG_LoadStoryboard", "inputs": {"file": "a.yaml"}}
LINKED = {"class_type": "MPVG_Storyboard", "inputs": {"text": ["1", 0]}}


def test_the_graph_of_an_installed_package_is_the_one_shown_among_the_workflows():
    assert packaged_graph().nodes == json.loads(SHOWN.read_text("utf-8"))


def test_a_board_that_is_put_into_a_graph_reads_back_as_it_was(tmp_path):
    file = tmp_path / "the_chase.txt"
    file.write_text("A cat runs.\nA dog runs: after it.\n", "utf-8")
    board = read_storyboard(file)
    graph = packaged_graph()
    text = graph.filled(board)[graph.board]["inputs"]["text"]
    assert parse_storyboard(text, "storyboard") == board
    assert board.title == "the chase", "the server knows nothing of the file's name"


def test_filling_a_graph_leaves_it_as_it_was_for_the_next_board():
    graph = packaged_graph()
    before = json.dumps(graph.nodes)
    graph.filled(parse_storyboard("A cat runs.\n"))
    assert json.dumps(graph.nodes) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ("[]", "is no graph"),
        ('{"1": {"inputs": {}}}', "is no graph"),
        (json.dumps({"nodes": [], "links": []}), "as the page saves it; expected API format"),
        (json.dumps({"1": {"class_type": "SaveImage", "inputs": {}}}), "has no storyboard node"),
        (json.dumps({"1": LOADED}), "in place of Load Storyboard"),
        (json.dumps({"1": BOARD, "7": BOARD}), "has 2 storyboard nodes (1, 7)"),
        (json.dumps({"2": LINKED}), "node 2: the storyboard's text comes from another node"),
    ],
    ids=["not JSON", "a list", "no class", "of the page", "no board", "a loaded board", "two boards", "a linked text"],
)
def test_a_graph_that_cannot_film_a_board_is_refused_with_its_file_and_the_reason(tmp_path, text, expected):
    file = tmp_path / "graph.json"
    file.write_text(text, "utf-8")
    with pytest.raises(InputError) as refused:
        read_graph(file)
    assert str(refused.value).startswith(f"{file}: ") and expected in str(refused.value)


def test_a_graph_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_graph(tmp_path / "nowhere.json")
