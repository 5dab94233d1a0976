"""The bench on paper: one table, one contact sheet a setting, and everything as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .bench import Bench
from .figures import Figure

COLUMNS = ("colour", "shape", "place", "motion", "count", "tokens", "moves", "other's colour", "other's shape")
_MOMENTS = (0, 5, 11, 16)
_SCALE = 2


def table(rows: Mapping[str, Mapping[str, Figure]]) -> str:
    """All rows as a Markdown table, mean ± half the 95 % interval; n is the largest number of values in the row."""
    lines = [f"| setting | {' | '.join(COLUMNS)} | n |", "|---" * (len(COLUMNS) + 2) + "|"]
    for name, figures in rows.items():
        cells = [str(figures[column]) if column in figures else "" for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} | {max(figure.n for figure in figures.values())} |")
    return "\n".join(lines)


def write_report(bench: Bench, folder: Path, settings: Mapping[str, Any]) -> list[Path]:
    """table.md, figures.json and a PNG for each setting, in `folder`; gives what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "table.md", folder / "figures.json"]
    written[0].write_text(table(bench.rows) + "\n", encoding="utf-8")
    rows = {name: {key: asdict(figure) for key, figure in row.items()} for name, row in bench.rows.items()}
    text = json.dumps({"settings": dict(settings), "figures": rows}, indent=1)
    written[1].write_text(text + "\n", encoding="utf-8")
    for name, films in bench.clips.items():
        path = folder / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".png")
        sheet(films).save(path)
        written.append(path)
    return written


def sheet(films: Sequence[Sequence[np.ndarray]]) -> Image.Image:
    """A row a film, its shots side by side, four moments of each (one, where there are many shots)."""
    many = max(len(film) for film in films) > 4
    rows = []
    for film in films:
        shots = [np.concatenate([clip[t] for t in (_MOMENTS[1:2] if many else _MOMENTS)], axis=1) for clip in film]
        gap = np.full((shots[0].shape[0], 4, 3), 255, np.uint8)
        rows.append(np.concatenate([part for shot in shots for part in (shot, gap)], axis=1))
    picture = Image.fromarray(np.concatenate(rows))
    return picture.resize((picture.width * _SCALE, picture.height * _SCALE), Image.Resampling.NEAREST)
