"""Every translation says all that the English has, and nothing that is gone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = sorted(folder.name for folder in (ROOT / "locales").iterdir() if folder.is_dir())


def wanted(schemas: dict[str, Any]) -> set[str]:
    """The key of every string that a page shows of a node."""
    keys = set()
    for id, schema in schemas.items():
        keys |= {f"{id}.display_name", f"{id}.description"}
        for slot in schema.inputs:
            keys |= {f"{id}.inputs.{slot.id}.name", f"{id}.inputs.{slot.id}.tooltip"}
        for index in range(len(schema.outputs)):
            keys |= {f"{id}.outputs.{index}.name", f"{id}.outputs.{index}.tooltip"}
    return keys


def slots_of_node(id: str, schema: Any, language: str) -> list[str]:
    """What the page should say of every input and output: its id, its name in the language, and its tooltip."""
    slots = [*schema.inputs, *schema.outputs]
    if language == "en":
        return [f"`{slot.id}`: {slot.options['tooltip']}" for slot in slots]
    told = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))[id]
    words = [*(told["inputs"][slot.id] for slot in schema.inputs), *told["outputs"].values()]
    return [f"`{slot.id}` {word['name']}：{word['tooltip']}" for slot, word in zip(slots, words, strict=True)]


def slots_of_page(text: str) -> list[str]:
    return re.findall(r"^- (`.+)$", text, re.MULTILINE)


def flat(value: Any, path: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {path: value}
    return {
        key: text
        for name, part in value.items()
        for key, text in flat(part, f"{path}.{name}" if path else name).items()
    }


def test_chinese_is_among_the_languages() -> None:
    assert "zh" in LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_every_string_of_every_node_and_no_other(language: str, schemas: dict[str, Any]) -> None:
    file = ROOT / "locales" / language / "nodeDefs.json"
    found = flat(json.loads(file.read_text(encoding="utf-8")))
    assert set(found) == wanted(schemas)
    assert all(text.strip() for text in found.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_panels_speak_the_language_too(language: str) -> None:
    script = (ROOT / "web" / "words.js").read_text(encoding="utf-8")
    tables = {
        name: set(re.findall(r'^    "?([a-z ]+)"?: "', body, re.MULTILINE))
        for name, body in re.findall(r"^  (\w+): \{\n(.*?)^  \},", script, re.MULTILINE | re.DOTALL)
    }
    assert tables["en"] and tables.get(language) == tables["en"]


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_every_node_has_a_help_page_that_says_what_its_tooltips_say_and_a_picture_that_is_there(
    language: str, schemas: dict[str, Any]
) -> None:
    docs = ROOT / "web" / "docs"
    for id, schema in schemas.items():
        text = (docs / (f"{id}.md" if language == "en" else f"{id}/{language}.md")).read_text(encoding="utf-8")
        assert slots_of_page(text) == slots_of_node(id, schema, language)
        pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
        assert pictures, f"{id} has no picture"
        assert all((docs / picture).is_file() for picture in pictures), pictures
