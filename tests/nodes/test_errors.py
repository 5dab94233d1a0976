"""How failures reach the artist: our own words as they are, everything else in words, cancel untouched."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import standin


def host_of(nodes: dict[str, Any]) -> Any:
    return sys.modules[f"{standin.PACK}.nodes.host"]


def folders_of(nodes: dict[str, Any]) -> Any:
    return sys.modules[f"{standin.PACK}.nodes.folders"]


def error_of(nodes: dict[str, Any]) -> Any:
    return sys.modules[f"{standin.PACK}.mpvg_core.errors"].MPVGError


def test_a_fault_of_a_library_is_told_in_words_and_keeps_its_cause(nodes: dict[str, Any]) -> None:
    @host_of(nodes).plain_words
    def fails() -> None:
        raise KeyError("attn1.to_q")

    with pytest.raises(error_of(nodes), match=r"KeyError: 'attn1\.to_q'\. This is a fault of MPVG") as told:
        fails()
    assert isinstance(told.value.__cause__, KeyError)


def test_our_own_errors_running_out_of_memory_and_cancel_pass_as_they_are(nodes: dict[str, Any]) -> None:
    host = host_of(nodes)
    for error in (error_of(nodes)("shot 2: too long"), MemoryError(), host.memory.InterruptProcessingException()):

        @host.plain_words
        def fails(raised: BaseException = error) -> None:
            raise raised

        with pytest.raises(type(error)) as told:
            fails()
        assert told.value is error


def test_a_bad_storyboard_is_told_before_anything_runs(nodes: dict[str, Any]) -> None:
    board = nodes["MPVG_Storyboard"]
    assert board.validate_inputs(text="Actor 1 runs.") is True
    assert board.validate_inputs(text=None) is True, "linked from another node: told when it runs"
    assert "'promt'" in board.validate_inputs(text="shots:\n  - promt: a cat\n")


def test_a_comfyui_that_is_too_old_is_refused_with_both_versions_in_the_message(
    nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["comfyui_version"], "__version__", "0.3.64")
    with pytest.raises(RuntimeError, match=r"MPVG needs ComfyUI 0\.14 or later and this is 0\.3\.64: update ComfyUI"):
        asyncio.run(sys.modules[standin.PACK].comfy_entrypoint())


@pytest.mark.parametrize("name", ["mpvg main (1)", "mpvg#2", "电影", "méthode", "100%"])
def test_a_folder_whose_name_comfyui_cannot_serve_is_told_in_the_log(
    nodes: dict[str, Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    folders_of(nodes).warn_of_folder_name(name)
    (line,) = caplog.messages
    assert repr(name) in line and "Rename the folder to 'mpvg'" in line


@pytest.mark.parametrize("name", ["mpvg-0.1.0", "mpvg@main"])
def test_a_folder_whose_help_pages_comfyui_cannot_find_is_told_in_the_log(
    nodes: dict[str, Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    folders_of(nodes).warn_of_folder_name(name)
    (line,) = caplog.messages
    assert repr(name) in line and "finds no help pages" in line and "Rename the folder to 'mpvg'" in line


@pytest.mark.parametrize("name", ["mpvg", "mpvg-main", "any_name", "mpvg_2~a(1)+b", "MPVG0,1;a=b&c'd!$*:"])
def test_a_folder_whose_name_comfyui_can_serve_is_not_worth_a_word(
    nodes: dict[str, Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    folders_of(nodes).warn_of_folder_name(name)
    assert not caplog.messages
