"""`mpvg write`: every provider, and nothing half-written whatever the model says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "endpoint"))

from chat_server import Answer, ChatServer, said

from mpvg_core.backbone.load import model_limits
from mpvg_core.cli.main import app
from mpvg_core.endpoint import chat
from mpvg_core.storyboard import plan_film, read_storyboard, require_known_words

GOOD = json.dumps(
    {
        "title": "The sea",
        "cast": [{"name": "Mia", "look": "a girl in red"}],
        "shots": [
            {"prompt": "Mia runs.", "layout": [{"entity": "Mia", "box": [0, 0, 0.5, 1]}]},
            {"prompt": "Mia sleeps."},
        ],
    }
)
BROKEN = GOOD.replace('"prompt"', '"promt"')


class Desk:
    """A folder, a server with a script, and `mpvg write` between them."""

    def __init__(self, folder):
        self.folder, self.board, self.server = folder, folder / "board.yaml", None

    def serve(self, *script):
        self.server = ChatServer(*script)
        return self.server

    def write(self, *words):
        return CliRunner().invoke(app, ["write", "a girl at the sea", "--out", str(self.board), *map(str, words)])

    def ask(self, *words):
        return self.write("--endpoint", self.server.address, "--model", "m", *words)

    @property
    def files(self):
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(chat, "__kwdefaults__", {**chat.__kwdefaults__, "sleep": lambda _: None})
    desk = Desk(tmp_path)
    yield desk
    if desk.server is not None:
        desk.server.stop()


def test_the_template_writes_a_board_that_the_pocket_films(desk):
    result = desk.write("--for", "pocket", "--shots", 5, "--layout", "--seed", 2)
    assert result.exit_code == 0 and result.stdout.strip() == str(desk.board)
    board, limits = read_storyboard(desk.board), model_limits("pocket")
    require_known_words(plan_film(board, limits), limits)
    assert len(board.shots) == 5 and board.seed == 2 and board.shots[0].layout


@pytest.mark.parametrize(
    "reply",
    [GOOD, f"```json\n{GOOD}\n```", f"Of course! {GOOD} I hope you like {{it}}."],
    ids=["bare", "fenced", "chatty"],
)
def test_a_reply_becomes_the_board_however_it_is_wrapped(desk, reply):
    server = desk.serve(said(reply))
    result = desk.ask("--shots", 2, "--layout")
    assert result.exit_code == 0, result.stderr
    assert [shot.prompt for shot in read_storyboard(desk.board).shots] == ["Mia runs.", "Mia sleeps."]
    assert desk.files == ["board.yaml"]
    assert len(server.asked) == 1 and server.asked[0]["model"] == "m"
    assert "exactly 2 shots" in server.asked[0]["messages"][-1]["content"]


def test_a_broken_reply_is_sent_back_once_and_its_mended_board_is_written(desk):
    server = desk.serve(said(BROKEN), said(GOOD))
    result = desk.ask()
    assert result.exit_code == 0 and "asking once more" in result.stderr
    assert "unknown key 'promt'" in server.asked[1]["messages"][-1]["content"]
    assert desk.files == ["board.yaml"]


def test_a_reply_that_stays_broken_leaves_no_board_but_its_words(desk):
    server = desk.serve(said(BROKEN), said("I give up."), said(GOOD))
    result = desk.ask()
    assert result.exit_code == 1 and len(server.asked) == 2
    assert "there is no JSON object in it" in result.stderr and "board.reply.txt" in result.stderr
    assert desk.files == ["board.reply.txt"]
    kept = (desk.folder / "board.reply.txt").read_text("utf-8")
    assert BROKEN in kept and "I give up." in kept


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (Answer(401, {"error": {"message": "who are you"}}), 2, "HTTP 401: who are you; put a valid key into .*MY_KEY"),
        (Answer(404, {"error": {"message": "no model m"}}), 2, "HTTP 404: no model m"),
        (Answer(500, {"error": "oops"}), 1, "3 tries: HTTP 500: oops"),
        (Answer(body={}, wait=1.0), 1, r"no whole answer within 0\.1 s"),
        (Answer(body=b"<html>"), 1, "does not answer as a chat endpoint does"),
    ],
    ids=["401", "404", "500", "timeout", "web page"],
)
def test_an_endpoint_that_fails_is_told_in_a_line_and_nothing_is_written(desk, answer, code, reason):
    desk.serve(answer)
    result = desk.ask("--key-env", "MY_KEY", "--timeout", 0.1)
    assert result.exit_code == code
    assert re.search(reason, result.stderr), result.stderr
    assert desk.files == []


def test_the_key_goes_to_the_endpoint_and_nowhere_else(desk, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    server = desk.serve(said(BROKEN), said("no sk-secret"))
    result = desk.ask("--key-env", "MY_KEY")
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in result.output


def test_a_board_that_is_there_is_kept_unless_it_is_forced_and_no_model_is_asked_before(desk):
    server = desk.serve(said(GOOD))
    desk.board.write_text("mine", "utf-8")
    result = desk.ask()
    assert result.exit_code == 2 and "is there already" in result.stderr
    assert desk.board.read_text("utf-8") == "mine" and not server.asked
    assert desk.ask("--force").exit_code == 0
    assert read_storyboard(desk.board).title == "The sea"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--provider", "openai"), "--endpoint: is missing"),
        (("--provider", "openai", "--endpoint", "http://x/v1"), "--model: is missing"),
        (("--provider", "local"), "--llm: is missing"),
        (("--provider", "template", "--model", "m"), "--model: means nothing to --provider template"),
        (("--provider", "opanai"), "'opanai' is unknown"),
        (("--llm", "x", "--endpoint", "y"), "one of them"),
        (("--llm", "nowhere"), "nowhere is no folder"),
        (("--shots", "0"), "--shots: 0"),
        (("--for", "nowhere"), "no such model folder"),
        (("--endpoint", "nowhere", "--model", "m"), "'nowhere' is no web address"),
    ],
)
def test_options_that_do_not_fit_are_refused(desk, words, reason):
    result = desk.write(*words)
    assert result.exit_code == 2 and reason in result.stderr, result.stderr
    assert desk.files == []


def test_a_place_that_no_board_can_be_written_to_is_refused(desk):
    for out, reason in [("none/board.yaml", "no folder"), ("board.txt", "no YAML file"), (".", "is a folder")]:
        result = CliRunner().invoke(app, ["write", "x", "--out", str(desk.folder / out)])
        assert result.exit_code == 2 and reason in result.stderr
    assert desk.files == []
