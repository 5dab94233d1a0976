"""ComfyUI's page in a real browser, Debian's chromium; CHROMIUM names another program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import real_comfy as host

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NO_BROWSER = f"no browser: {CHROMIUM} is not there (apt-get install chromium, or CHROMIUM=its path)"

_FIT = "() => app.extensionManager.command.execute('Comfy.Canvas.FitView')"
_QUEUE = """() => new Promise(resolve => {
  for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
    app.api.addEventListener(kind, event => resolve([kind, event.detail]), { once: true });
  app.queuePrompt(0, 1);
})"""


@contextmanager
def browser(server: host.Server, size: tuple[int, int] = (1900, 1100)) -> Iterator[Any]:
    """A page that shows the app in English, for as long as it lasts. Needs playwright and CHROMIUM."""
    from playwright.sync_api import sync_playwright

    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.Locale": "en"})
    with sync_playwright() as program:
        chromium = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
        open_app(page, server)
        yield page
        chromium.close()


def open_app(page: Any, server: host.Server) -> None:
    page.goto(server.address, timeout=180_000)
    page.wait_for_function("() => window.app?.graph && app.extensionManager", timeout=180_000)
    page.wait_for_timeout(4000)


def load(page: Any, graph: dict[str, Any]) -> None:
    page.evaluate("async graph => { await app.loadGraphData(graph, true, true, null) }", graph)
    page.wait_for_timeout(1500)
    fit(page)


def fit(page: Any) -> None:
    page.evaluate(_FIT)
    page.wait_for_timeout(800)


def queue(page: Any) -> tuple[str, dict[str, Any]]:
    """Press Run and wait: how the graph ended, and what was told of it."""
    kind, detail = page.evaluate(_QUEUE)
    page.wait_for_timeout(1500)
    return kind, detail
