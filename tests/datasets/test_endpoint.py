"""Captions from an OpenAI-compatible server."""

from __future__ import annotations

import base64
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mpvg_core.datasets.describe import CaptionRefused
from mpvg_core.datasets.endpoint import TRIES, Endpoint
from mpvg_core.datasets.pool import Stopped
from mpvg_core.errors import InputError, MPVGError

KEY = "sk-very-secret"
BUSY = (503, {}, "busy")


@pytest.fixture
def ask(endpoint):
    pauses: list[float] = []

    def ask(*earlier: str, key: str | None = KEY):
        captioner = Endpoint(endpoint.url, "see-1", key, sleep=pauses.append)
        pictures = [np.full((600, 1200, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255))]
        return captioner.describe(pictures, earlier)

    ask.pauses = pauses
    return ask


def test_the_pictures_go_along_as_small_data_urls(endpoint, ask):
    assert ask() == "Actor 1 is in picture 1."
    (body,) = endpoint.asked
    assert endpoint.paths == ["/v1/chat/completions"] and body["model"] == "see-1"
    text, *images = body["messages"][0]["content"]
    assert text["type"] == "text" and "one sentence" in text["text"] and "before" not in text["text"]
    for image, colour in zip(images, ((255, 0, 0), (0, 0, 255)), strict=True):
        head, data = image["image_url"]["url"].split(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (512, 256)
            assert np.abs(np.asarray(picture).mean((0, 1)) - colour).max() < 4


def test_earlier_captions_are_told_so_that_actors_keep_their_names(endpoint, ask):
    ask("Actor 1 runs.", "Actor 2 sleeps.")
    text = endpoint.asked[0]["messages"][0]["content"][0]["text"]
    assert text.endswith("The scenes before it:\n- Actor 1 runs.\n- Actor 2 sleeps.")


def test_the_key_is_in_the_header_alone_and_not_needed(endpoint, ask):
    ask()
    ask(key=None)
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}" and "Authorization" not in endpoint.headers[1]
    assert KEY not in str(endpoint.asked)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again_with_growing_pauses(endpoint, ask, status):
    endpoint.faults = [(status, {}, "busy")] * 3
    assert ask() == "Actor 1 is in picture 1."
    first, second, third = ask.pauses
    assert 0.8 <= first <= 1.2 and 1.6 <= second <= 2.4 and 3.2 <= third <= 4.8


def test_the_pause_is_the_one_that_the_server_asks_for(endpoint, ask):
    endpoint.faults = [(429, {"Retry-After": "7"}, ""), (429, {"Retry-After": "9999"}, "")]
    ask()
    assert ask.pauses == [7.0, 60.0]


def test_a_server_that_stays_busy_ends_the_tries(endpoint, ask):
    endpoint.faults = [BUSY] * TRIES
    with pytest.raises(MPVGError, match=rf"gave no caption in {TRIES} tries \(HTTP 503: busy\)") as failure:
        ask()
    assert not isinstance(failure.value, CaptionRefused) and len(ask.pauses) == TRIES - 1


def test_a_build_that_ends_does_not_wait_for_the_next_try(endpoint):
    endpoint.faults = [(429, {"Retry-After": "60"}, "")]
    captioner = Endpoint(endpoint.url, "see-1", KEY)
    threading.Timer(0.3, captioner.stop).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        captioner.describe([np.zeros((8, 8, 3), np.uint8)], ())
    assert time.monotonic() - started < 30


def test_a_server_that_is_not_there_is_an_error_of_one_line(endpoint, ask):
    endpoint.stop()
    with pytest.raises(MPVGError, match="gave no caption") as failure:
        ask()
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_address_is_not_tried_again(endpoint, ask, status):
    endpoint.faults = [(status, {}, f'{{"error": {{"message": "no {KEY} here"}}}}')]
    with pytest.raises(MPVGError, match=rf"gives no captions \(HTTP {status}: no … here\)") as failure:
        ask()
    assert not isinstance(failure.value, CaptionRefused)
    assert ask.pauses == [] and KEY not in str(failure.value)


def test_a_clip_that_the_server_refuses_is_that_clips_fault(endpoint, ask):
    endpoint.faults = [(400, {}, '{"error": "not this picture"}')]
    with pytest.raises(CaptionRefused, match="not this picture"):
        ask()
    endpoint.say = lambda number: " "
    with pytest.raises(CaptionRefused, match="said nothing"):
        ask()


def test_the_key_never_follows_a_redirect(endpoint, ask):
    endpoint.faults = [(307, {"Location": endpoint.url + "/elsewhere"}, "")]
    with pytest.raises(MPVGError, match="HTTP 307"):
        ask()
    assert endpoint.paths == ["/v1/chat/completions"]


@pytest.mark.parametrize("raw", ["<html>", '{"choices": []}', "[]", '{"choices": [{"message": null}]}'])
def test_an_answer_of_another_kind_is_an_error_that_shows_it(endpoint, ask, raw):
    endpoint.raw = raw
    with pytest.raises(MPVGError, match="does not answer as a chat endpoint does"):
        ask()


@pytest.mark.parametrize("url", ["host/v1", "ftp://host", "http://", "https://me:pass@host/v1", "http://host/v1?key=1"])
def test_an_address_that_is_none_or_holds_a_secret_is_refused_unshown(url):
    with pytest.raises(InputError, match="--endpoint") as failure:
        Endpoint(url, "m", None)
    assert "pass@" not in str(failure.value)


def test_the_whole_address_may_be_given_too(endpoint):
    Endpoint(f"{endpoint.url}/chat/completions/", "m", None).describe([np.zeros((8, 8, 3), np.uint8)], ())
    assert endpoint.paths == ["/v1/chat/completions"]


def test_captions_are_told_apart_by_model_and_instruction_and_not_by_address():
    names = {Endpoint(f"http://{host}/v1", "m", KEY).name for host in ("a", "b")}
    assert len(names) == 1
    assert Endpoint("http://a", "n", None).name not in names
    assert Endpoint("http://a", "m", None, instruction="x").name not in names and KEY not in str(names)
