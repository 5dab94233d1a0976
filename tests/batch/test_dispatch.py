"""Boards on servers that work, vanish, refuse, fail, keep silent or come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fake_comfy import FILM, SHEET, FakeComfy, lines

from mpvg_core.batch.dispatch import Dispatch
from mpvg_core.batch.fetch import fetch_films
from mpvg_core.batch.job import Job, News, Outcome
from mpvg_core.batch.messages import MadeFile
from mpvg_core.batch.server import Server, server_url
from mpvg_core.errors import InputError, MPVGError


class Office:
    """Dispatches boards into a folder, with little patience."""

    def __init__(self, folder: Path) -> None:
        self.out, self.scratch = folder / "out", folder / "scratch"
        self.scratch.mkdir()
        self.news: list[News] = []

    def film(
        self, boards: int, *servers: FakeComfy | str, tries: int = 3, timeout: float = 2.0, cancel_when: Any = None
    ) -> tuple[Outcome, ...]:
        # A rule that is broken must fail its test, not hang it.
        return asyncio.run(asyncio.wait_for(self._film(boards, servers, tries, timeout, cancel_when), 30))

    async def _film(self, boards: int, servers: Any, tries: int, timeout: float, cancel_when: Any) -> Any:
        async with aiohttp.ClientSession() as session:
            addresses = [server if isinstance(server, str) else server.address for server in servers]
            reached = [Server(address, session, timeout) for address in addresses]
            jobs = [Job(f"Board {n}", f"board-{n}", {"2": {"inputs": {"text": str(n)}}}) for n in range(boards)]
            dispatch = Dispatch(
                jobs,
                reached,
                self.out,
                self.scratch,
                tries=tries,
                timeout=timeout,
                pause=0.05,
                on_news=self.news.append,
            )
            running = asyncio.create_task(dispatch.run())
            while cancel_when is not None and not running.done():
                await asyncio.sleep(0.01)
                if cancel_when():
                    running.cancel()
                    break
            with suppress(asyncio.CancelledError):
                await running
            return dispatch.outcomes

    def said(self, kind: str) -> list[str]:
        return [news.text for news in self.news if news.kind == kind]

    def files(self) -> dict[str, bytes]:
        found = (file for file in self.out.rglob("*") if file.is_file())
        return {file.relative_to(self.out).as_posix(): file.read_bytes() for file in found}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


Comfy = Callable[[], FakeComfy]


def ends(outcomes: tuple[Outcome, ...]) -> list[str]:
    return [outcome.end for outcome in outcomes]


def nowhere() -> str:
    fake = FakeComfy()
    fake._listener.close()
    fake._loop.close()
    return fake.address


def test_films_and_contact_sheets_come_home_whole_each_board_in_a_folder_of_its_own(office: Office, comfy: Comfy):
    outcomes = office.film(2, comfy(), comfy())
    assert ends(outcomes) == ["filmed", "filmed"]
    films = {f"board-{n}/film.mp4": FILM for n in range(2)}
    assert office.files() == {**films, **{f"board-{n}/contact.png": SHEET for n in range(2)}}
    assert not list(office.scratch.iterdir())


def test_two_boards_go_to_two_servers(office: Office, comfy: Comfy):
    one, other = comfy(), comfy()
    outcomes = office.film(2, one, other)
    assert (len(one.posted), len(other.posted)) == (1, 1)
    assert {outcome.server for outcome in outcomes} == {one.address, other.address}


def test_the_least_busy_server_gets_the_board(office: Office, comfy: Comfy):
    busy, free = comfy(), comfy()
    busy.foreign = [[0, "of another", {}, {}, []]]
    office.film(1, busy, free)
    assert (len(busy.posted), len(free.posted)) == (0, 1)


def test_a_server_has_one_board_at_a_time(office: Office, comfy: Comfy):
    one, other = comfy(), comfy()
    outcomes = office.film(5, one, other)
    assert ends(outcomes) == ["filmed"] * 5
    assert (one.most_at_once, other.most_at_once) == (1, 1)
    assert len(one.posted) >= 2 and len(other.posted) >= 2, "both work until all is done"


def test_progress_is_told_with_shot_step_and_time_left(office: Office, comfy: Comfy):
    office.film(1, comfy())
    assert office.said("line") == lines()


def test_a_board_whose_server_vanishes_in_mid_film_is_filmed_by_another(office: Office, comfy: Comfy):
    dying, living = comfy(), comfy()
    dying.vanishes_at = 2
    outcomes = office.film(2, dying, living)
    assert ends(outcomes) == ["filmed", "filmed"]
    assert {outcome.server for outcome in outcomes} == {living.address}
    (gone,) = [news for news in office.news if news.kind == "gone"]
    assert gone.server == dying.address


def test_a_server_that_cannot_be_reached_is_left_out(office: Office, comfy: Comfy):
    living = comfy()
    assert ends(office.film(2, nowhere(), living)) == ["filmed", "filmed"]
    assert len(living.posted) == 2


def test_when_no_server_can_be_reached_that_is_said_at_once(office: Office):
    address = nowhere()
    with pytest.raises(MPVGError, match=f"no server answers: {address} cannot be reached"):
        office.film(1, address, timeout=60)


def test_a_server_with_a_fault_of_its_own_loses_the_board_to_another(office: Office, comfy: Comfy):
    broken, sound = comfy(), comfy()
    broken.post_status = 500
    (outcome,) = office.film(1, broken, sound)
    assert (outcome.end, outcome.server) == ("filmed", sound.address)
    assert len(broken.posted) == 1 and "HTTP 500" in office.said("gone")[0]


def test_a_board_is_not_given_to_a_server_that_lost_it_while_another_is_only_busy(office: Office, comfy: Comfy):
    broken, slow = comfy(), comfy()
    broken.post_status, slow.pace = 500, 0.1
    outcomes = office.film(2, broken, slow, tries=2)
    assert ends(outcomes) == ["filmed", "filmed"]
    assert len(broken.posted) == 1


def test_a_server_that_falls_silent_loses_its_board_after_the_timeout(office: Office, comfy: Comfy):
    silent, living = comfy(), comfy()
    silent.mute_at = 1
    (outcome,) = office.film(1, silent, living, timeout=0.6)
    assert (outcome.end, outcome.server) == ("filmed", living.address)
    assert "does not answer" in office.said("gone")[0]


def test_a_server_that_is_slow_but_answers_keeps_its_board(office: Office, comfy: Comfy):
    slow, other = comfy(), comfy()
    slow.lines, slow.pace = lines()[:2], 1.0
    (outcome,) = office.film(1, slow, other, timeout=0.4)
    assert (outcome.end, outcome.server, other.posted) == ("filmed", slow.address, [])


def test_a_server_that_no_longer_knows_the_film_loses_it(office: Office, comfy: Comfy):
    forgetful, other = comfy(), comfy()
    forgetful.forgets_at = 1
    (outcome,) = office.film(1, forgetful, other, timeout=0.4)
    assert (outcome.end, outcome.server) == ("filmed", other.address)
    assert "no longer knows" in office.said("gone")[0]


def test_a_board_is_given_up_after_so_many_tries(office: Office, comfy: Comfy):
    broken = comfy()
    broken.post_status = 503
    (outcome,) = office.film(1, broken, tries=3)
    assert (outcome.end, len(broken.posted)) == ("given up", 3)
    assert "HTTP 503" in outcome.reason


def test_the_only_server_may_come_back_and_films_on(office: Office, comfy: Comfy):
    only = comfy()
    only.vanishes_at = 2

    def restart() -> None:
        only.wait_for(lambda: only.gone)
        only.come_back()

    other = threading.Thread(target=restart)
    other.start()
    (outcome,) = office.film(1, only, timeout=10)
    other.join()
    assert outcome.end == "filmed" and len(only.posted) == 2


def test_boards_are_given_up_when_the_last_server_stays_away(office: Office, comfy: Comfy):
    only = comfy()
    only.vanishes_at = 0
    outcomes = office.film(2, only, timeout=0.4)
    assert ends(outcomes) == ["given up", "given up"]
    assert "no server is left" in outcomes[0].reason and only.address in outcomes[0].reason


def test_a_refused_board_is_said_with_node_and_reason_and_not_tried_again(office: Office, comfy: Comfy):
    strict, other = comfy(), comfy()
    fault = {"errors": [{"message": "Value not in list", "details": "model: 'x'"}], "class_type": "MPVG_LoadModel"}
    strict.refuses = {"error": {"message": "failed"}, "node_errors": {"1": fault}}
    other.foreign = [[0, "of another", {}, {}, []]]
    (outcome,) = office.film(1, strict, other)
    assert (outcome.end, outcome.reason) == ("refused", "node 1 (MPVG_LoadModel): Value not in list: model: 'x'")
    assert len(strict.posted) == 1 and not other.posted


def test_a_graph_that_is_accepted_only_in_part_is_taken_back_as_refused(office: Office, comfy: Comfy):
    lax = comfy()
    lax.warns = {"4": {"errors": [{"message": "Too long", "details": "x"}], "class_type": "MPVG_AssembleFilm"}}
    lax.pace = 0.2
    (outcome,) = office.film(1, lax)
    assert (outcome.end, outcome.reason) == ("refused", "node 4 (MPVG_AssembleFilm): Too long: x")
    assert lax.interrupted == lax.ids


def test_a_board_that_fails_says_so_in_one_line_and_the_others_go_on(office: Office, comfy: Comfy):
    failing, sound = comfy(), comfy()
    message = "shot 1: the prompt is too long\nshorten it"
    failing.fails = {"node_id": "3", "node_type": "MPVG_FilmStoryboard", "exception_message": message}
    sound.pace = 0.05
    outcomes = office.film(2, failing, sound)
    assert ends(outcomes) == ["failed", "filmed"]
    assert outcomes[0].reason == "node 3 (MPVG_FilmStoryboard): shot 1: the prompt is too long shorten it"
    assert len(failing.posted) == 1 and set(office.files()) == {"board-1/film.mp4", "board-1/contact.png"}


def test_a_film_that_someone_else_stops_is_not_tried_again(office: Office, comfy: Comfy):
    stopped = comfy()
    stopped.interrupts_itself = True
    (outcome,) = office.film(1, stopped)
    assert outcome.end == "failed" and "interrupted" in outcome.reason and len(stopped.posted) == 1


def test_a_graph_that_makes_no_file_has_failed(office: Office, comfy: Comfy):
    empty = comfy()
    empty.made = {}
    (outcome,) = office.film(1, empty)
    assert outcome.end == "failed" and "made no file" in outcome.reason


def test_a_download_that_breaks_off_leaves_nothing_and_is_made_again(office: Office, comfy: Comfy):
    cut = comfy()
    cut.cuts_downloads = 1
    (outcome,) = office.film(1, cut, tries=1)
    assert outcome.end == "given up"
    assert office.files() == {} and not list(office.scratch.iterdir())
    (outcome,) = office.film(1, cut, tries=1)
    assert outcome.end == "filmed" and office.files()["board-0/film.mp4"] == FILM


def test_a_cancel_interrupts_the_own_film_and_begins_no_other(office: Office, comfy: Comfy):
    server = comfy()
    server.pace = 0.1
    outcomes = office.film(2, server, cancel_when=lambda: office.said("line"))
    assert server.interrupted == server.ids and len(server.ids) == 1
    assert ends(outcomes) == ["stopped", "not begun"]


def test_a_cancel_leaves_the_films_of_others_alone(office: Office, comfy: Comfy):
    shared = comfy()
    shared.foreign = [[0, "of another", {}, {}, []]]
    outcomes = office.film(1, shared, cancel_when=lambda: shared.posted)
    assert ends(outcomes) == ["stopped"]
    assert shared.deleted == shared.ids and shared.interrupted == []
    assert not shared._own and len(shared.foreign) == 1


def test_a_cancel_keeps_the_films_that_are_home(office: Office, comfy: Comfy):
    server = comfy()
    outcomes = office.film(2, server, cancel_when=lambda: (office.out / "board-0" / "film.mp4").exists())
    assert outcomes[0].end == "filmed" and outcomes[1].end in ("stopped", "not begun")
    assert office.files()["board-0/film.mp4"] == FILM


def test_files_of_one_name_are_numbered_and_none_leads_out_of_the_folder(office: Office):
    class Giver:
        async def download(self, file: MadeFile, target: Path) -> None:
            target.write_text(file.subfolder)

    files = tuple(MadeFile(name, folder) for name, folder in [("film.mp4", "a"), ("film.mp4", "b"), ("../x.mp4", "c")])
    made = asyncio.run(fetch_films(Giver(), files, office.out, office.scratch))  # type: ignore[arg-type]
    assert [file.read_text() for file in made] == ["a", "b", "c"]
    assert [file.name for file in made] == ["film.mp4", "film-2.mp4", "x.mp4"]
    assert {file.parent for file in made} == {office.out}


@pytest.mark.parametrize("address", ["", "ftp://host", "http://", "http://host:99999", "http://host/?a=b"])
def test_what_is_no_address_of_a_server_is_refused(address: str):
    with pytest.raises(InputError, match="is no address"):
        server_url(address)


def test_an_address_may_do_without_http_and_may_have_a_path():
    assert str(server_url("host:8188")) == "http://host:8188/"
    assert str(server_url("https://host/comfy") / "prompt") == "https://host/comfy/prompt"
