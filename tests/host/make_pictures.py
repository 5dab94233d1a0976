"""Makes the pictures that show the pack anew, all that a change of the nodes or of the pocket's weights makes old.

    make pictures                                       # with COMFYUI_DIR and COMFYUI_PYTHON as for the tests
    .venv/bin/python tests/host/make_pictures.py KeepLook docs/comfyui --out /tmp/pictures    # some, elsewhere

Every template is run in a real ComfyUI, in a real page. Its thumbnail shows its own film; a node's help page shows the
node after that run; the README shows the page and the contact sheet of "film a storyboard".
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import real_comfy as host
import real_page as browser
from PIL import Image

from mpvg_core.film.reading import read_pictures
from mpvg_core.film.record import read_film
from mpvg_core.film.takes import TakeStore

GRAPHS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((host.ROOT / "example_workflows").glob("*.json"))
}
FILM = "MPVG - film a storyboard"
LOOKED_AT_FIRST = (FILM, "MPVG - continue from your own footage", "MPVG - four shots, two actors")
"""A help page shows its node in one of these if it can: they show the usual way of a film."""

ALONE = "a node that no template has"
SIDE = 256  # pixels of one of the four moments on a thumbnail
PAGE, README_PAGE = (1600, 1300), (1600, 900)
LEFT, TOP = 160, 160  # where a node is put on the page, clear of bars
MARGIN, BADGE = 14, 26  # around a node, and for the pack's name above it

STILL = """() => document.querySelectorAll('video').forEach(video => { video.pause(); video.currentTime = 0; })"""
SHOWN = """() => [...document.querySelectorAll('.mpvg-panel img')].every(image => image.complete)
  && [...document.querySelectorAll('video')].every(video => video.readyState > 1 && !video.seeking)"""
PLACE = """([type, left, top]) => {
  const all = app.graph._nodes, node = all.findLast(node => node.type === type);
  node.pos = [node.pos[0], node.pos[1] + 5000 * (1 + all.indexOf(node))];  // away from its neighbours
  const corner = app.canvas.canvas.getBoundingClientRect(), title = LiteGraph.NODE_TITLE_HEIGHT;
  app.canvas.deselectAll?.();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [left - corner.x - node.pos[0], top + title - corner.y - node.pos[1]];
  app.canvas.setDirty(true, true);
  return [node.size[0], node.size[1] + title];
}"""
ADD = """type => { app.graph.clear(); app.graph.add(LiteGraph.createNode(type)); }"""


@dataclass(frozen=True)
class Picture:
    """A file of the repository, and the template whose run it shows."""

    file: str
    of: str
    node: str = ""  # whose help page it is for


def pictures() -> Iterator[Picture]:
    """All of them; those of single nodes last, as they take the nodes out of their graph."""
    for graph in GRAPHS:
        yield Picture(f"example_workflows/{graph}.jpg", graph)
    yield Picture("docs/comfyui.png", FILM)
    yield Picture("docs/four_shots.png", FILM)
    recorded = json.loads((host.ROOT / "tests" / "nodes" / "schema.json").read_text(encoding="utf-8"))
    for node in recorded:
        having = [graph for graph in (*LOOKED_AT_FIRST, *GRAPHS) if node in types(GRAPHS[graph])]
        yield Picture(f"web/docs/{node}/node.png", having[0] if having else ALONE, node)


def types(graph: Mapping[str, Any]) -> set[str]:
    return {node["type"] for node in graph["nodes"]}


def last_films(run: Mapping[str, Any], output: Path) -> list[Path]:
    """The films of a graph that no later film of it is made of."""
    graph = run["prompt"][2]

    def before(id: str) -> set[str]:
        linked = {str(value[0]) for value in graph[id]["inputs"].values() if isinstance(value, list)}
        return linked.union(*map(before, linked))

    films = [id for id, node in graph.items() if node["class_type"] == "MPVG_AssembleFilm"]
    used = set().union(*map(before, films))
    shown = [run["outputs"][id]["images"][0] for id in films if id not in used]
    return [output / file["subfolder"] / file["filename"] for file in shown]


def thumbnail(films: list[Path]) -> Image.Image:
    """Four moments evenly spread over the shots of all films, of which each counts alike; pixels stay pixels."""
    clips: list[Path] = []
    for film in films:
        with TakeStore(film.parent) as store:
            clips += [shot.take.clip for shot in read_film(store).shots]
    sheet = Image.new("RGB", (2 * SIDE, 2 * SIDE))
    for place in range(4):
        number, moment = divmod((2 * place + 1) / 8 * len(clips), 1)
        frames = [*read_pictures(clips[int(number)])]
        tile = Image.fromarray(frames[int(moment * len(frames))])
        sheet.paste(tile.resize((SIDE, SIDE), Image.Resampling.NEAREST), (place % 2 * SIDE, place // 2 * SIDE))
    return sheet


def settle(page: Any) -> None:
    """Wait until all is drawn, with every video at its first frame: the same picture each time."""
    page.evaluate(STILL)
    page.wait_for_function(SHOWN, timeout=60_000)
    page.wait_for_timeout(700)


def picture_node(page: Any, node: str, target: Path) -> None:
    width, height = page.evaluate(PLACE, [node, LEFT, TOP])
    settle(page)
    above = MARGIN + BADGE
    clip = {"x": LEFT - MARGIN, "y": TOP - above, "width": width + 2 * MARGIN, "height": height + above + MARGIN}
    shoot(page, target, clip=clip)


def shoot(page: Any, target: Path, **options: Any) -> None:
    """A screenshot of 256 colours: a third of the bytes."""
    shot = Image.open(io.BytesIO(page.screenshot(**options))).convert("RGB")
    shot.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def make(server: host.Server, page: Any, graph: str, wanted: list[Picture], out: Path) -> None:
    """The pictures of one template."""
    resize(page, PAGE)
    if graph != ALONE:
        browser.load(page, GRAPHS[graph])
        kind, detail = browser.queue(page)
        if kind != "execution_success":
            raise SystemExit(f"{graph}: {kind}: {detail.get('exception_message', detail)}")
        (run,) = server.get(f"/history/{detail['prompt_id']}").values()
    for picture in wanted:
        target = out / picture.file
        target.parent.mkdir(parents=True, exist_ok=True)
        if picture.node:
            if graph == ALONE:
                page.evaluate(ADD, picture.node)
            picture_node(page, picture.node, target)
        elif target.suffix == ".jpg":
            thumbnail(last_films(run, server.base / "output")).save(target, quality=88)
        elif target.stem == "four_shots":
            shutil.copyfile(server.base / "output" / "mpvg" / "four-shots-two-actors" / "contact.png", target)
        else:
            resize(page, README_PAGE)
            browser.fit(page)
            page.wait_for_timeout(6000)  # until the page no longer says that a job is done
            settle(page)
            shoot(page, target)
            resize(page, PAGE)
        print(target, flush=True)


def resize(page: Any, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only files with one of these in their path")
    parser.add_argument("--out", type=Path, default=host.ROOT, help="instead of the repository itself")
    told = parser.parse_intermixed_args()
    if host.folder() is None or (lacks := host.what_it_lacks()):
        sys.exit("no ComfyUI: set COMFYUI_DIR to its folder" if host.folder() is None else lacks)
    if not Path(browser.CHROMIUM).exists():
        sys.exit(browser.NO_BROWSER)
    wanted = [picture for picture in pictures() if any(word in picture.file for word in told.words or [""])]
    with tempfile.TemporaryDirectory() as base:
        server = host.Server(Path(base), name="mpvg")
        (server.base / "input").mkdir()
        shutil.copy(host.ROOT / "workflows" / "four_shots.yaml", server.base / "input")  # for Load Storyboard's list
        server.start()
        server.post("/settings", {"Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False})
        try:
            with browser.browser(server, PAGE) as page:
                for graph in dict.fromkeys(picture.of for picture in wanted):
                    make(server, page, graph, [one for one in wanted if one.of == graph], told.out)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
