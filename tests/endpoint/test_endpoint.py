"""A chat with an endpoint: what it is asked, what may pass is tried again, and the key stays where it belongs."""

from __future__ import annotations

import pytest
from chat_server import Answer, said

from mpvg_core.endpoint import RequestRefused, chat
from mpvg_core.errors import InputError, MPVGError

HELLO = [{"role": "user", "content": "hello"}]
KEY = "sk-secret-123"


@pytest.fixture
def waited():
    return []


@pytest.fixture
def ask(waited):
    def ask_with(server, **options):
        return chat(HELLO, endpoint=server.address, model="writer", **{"sleep": waited.append, **options})

    return ask_with


def error(status, message="no", **headers):
    return Answer(status, {"error": {"message": message}}, headers)


def test_the_reply_comes_back_without_white_space_around_it(serve, ask):
    server = serve(said("  a boat \n"))
    assert ask(server, options={"temperature": 0.2}) == "a boat"
    assert server.asked == [{"temperature": 0.2, "model": "writer", "messages": HELLO}]
    assert server.paths == ["/v1/chat/completions"]
    assert "Authorization" not in server.headers[0]


def test_an_address_that_names_the_whole_path_is_not_lengthened(serve):
    server = serve(said("yes"))
    chat(HELLO, endpoint=server.address + "/chat/completions?api-version=1", model="m")
    assert server.paths == ["/v1/chat/completions?api-version=1"]


def test_a_reply_in_parts_is_joined(serve, ask):
    assert ask(serve(said([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]))) == "one two"


def test_the_key_is_sent_from_the_environment_variable_that_is_named(serve, ask, monkeypatch):
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    server = serve(said("yes"))
    ask(server, key_env="MY_KEY")
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("answer", [error(401, f"bad key {KEY}"), error(400, f"bad {KEY}"), error(503, f"{KEY} waits")])
def test_no_message_shows_the_key_even_where_the_server_repeats_it(serve, ask, monkeypatch, answer):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(MPVGError, match=r"\*\*\*") as failed:
        ask(serve(answer))
    assert KEY not in str(failed.value)
    assert failed.value.__cause__ is None


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(serve, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one\nsk-two")
    server = serve(said("yes"))
    with pytest.raises(InputError, match="OPENAI_API_KEY") as failed:
        ask(server)
    assert "sk-" not in str(failed.value) and not server.asked


def test_a_redirect_is_not_followed(serve, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    other = serve(said("stolen"))
    with pytest.raises(InputError, match="leads elsewhere"):
        ask(serve(Answer(302, {}, {"Location": other.address})))
    assert not other.asked


@pytest.mark.parametrize("passing", [error(429), error(503), Answer(hang_up=True)], ids=["429", "503", "hangs up"])
def test_what_passes_is_tried_again_with_growing_pauses(serve, ask, waited, passing):
    server = serve(passing, passing, said("at last"))
    assert ask(server) == "at last"
    assert len(server.asked) == 3
    assert 0.8 <= waited[0] <= 1.2 < 1.6 <= waited[1] <= 2.4


def test_the_pause_is_what_the_server_asks_for_but_at_most_a_minute(serve, ask, waited):
    ask(serve(error(429, **{"Retry-After": "7"}), error(429, **{"Retry-After": "9999"}), said("yes")))
    assert waited == [7.0, 60.0]


def test_after_the_last_try_the_reason_is_told(serve, ask, waited):
    server = serve(error(503, "busy"))
    with pytest.raises(MPVGError, match=r"3 tries: HTTP 503: busy"):
        ask(server)
    assert len(server.asked) == 3 and len(waited) == 2


def test_a_server_that_is_not_there_is_named(ask, serve):
    server = serve(said("yes"))
    server.stop()
    with pytest.raises(MPVGError, match=rf"{server.address} gave no answer in one try: .*refused"):
        ask(server, retries=0)


@pytest.mark.parametrize("slow", [Answer(body={}, wait=1.0), Answer(body=b"x" * 100, trickle=0.02)])
def test_a_silent_and_a_trickling_server_are_both_given_up_in_time(serve, ask, slow):
    with pytest.raises(MPVGError, match=r"no whole answer within 0\.2 s"):
        ask(serve(slow), timeout=0.2, retries=0)


@pytest.mark.parametrize(("status", "remedy"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "ends in /v1")])
def test_what_another_key_or_address_mends_is_wrong_input_and_asked_once(serve, ask, status, remedy):
    server = serve(error(status, "no such thing"))
    with pytest.raises(InputError, match=rf"HTTP {status}: no such thing.*{remedy}"):
        ask(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(400, "too long"), "HTTP 400: too long"),
        (said(""), "replied nothing"),
        (said(None, refusal="I cannot"), "I cannot"),
        (Answer(body={"choices": [{"finish_reason": "length", "message": {"content": "{"}}]}), "cut off"),
    ],
)
def test_a_request_that_is_refused_is_told_apart(serve, ask, answer, reason):
    with pytest.raises(RequestRefused, match=reason):
        ask(serve(answer))


@pytest.mark.parametrize("body", [b"<html>hello", {"choices": []}, {"choices": [{"message": "x"}]}, [], b"\xff\xfe"])
def test_an_answer_of_another_kind_of_server_is_refused(serve, ask, body):
    with pytest.raises(MPVGError, match="does not answer as a chat endpoint does"):
        ask(serve(Answer(body=body)))


@pytest.mark.parametrize(
    "address",
    ["localhost:8000", "ftp://host/v1", "file:///etc/passwd", "http://", "http://host:99999/v1", "http://a b/v1", ""],
)
def test_what_is_no_web_address_is_refused_before_anything_is_sent(address):
    with pytest.raises(InputError, match="no web address"):
        chat(HELLO, endpoint=address, model="m")


def test_a_password_in_the_address_is_refused_and_not_shown():
    with pytest.raises(InputError, match="user name or password") as failed:
        chat(HELLO, endpoint="https://me:hush@host/v1", model="m")
    assert "hush" not in str(failed.value)
