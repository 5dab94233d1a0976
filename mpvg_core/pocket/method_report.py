"""A bench of methods on paper: a table, everything as JSON, and a contact sheet a method."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError, Problem
from .figures import Figure
from .method_bench import TRIALS, LeftOut, Outcome
from .method_memory import Footprint, memory_table
from .method_page import sheet_name
from .report import sheet

Row = Mapping[str, Any]  # a method's figures as JSON has them
_FIGURES, _TABLE = "figures.json", "table.md"


def rows_of(outcomes: Sequence[Outcome | LeftOut]) -> dict[str, Row]:
    return {found.name: _row(found) for found in outcomes}


def earlier_rows(folder: Path, about: Mapping[str, Any]) -> tuple[dict[str, Row], list[Footprint]]:
    """What an earlier bench left in the folder, for one of some methods to join.

    Raises InputError where it was made with other settings than `about`: the table names one set for all.
    """
    try:
        kept = json.loads((folder / _FIGURES).read_text("utf-8"))
    except FileNotFoundError:
        return {}, []
    settings = json.loads(json.dumps(about))  # as JSON has them: lists for tuples
    names = [name for name in {**settings, **kept["settings"]} if settings.get(name) != kept["settings"].get(name)]
    if names:
        what = ", ".join(f"{name} {kept['settings'].get(name)}, here {settings.get(name)}" for name in names)
        remedy = "choose another --out, or leave out --only to measure all anew"
        raise InputError(Problem(str(folder), f"holds a bench with other settings: {what}", "the same", remedy))
    return dict(kept["methods"]), [Footprint(**one) for one in kept["memory"]]


def write_methods(
    outcomes: Sequence[Outcome | LeftOut],
    folder: Path,
    about: Mapping[str, Any],
    memory: Sequence[Footprint] = (),
    earlier: Mapping[str, Row] | None = None,
) -> list[Path]:
    """table.md, figures.json and a contact sheet a method (rows are seeds: without, with); `earlier`: see
    `earlier_rows`, of which those tried again are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / _TABLE, folder / _FIGURES]
    rows = in_order({**(earlier or {}), **rows_of(outcomes)})
    tables = [methods_table(rows), *([memory_table(memory)] if memory else [])]
    written[0].write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    everything = {"settings": dict(about), "methods": rows, "memory": [asdict(one) for one in memory]}
    written[1].write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    for found in outcomes:
        if isinstance(found, Outcome):
            path = folder / sheet_name(found.name)
            sheet(found.clips).save(path)
            written.append(path)
    return written


def in_order(rows: Mapping[str, Row]) -> dict[str, Row]:
    """In the order of the trials, whichever was measured last."""
    order = [trial.name for trial in TRIALS]
    return dict(sorted(rows.items(), key=lambda row: order.index(row[0]) if row[0] in order else len(order)))


def methods_table(rows: Mapping[str, Row]) -> str:
    """One row a method, Markdown."""
    lines = [
        "| method | its figure | without | with | change | moves it | place | motion | moves | calls |",
        "|---" * 10 + "|",
    ]
    for method, row in rows.items():
        if "not_tried" in row:
            lines.append(f"| {method} | not tried: {row['not_tried']} |{' |' * 8}")
            continue
        own, off, on, change = row["own"], row["off"], row["on"], row["change"]
        kept = [
            f"{off[name]['mean']:.2f} → {on[name]['mean']:.2f}" if name in on else ""
            for name in ("place", "motion", "moves")
        ]
        lines.append(
            f"| {method} | {own}, {row['better']} | {Figure(**off[own])} | {Figure(**on[own])} | "
            f"{change['mean']:+.3f} ± {change['interval']:.3f} | {'yes' if row['moves_it'] else 'no'} | "
            f"{' | '.join(kept)} | {row['calls'][0]:.0f} → {row['calls'][1]:.0f} |"
        )
    return "\n".join(lines)


def _row(found: Outcome | LeftOut) -> dict[str, Any]:
    if isinstance(found, LeftOut):
        return {"not_tried": found.why}
    return {
        "own": found.own,
        "better": found.better,
        "change": asdict(found.change),
        "moves_it": found.moves_it,
        "calls": found.calls,
        "off": {name: asdict(figure) for name, figure in found.off.items()},
        "on": {name: asdict(figure) for name, figure in found.on.items()},
    }
