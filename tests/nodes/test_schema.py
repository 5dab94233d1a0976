"""Node ids, socket names and the order of widgets are for ever: old graphs must load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import standin

RECORD = Path(__file__).parent / "schema.json"
RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))


def test_the_nodes_are_those_on_record(schemas: dict[str, Any]) -> None:
    assert list(schemas) == list(RECORDED)


@pytest.mark.parametrize("node", RECORDED)
def test_ids_types_and_order_of_a_node_are_those_on_record(schemas: dict[str, Any], node: str) -> None:
    assert standin.written(schemas[node]) == RECORDED[node]


@pytest.mark.parametrize("node", RECORDED)
def test_a_node_says_what_it_is_and_every_slot_has_a_tooltip(schemas: dict[str, Any], node: str) -> None:
    schema = schemas[node]
    assert schema.node_id.startswith("MPVG_")
    assert schema.display_name.endswith(")") and schema.category.startswith("MPVG")
    assert schema.description.endswith(".")
    for slot in [*schema.inputs, *schema.outputs]:
        assert slot.options.get("tooltip", "").strip(), f"{slot.id} has no tooltip"


@pytest.mark.parametrize("node", RECORDED)
def test_widgets_with_values_have_a_default_that_they_accept(schemas: dict[str, Any], node: str) -> None:
    for slot in schemas[node].inputs:
        options = slot.options
        if slot.type in ("INT", "FLOAT"):
            assert options["min"] <= options["default"] <= options["max"], slot.id
        if slot.type == "COMBO" and "default" in options:
            assert options["default"] in options["options"], slot.id
