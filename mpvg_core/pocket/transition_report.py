"""The transition bench on paper: a table, a contact sheet a group and model, and everything as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..evaluate.segments import PUBLISHED
from .transition_bench import GroupRow, KnownClips, Made

_COLUMNS = (
    *("segments", "spread", "wanted", "|n - wanted|", "exact"),
    *("place", "all places", "motion", "colour", "moves", "n"),
)
_SCALE, _EVERY, _CAPTION, _MARGIN, _MARK = 2, 2, 20, 8, 4
_PAPER, _INK, _CUT = (21, 23, 27), (242, 242, 239), (255, 60, 60)


def table(rows: Mapping[str, Mapping[str, GroupRow]]) -> str:
    """A Markdown table: each group before and after, and what TAV's authors found.

    segments and motion: mean ± half the 95 % interval; spread: standard deviation of the seeds' means.
    """
    lines = [f"| group | model | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 2) + "|"]
    groups = list(next(iter(rows.values()))) if rows else []
    for group in groups:
        for model, by_group in rows.items():
            row = by_group[group]
            found = row.segments
            cells = [
                f"{found.mean:.3f} ± {found.interval:.3f}",
                f"{found.spread:.3f}",
                f"{found.wanted:g}",
                f"{found.error:.3f}",
                f"{found.exact:.3f}",
                *(str(figure) for figure in (row.place, row.all_places, row.motion, row.colour, row.moves)),
                str(found.n),
            ]
            lines.append(f"| {group} | {model} | {' | '.join(cells)} |")
        if group in PUBLISHED:
            before, after = PUBLISHED[group]
            blank = " |" * (len(_COLUMNS) - 1)
            lines.append(f"| {group} | TAV's table | {before:.2f} before, {after:.2f} after |{blank}")
    return "\n".join(lines)


def known_line(name: str, known: KnownClips, threshold: float, min_frames: int) -> str:
    """What the detector does with clips whose cuts are known."""
    missed = f"; missed: {', '.join(known.pairs_missed)}" if known.pairs_missed else ""
    return (
        f"Detector (threshold {threshold:g}, least {min_frames} frames) on {known.clips} known clips decoded by "
        f"{name}: {known.found:.1%} of the cuts found at their frame, a cut in {known.false:.1%} of the one-scene "
        f"clips; V_t at cuts {known.lowest_cut:.1f} or more, elsewhere {known.highest_other:.1f} or less{missed}"
    )


def write_report(
    rows: Mapping[str, Mapping[str, GroupRow]],
    clips: Mapping[str, Mapping[str, Sequence[Made]]],
    notes: Sequence[str],
    settings: Mapping[str, Any],
    folder: Path,
    *,
    shown: int = 6,
) -> list[Path]:
    """table.md, figures.json and a PNG for each model and group, in `folder`; gives what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "table.md", folder / "figures.json"]
    written[0].write_text("\n".join([table(rows), "", *notes]) + "\n", encoding="utf-8")
    made = {
        model: {
            group: [
                {"prompt": one.cutting.prompt, "seed": one.seed, "cuts": [cut.frame for cut in one.scenes.cuts]}
                for one in some
            ]
            for group, some in groups.items()
        }
        for model, groups in clips.items()
    }
    figures = {model: {group: asdict(row) for group, row in groups.items()} for model, groups in rows.items()}
    text = json.dumps({"settings": dict(settings), "notes": [*notes], "figures": figures, "clips": made}, indent=1)
    written[1].write_text(text + "\n", encoding="utf-8")
    for model, groups in clips.items():
        for group, some in groups.items():
            path = folder / f"{model}-{group}.png"
            sheet(some[:shown]).save(path)
            written.append(path)
    return written


def sheet(made: Sequence[Made]) -> Image.Image:
    """A row a clip under its prompt, every second frame; a red bar stands before the first frame after a cut."""
    font = ImageFont.load_default(12)
    rows = [_row(one) for one in made]
    width = max(row.width for row in rows) + 2 * _MARGIN
    height = sum(row.height + _CAPTION for row in rows) + 2 * _MARGIN
    picture = Image.new("RGB", (width, height), _PAPER)
    pen, y = ImageDraw.Draw(picture), _MARGIN
    for one, row in zip(made, rows, strict=True):
        count = len(one.scenes.segments)
        pen.text((_MARGIN, y + 3), f"{one.cutting.prompt}   [{count}]", fill=_INK, font=font)
        picture.paste(row, (_MARGIN, y + _CAPTION))
        y += row.height + _CAPTION
    return picture


def _row(one: Made) -> Image.Image:
    starts = {segment.start for segment in one.scenes.segments[1:]}
    parts = []
    for index in range(0, len(one.clip), _EVERY):
        parts.append(one.clip[index])
        cut = any(start in starts for start in range(index + 1, index + _EVERY + 1))
        parts.append(np.full((one.clip.shape[1], _MARK, 3), _CUT if cut else _PAPER, np.uint8))
    picture = Image.fromarray(np.concatenate(parts, axis=1).astype(np.uint8))
    return picture.resize((picture.width * _SCALE, picture.height * _SCALE), Image.Resampling.NEAREST)
