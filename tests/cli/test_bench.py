"""`mpvg bench history` and `mpvg pocket evaluate`, on the shipped model with very few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpvg_core.cli.main import app

SMALL = ["--actors", "2", "--long-shots", "2", "--threads", "1"]


def test_the_bench_prints_a_table_and_leaves_sheets_and_json(tmp_path: Path) -> None:
    out = tmp_path / "bench"
    result = CliRunner().invoke(app, ["bench", "history", *SMALL, "--steps", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "| history on | " in result.stdout
    figures = json.loads((out / "figures.json").read_text("utf-8"))
    assert figures["settings"]["steps"] == 1
    assert figures["settings"]["model"] == "pocket"
    assert figures["figures"]["history on"]["place"]["n"] == 2
    assert {"history-on.png", "history-off.png", "shuffled-history.png", "w2-4.png"} <= {f.name for f in out.iterdir()}


def test_a_model_without_an_adapter_is_refused_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "history", "--adapter", str(tmp_path / "none.safetensors")])
    assert result.exit_code == 2
    assert "none.safetensors is not there" in result.output


@pytest.mark.parametrize("option", [["--actors", "1"], ["--long-shots", "17"]])
def test_numbers_out_of_range_are_refused(option: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", "history", *option]).exit_code == 2
