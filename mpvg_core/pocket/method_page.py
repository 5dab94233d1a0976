"""Puts the figures and sheets of a bench of methods into a page that names them.

    python -m mpvg_core.pocket.method_page --bench out/bench-methods --page docs/methods.md

What stands between `<!-- figure: NAME -->` and `<!-- end -->` is written anew, as is what stands after `<!-- table -->`
and `<!-- memory -->`; the sheets go into a folder beside the page that is called like it. All else stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import InputError, Problem

UNMEASURED = "*Not measured yet.*"
_SLOT = re.compile(r"<!-- (figure: (?P<name>.+?)|(?P<part>table|memory)) -->\n.*?<!-- end -->", re.DOTALL)
_ROWS = 2  # of a sheet that the page shows
_COLOURS = 128


def slots(page: str) -> list[str]:
    """What the page has room for: the names of methods, `table` and `memory`."""
    return [found["name"] or found["part"] for found in _SLOT.finditer(page)]


def filled(page: str, bench: Path, pictures: str | None = None) -> str:
    """The page with the figures of a bench's folder; `pictures`: the folder of the sheets as the page names it.

    Raises InputError for a folder that holds no bench, and for a method that it did not try.
    """
    try:
        figures = json.loads((bench / "figures.json").read_text("utf-8"))
        tables = (bench / "table.md").read_text("utf-8").strip().split("\n\n")
    except (OSError, ValueError) as error:
        what = f"holds no bench of methods ({error})"
        raise InputError(Problem(str(bench), what, "figures.json and table.md", "run `mpvg bench methods`")) from error
    rows: Mapping[str, Any] = figures["methods"]
    if unknown := [name for name in slots(page) if name not in (*rows, "table", "memory")]:
        problems = [
            Problem(f"method {name!r}", "the bench did not try it", f"one of {', '.join(rows)}") for name in unknown
        ]
        raise InputError(problems)

    def put(found: re.Match[str]) -> str:
        if found["part"] == "table":
            text = f"{_made_with(figures['settings'])}\n\n{tables[0]}"
        elif found["part"] == "memory":
            text = tables[1] if len(tables) > 1 else UNMEASURED
        else:
            text = sentence(rows[found["name"]])
            if pictures is not None and "not_tried" not in rows[found["name"]]:
                text += (
                    f"\n\n![{found['name']}: rows are seeds, without and with]({pictures}/{sheet_name(found['name'])})"
                )
        return f"<!-- {found[1]} -->\n{text}\n<!-- end -->"

    return _SLOT.sub(put, page)


def sentence(row: Mapping[str, Any]) -> str:
    """A method's figures in words."""
    if "not_tried" in row:
        return f"*Not measured: {row['not_tried']}.*"
    own, change = row["own"], row["change"]
    off, on = row["off"], row["on"]
    verdict = "more than the spread of runs" if row["moves_it"] else "**not beyond the spread of runs**"
    kept = [f"{name} {off[name]['mean']:.2f} → {on[name]['mean']:.2f}" for name in off if name != own and name in on]
    kept.append(f"calls {row['calls'][0]:.0f} → {row['calls'][1]:.0f}")
    return (
        f"*{own}* ({row['better']} is better): {_figure(off[own])} without, {_figure(on[own])} with it; "
        f"change {change['mean']:+.3f} ± {change['interval']:.3f} over {change['n']} seeds, {verdict}. "
        f"Beside it: {', '.join(kept)}."
    )


def sheet_name(method: str) -> str:
    """The file of a method's sheet in a bench's folder."""
    return method.replace(" ", "-").replace("'", "").lower() + ".png"


def copy_sheets(page: str, bench: Path, folder: Path) -> list[Path]:
    """The first rows of the sheets that the page names, in few colours."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in slots(page):
        source = bench / sheet_name(name)
        if source.is_file():
            with Image.open(source) as sheet:
                top = sheet.convert("RGB").crop((0, 0, sheet.width, min(sheet.height, _ROWS * 128)))
            top.quantize(_COLOURS).save(folder / source.name, optimize=True)
            written.append(folder / source.name)
    return written


def _figure(figure: Mapping[str, float]) -> str:
    return f"{figure['mean']:.3f} ± {figure['interval']:.3f}"


def _made_with(settings: Mapping[str, Any]) -> str:
    return (
        f"`mpvg bench methods --seeds {settings['seeds']} --dtype {settings['dtype']}` with model {settings['model']} "
        f"({settings['fingerprint'][:16]}), {settings['steps']} steps of {settings['scheduler']}, "
        f"w1 = {settings['text_scale']:g}:"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, default=Path("out/bench-methods"), help="of `mpvg bench methods --out`")
    parser.add_argument("--page", type=Path, default=Path("docs/methods.md"))
    options = parser.parse_args()
    text = options.page.read_text("utf-8")
    new = filled(text, options.bench, options.page.stem)
    for file in copy_sheets(text, options.bench, options.page.with_suffix("")):
        print(file)
    options.page.write_text(new, "utf-8")
    print(options.page)


if __name__ == "__main__":
    main()
