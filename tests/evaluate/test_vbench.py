"""The adapter to VBench, with a fake in its place: it has never been run against the real one here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.evaluate.vbench import DIMENSIONS, run_vbench


@pytest.fixture
def clips(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    return {"dawn": tmp_path / "one.mp4", "storm": tmp_path / "two.mp4"}


def install(monkeypatch, results):
    """A module named vbench whose VBench writes what `results` makes of the clips and dimensions it was given."""
    seen = {}

    class VBench:
        def __init__(self, device, full_info_dir, output_path):
            seen.update(device=device, info=json.loads(Path(full_info_dir).read_text("utf-8")))
            self.folder = Path(output_path)

        def evaluate(self, videos_path, name, dimension_list, local, read_frame, mode):
            seen.update(mode=mode, clips=[file.read_bytes() for file in sorted(Path(videos_path).iterdir())])
            files = [str(file) for file in sorted(Path(videos_path).iterdir())]
            found = {dimension: results(files, dimension) for dimension in dimension_list}
            (self.folder / f"{name}_eval_results.json").write_text(json.dumps(found), "utf-8")

    module = ModuleType("vbench")
    module.VBench = VBench
    monkeypatch.setitem(sys.modules, "vbench", module)
    return seen


def test_figures_come_back_under_the_names_of_the_shots(clips, monkeypatch):
    def rated(files, dimension):
        return [0.5, [{"video_path": file, "video_results": 0.1 * (1 + i)} for i, file in enumerate(files)]]

    seen = install(monkeypatch, rated)
    found = run_vbench(clips, ("dynamic_degree",), device="cpu")
    assert found == {"dynamic_degree": {"dawn": 0.1, "storm": 0.2}}
    assert seen == {"device": "cpu", "info": [], "mode": "custom_input", "clips": [b"one", b"two"]}


def test_a_result_of_another_shape_is_told_and_not_guessed(clips, monkeypatch):
    install(monkeypatch, lambda files, dimension: {"mean": 0.5})
    with pytest.raises(MPVGError, match="results for dynamic_degree cannot be read"):
        run_vbench(clips, ("dynamic_degree",))


def test_a_failure_of_vbench_is_told_in_its_words(clips, monkeypatch):
    def fails(files, dimension):
        raise RuntimeError("no CUDA device")

    install(monkeypatch, fails)
    with pytest.raises(MPVGError, match="vbench failed: RuntimeError: no CUDA device"):
        run_vbench(clips)


def test_without_vbench_the_error_says_how_to_install_it(clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "vbench", None)
    with pytest.raises(InputError, match="pip install vbench"):
        run_vbench(clips)


def test_dimensions_that_need_vbenchs_own_prompts_are_refused(clips):
    with pytest.raises(InputError, match="object_class cannot be rated"):
        run_vbench(clips, (*DIMENSIONS, "object_class"))
