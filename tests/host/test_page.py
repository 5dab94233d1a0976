"""The pack in a real browser. SCREENSHOTS names a folder for pictures of what it showed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import real_comfy as host
import real_page as browser

EXAMPLES = sorted((host.ROOT / "example_workflows").glob("*.json"))
MISSING = """() => {
  const known = node => LiteGraph.registered_node_types[node.type] || node.isSubgraphNode?.();
  const all = graph => graph._nodes.flatMap(node => [node, ...(node.subgraph ? all(node.subgraph) : [])]);
  return all(app.graph).filter(node => !known(node) || node.has_errors).map(node => node.type);
}"""
SELECT = """type => {
  app.canvas.deselectAll();
  app.canvas.selectNode(app.graph._nodes.find(node => node.type === type));
  app.canvas.setDirty(true, true);
}"""


@pytest.fixture(scope="module")
def page(server: host.Server) -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    if not Path(browser.CHROMIUM).exists():
        pytest.skip(browser.NO_BROWSER)
    with browser.browser(server) as opened:
        yield opened


def keep(page: Any, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loads_without_a_missing_node_and_queues_what_its_twin_for_the_api_says(
    path: Path, page: Any
) -> None:
    browser.load(page, json.loads(path.read_text(encoding="utf-8")))
    assert page.evaluate(MISSING) == []
    queued = page.evaluate("async () => (await app.graphToPrompt()).output")
    twin = re.sub(r"[ -]", "_", re.sub("[,']", "", path.stem.removeprefix("MPVG - ")))
    stored = json.loads((host.ROOT / "workflows" / "api" / f"{twin}.json").read_text(encoding="utf-8"))
    assert {id: (node["class_type"], node["inputs"]) for id, node in queued.items()} == {
        id: (node["class_type"], node["inputs"]) for id, node in stored.items()
    }
    keep(page, twin)


def test_a_film_appears_on_its_node_shot_by_shot(page: Any) -> None:
    graph = json.loads((host.ROOT / "example_workflows" / "MPVG - film a storyboard.json").read_text())
    for node in graph["nodes"]:
        if node["type"] == "MPVG_FilmStoryboard":
            node["widgets_values"][0] = 2
        if node["type"] == "MPVG_Storyboard":
            node["widgets_values"][0] = host.short(node["widgets_values"][0])
    browser.load(page, graph)
    kind, detail = browser.queue(page)
    assert kind == "execution_success", detail
    rows = page.locator(".mpvg-panel .mpvg-row")
    assert rows.count() == 4
    assert "Actor 1 is running on the playground." in rows.first.inner_text()
    assert rows.locator("video").count() == 4
    assert page.evaluate("() => app.graph._nodes.some(node => node.widgets?.some(w => /4 of 4/.test(w.value)))")
    keep(page, "filmed")


def test_the_selector_marks_the_kept_words_and_the_history_shows_its_shots(page: Any) -> None:
    graph = json.loads((host.ROOT / "example_workflows" / "MPVG - continue from your own footage.json").read_text())
    for node in graph["nodes"]:
        if node["type"] == "MPVG_FilmStoryboard":
            node["widgets_values"][0] = 2
        if node["type"] == "MPVG_CogVideoXMultiSceneSampler":
            node["widgets_values"][2:4] = [9, 2]
        if node["type"] == "MPVG_Storyboard":
            node["widgets_values"][0] = host.short(node["widgets_values"][0])
    browser.load(page, graph)
    kind, detail = browser.queue(page)
    assert kind == "execution_success", detail
    assert page.locator(".mpvg-panel .mpvg-kept").count() > 0
    assert page.locator(".mpvg-panel .mpvg-card").count() == 3, "one shot on the first history, two on the second"
    keep(page, "remembered")


def test_the_template_browser_lists_the_examples_and_opens_the_one_that_is_clicked(
    page: Any, server: host.Server
) -> None:
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_text(server.name, exact=True).last.click()
    page.wait_for_timeout(2000)
    keep(page, "templates")
    page.get_by_text("MPVG - four shots, two actors").first.click()
    page.wait_for_function("() => app.graph._nodes.filter(node => node.isSubgraphNode?.()).length === 4")
    assert page.evaluate(MISSING) == []


def test_a_node_shows_its_help_page_with_the_picture(page: Any) -> None:
    browser.load(page, json.loads((host.ROOT / "example_workflows" / "MPVG - film a storyboard.json").read_text()))
    page.evaluate(SELECT, "MPVG_FilmStoryboard")
    page.get_by_test_id("info-button").click()
    picture = page.locator("img[src*='MPVG_FilmStoryboard/node.png']")
    picture.wait_for()
    page.wait_for_function("() => document.querySelector(\"img[src*='node.png']\").naturalWidth > 100")
    assert page.get_by_role("heading", name="Example").count() == 1
    keep(page, "help")
    page.keyboard.press("Escape")


@pytest.mark.parametrize(
    ("line", "button", "says"),
    [
        ("promt: Actor 1 runs.", "Info for Storyboard (MPVG) - text", "shot 1: unknown key 'promt'"),
        ("prompt: Actor 1 is bananaing.", "", "shot 1: model 'pocket' does not know 'bananaing'"),
    ],
    ids=["when it is queued", "when it runs"],
)
def test_what_is_wrong_can_be_read_on_the_page(page: Any, line: str, button: str, says: str) -> None:
    graph = json.loads((host.ROOT / "example_workflows" / "MPVG - film a storyboard.json").read_text())
    for node in graph["nodes"]:
        if node["type"] == "MPVG_Storyboard":
            node["widgets_values"][0] = f"title: x\nshots:\n  - {line}\n"
    browser.load(page, graph)
    page.evaluate("() => { app.queuePrompt(0, 1) }")
    page.get_by_role("button", name="View details").first.click()
    if button:
        page.get_by_role("button", name=button).click()
    page.get_by_text(says).first.wait_for()
    keep(page, "error when queued" if button else "error when run")


def test_the_page_speaks_chinese_when_it_is_asked_to(page: Any, server: host.Server) -> None:
    server.post("/settings", {"Comfy.Locale": "zh"})
    try:
        browser.open_app(page, server)
        browser.load(page, json.loads((host.ROOT / "example_workflows" / "MPVG - film a storyboard.json").read_text()))
        titles = page.evaluate("() => app.graph._nodes.map(node => node.constructor.title ?? node.title)")
        assert "拍摄分镜 (MPVG)" in titles
        keep(page, "chinese")
    finally:
        server.post("/settings", {"Comfy.Locale": "en"})
