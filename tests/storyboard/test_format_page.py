"""The page about the storyboard format says what the format is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mpvg_core.storyboard.method import METHODS
from mpvg_core.storyboard.model import Shot
from mpvg_core.storyboard.read import parse_storyboard

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "storyboard.md").read_text(encoding="utf-8")
EXAMPLES = {
    f"{path.name} {number}": block
    for path in (
        ROOT / "docs" / "storyboard.md",
        ROOT / "web" / "docs" / "MPVG_Storyboard.md",
        ROOT / "web" / "docs" / "MPVG_CogVideoXMultiSceneSampler.md",
    )
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
}


def settings_told(name: str) -> dict[str, str]:
    """The settings in a method's table, with their defaults as written."""
    table = PAGE.partition(f"\n**`{name}`**")[2].partition("\n**`")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    return {setting: default.strip("` ") for names, default in rows for setting in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("block", EXAMPLES.values(), ids=EXAMPLES)
def test_every_example_is_a_storyboard(block: str) -> None:
    assert parse_storyboard(block, "example.yaml").shots


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_told_with_all_its_settings_and_their_defaults(name: str) -> None:
    told, fields = settings_told(name), METHODS[name].model_fields
    assert set(told) == set(fields)
    for setting, field in fields.items():
        if isinstance(field.default, bool):
            assert told[setting] == ("on" if field.default else "off")
        elif isinstance(field.default, int | float):
            assert float(told[setting]) == field.default
        elif isinstance(field.default, tuple):
            assert [float(end) for end in told[setting].strip("[]").split(",")] == [*field.default]
        elif isinstance(field.default, str) and field.default:
            assert told[setting] == field.default
        elif field.is_required():
            assert told[setting] == "must be said"


def test_every_field_of_a_shot_is_told() -> None:
    assert {field for field in Shot.model_fields if field not in PAGE} == {"continues"}
