"""What a run is made of, kept beside it: a run goes on only with the settings it began with."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, Problem
from ..film.durable import readable_json, write_whole


def keep_settings(run: Path, settings: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Writes `settings` into the run's folder; those in `free` may change from one call to the next.

    Raises InputError naming every option that was another when the run began.
    """
    run.mkdir(parents=True, exist_ok=True)
    file = run / "settings.json"
    now = json.loads(json.dumps(dict(settings)))  # as it will be read again: tuples are lists
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        problems = [
            Problem(
                f"--{name.replace('_', '-')}",
                f"is {now[name]!r}",
                f"{before.get(name)!r} as before",
                "or another --out",
            )
            for name in now
            if name not in free and before.get(name) != now[name]
        ]
        if problems:
            raise InputError(problems)
    write_whole(file, readable_json(now), run)
