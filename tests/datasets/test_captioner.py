"""Captions from a model behind an endpoint."""

from __future__ import annotations

import base64
import io
import threading
import time

import numpy as np
import pytest
from chat_server import Answer, said
from PIL import Image

from mpvg_core.datasets.captioner import TRIES, EndpointCaptioner
from mpvg_core.datasets.describe import CaptionRefused
from mpvg_core.datasets.pool import Stopped
from mpvg_core.errors import InputError, MPVGError

BUSY = Answer(503, {"error": "busy"})
WORDS = said("Actor 1 runs.")
COLOURS = ((255, 0, 0), (0, 0, 255))
PICTURES = [np.full((600, 1200, 3), colour, np.uint8) for colour in COLOURS]


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def ask(pauses):
    def ask_with(server, *earlier):
        captioner = EndpointCaptioner(server.address, "see-1", "OPENAI_API_KEY", sleep=pauses.append)
        return captioner.describe(PICTURES, earlier)

    return ask_with


def test_the_pictures_go_along_as_small_data_urls(serve, ask):
    server = serve(WORDS)
    assert ask(server) == "Actor 1 runs."
    (body,) = server.asked
    assert body["model"] == "see-1"
    text, *images = body["messages"][0]["content"]
    assert text["type"] == "text" and "one sentence" in text["text"] and "before" not in text["text"]
    for image, colour in zip(images, COLOURS, strict=True):
        head, data = image["image_url"]["url"].split(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (512, 256)
            assert np.abs(np.asarray(picture).mean((0, 1)) - colour).max() < 4


def test_earlier_captions_are_told_so_that_actors_keep_their_names(serve, ask):
    server = serve(WORDS)
    ask(server, "Actor 1 runs.", "Actor 2 sleeps.")
    text = server.asked[0]["messages"][0]["content"][0]["text"]
    assert text.endswith("The scenes before it:\n- Actor 1 runs.\n- Actor 2 sleeps.")


def test_a_server_that_stays_busy_ends_the_build_and_says_that_it_can_go_on(serve, ask, pauses):
    server = serve(BUSY)
    with pytest.raises(MPVGError, match=rf"{TRIES} tries: HTTP 503: busy.*the same command goes on") as failure:
        ask(server)
    assert not isinstance(failure.value, InputError | CaptionRefused)
    assert len(server.asked) == TRIES and len(pauses) == TRIES - 1


def test_a_build_that_ends_does_not_wait_for_the_next_try(serve):
    captioner = EndpointCaptioner(serve(Answer(429, {}, {"Retry-After": "60"})).address, "see-1", "OPENAI_API_KEY")
    threading.Timer(0.3, captioner.stop).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        captioner.describe(PICTURES, ())
    assert time.monotonic() - started < 30


def test_a_wrong_key_ends_the_build_and_is_not_tried_again(serve, ask, pauses):
    with pytest.raises(InputError, match="HTTP 401"):
        ask(serve(Answer(401, {})))
    assert pauses == []


@pytest.mark.parametrize("answer", [Answer(400, {"error": "not this picture"}), said(" ")], ids=["400", "nothing"])
def test_a_clip_that_the_server_refuses_is_that_clips_fault(serve, ask, answer):
    with pytest.raises(CaptionRefused, match=r"not this picture|replied nothing"):
        ask(serve(answer))


def test_an_address_that_is_none_is_refused_before_anything_is_cut():
    with pytest.raises(InputError, match="'host/v1' is no web address"):
        EndpointCaptioner("host/v1", "m", "OPENAI_API_KEY")


def test_a_key_that_no_header_can_carry_is_refused_before_anything_is_cut(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-one\nsk-two")
    with pytest.raises(InputError, match="MY_KEY") as failure:
        EndpointCaptioner("http://host/v1", "m", "MY_KEY")
    assert "sk-" not in str(failure.value)


def test_captions_are_told_apart_by_model_and_instruction_and_not_by_address():
    names = {EndpointCaptioner(f"http://{host}/v1", "m", "KEY").name for host in ("a", "b")}
    assert len(names) == 1
    assert EndpointCaptioner("http://a", "n", "KEY").name not in names
    assert EndpointCaptioner("http://a", "m", "KEY", instruction="x").name not in names
