"""`mpvg queue` on servers that speak as ComfyUI does."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "batch"))

from fake_comfy import FILM, FakeComfy
from rich.console import Console

from mpvg_core.batch.job import Job, News, Outcome
from mpvg_core.cli.queue_news import NewsDesk, table

BOARD = "title: {}\nshots:\n  - prompt: a red boat\n  - prompt: a green wave\n"


@pytest.fixture
def comfy():
    server = FakeComfy().start()
    yield server
    server.stop()


@pytest.fixture
def boards(tmp_path):
    files = [tmp_path / f"{name}.yaml" for name in ("dawn", "dusk")]
    for file in files:
        file.write_text(BOARD.format(file.stem.capitalize()), "utf-8")
    return files


def queue(desk, comfy, *words):
    return desk.mpvg("queue", "--server", comfy.address, "--out", desk.folder / "out", "--timeout", 5, *words)


def test_boards_are_filmed_and_the_table_says_where_they_are(desk, comfy, boards):
    result = queue(desk, comfy, *boards)
    assert result.exit_code == 0, result.stderr
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["board", "server", "outcome", "seconds", "file"]
    for row, name in zip(rows, ("Dawn", "Dusk"), strict=True):
        board, server, outcome, seconds, file = row.split()
        assert (board, server, outcome) == (name, comfy.address, "filmed") and float(seconds) > 0
        assert Path(file) == desk.folder / "out" / name.lower() / "film.mp4"
        assert Path(file).read_bytes() == FILM
    assert not list((desk.folder / "out").glob(".writing-*"))


def test_without_a_terminal_progress_comes_in_plain_lines(desk, comfy, boards):
    said = queue(desk, comfy, boards[0]).stderr.splitlines()
    where = f"Dawn on {comfy.address}: "
    assert said[:2] == [f"{where}queued", f"{where}shot 1 of 2, step 0 of 3, 0:00 left"]
    assert said[-1] == f"{where}filmed"


def test_the_board_is_in_the_storyboard_node_of_what_is_queued(desk, comfy, boards):
    queue(desk, comfy, boards[0])
    (posted,) = comfy.posted
    assert posted["prompt"]["2"]["class_type"] == "MPVG_Storyboard"
    assert "title: Dawn" in posted["prompt"]["2"]["inputs"]["text"]


def test_a_board_may_come_by_the_standard_input(desk, comfy):
    words = ["queue", "-", "--server", comfy.address, "--out", desk.folder / "out"]
    assert desk.mpvg(*words, stdin=BOARD.format("Noon")).exit_code == 0
    assert (desk.folder / "out" / "noon" / "film.mp4").read_bytes() == FILM


def test_a_workflow_of_ones_own_is_queued_instead(desk, comfy, boards):
    mine = desk.folder / "mine.json"
    mine.write_text(json.dumps({"9": {"class_type": "MPVG_Storyboard", "inputs": {"text": ""}}}), "utf-8")
    assert queue(desk, comfy, boards[0], "--workflow", mine).exit_code == 0
    (posted,) = comfy.posted
    assert list(posted["prompt"]) == ["9"] and "title: Dawn" in posted["prompt"]["9"]["inputs"]["text"]


def test_one_board_that_fails_makes_the_exit_code_1_and_stands_in_the_table(desk, comfy, boards):
    comfy.fails = {"node_id": "3", "node_type": "MPVG_FilmStoryboard", "exception_message": "out of\nmemory"}
    result = queue(desk, comfy, *boards)
    assert result.exit_code == 1
    rows = result.stdout.splitlines()[1:]
    assert len(rows) == 2 and all(row.endswith("node 3 (MPVG_FilmStoryboard): out of memory") for row in rows)


def test_problems_of_all_boards_and_of_the_workflow_are_said_before_anything_is_queued(desk, comfy, boards):
    boards[0].write_text("shots:\n  - promt: a cat\n", "utf-8")
    boards[1].write_text("", "utf-8")
    result = queue(desk, comfy, *boards, desk.board, desk.folder / "nowhere.yaml", "--workflow", desk.board)
    assert result.exit_code == 2 and result.stdout == "" and comfy.posted == []
    for part in (f"{boards[0]}:2", f"{boards[1]}: ", "nowhere.yaml: cannot be read", f"{desk.board}: is not JSON"):
        assert part in result.stderr


def test_two_boards_of_one_title_are_refused_since_they_share_a_folder(desk, comfy, boards):
    boards[1].write_text(BOARD.format("Dawn"), "utf-8")
    result = queue(desk, comfy, *boards)
    assert result.exit_code == 2 and comfy.posted == []
    assert f"{boards[1]}: the film is called 'Dawn', and so is that of {boards[0]}" in result.stderr


def test_a_server_that_is_not_there_is_one_line_and_exit_1(desk, comfy, boards):
    comfy.vanish()
    result = queue(desk, comfy, boards[0])
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"no server answers: {comfy.address}")


def test_a_wrong_address_is_refused(desk, boards):
    result = desk.mpvg("queue", boards[0], "--server", "ftp://host")
    assert result.exit_code == 2 and "'ftp://host' is no address" in result.stderr


def test_a_missing_extra_is_one_line_that_names_it(desk, boards, monkeypatch):
    for name in ("batch.server", "batch.fetch", "batch.dispatch"):
        monkeypatch.delitem(sys.modules, f"mpvg_core.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    result = desk.mpvg("queue", boards[0])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "aiohttp" in line and "mpvg[queue]" in line


def test_reading_boards_for_servers_loads_no_torch():
    code = "import sys, mpvg_core.batch.dispatch, mpvg_core.cli.queue; print([m for m in sys.modules if m == 'torch'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to the tests too")
def test_ctrl_c_takes_back_its_own_films_and_says_what_is_kept(desk, comfy, boards):
    comfy.pace = 0.2
    words = ["queue", *boards, "--server", comfy.address, "--out", desk.folder / "out"]
    command = [sys.executable, "-m", "mpvg_core", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        comfy.wait_for(lambda: comfy.posted, 60)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=30)
    assert running.returncode == 130, stderr
    assert comfy.interrupted == comfy.ids and len(comfy.ids) == 1
    assert [row.split()[0] for row in stdout.splitlines()] == ["board", "Dawn", "Dusk"]
    assert "stopped" in stdout and "not begun" in stdout
    assert "films that were done are kept in" in stderr and "Traceback" not in stderr


def shown(news: list[tuple[float, str]], **console) -> list[str]:
    stream, now = io.StringIO(), [0.0]
    job = Job("Dawn", "dawn", {})
    with NewsDesk(Console(file=stream, width=120, soft_wrap=True, **console), lambda: now[0]) as desk:
        for at, text in news:
            now[0] = at
            desk(News("line", job, "http://a", text))
    return stream.getvalue().splitlines()


def test_plain_lines_of_steps_come_every_two_seconds_and_all_others_always():
    said = shown([(0, "shot 1 of 2, dawn"), (0, "step 1 of 9"), (1, "step 2 of 9"), (1, "done"), (2, "step 3 of 9")])
    assert [line.removeprefix("Dawn on http://a: ") for line in said] == [
        "shot 1 of 2, dawn",
        "step 1 of 9",
        "done",
        "step 3 of 9",
    ]


def test_a_server_that_went_away_is_said_once_with_its_board():
    stream = io.StringIO()
    with NewsDesk(Console(file=stream, width=120, soft_wrap=True)) as desk:
        desk(News("gone", Job("Dawn", "dawn", {}), "http://a", "http://a does not answer"))
    assert stream.getvalue() == "Dawn: http://a does not answer; the board is queued anew\n"


def test_a_terminal_has_a_row_for_each_board():
    said = "\n".join(shown([(0, "shot 1 of 2, step 1 of 9, 0:08 left")], force_terminal=True))
    assert "Dawn on http://a: shot 1 of 2, step 1 of 9, 0:08 left" in said


def test_the_table_shows_the_film_and_not_the_contact_sheet():
    job = Job("夜", "夜", {})
    files = (Path("out/contact.png"), Path("out/film.mp4"))
    head, row, late = table([Outcome(job, "filmed", "http://a", 2.0, files), Outcome(job, "not begun")]).splitlines()
    assert row == "夜     http://a  filmed     2.0      out/film.mp4"
    assert late.split() == ["夜", "-", "not", "begun", "-", "-"] and head.startswith("board")
