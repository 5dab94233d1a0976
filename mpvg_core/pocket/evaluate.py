"""What the pocket model promises, and whether it keeps it: the bench's figures against their targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .figures import Figure

Rows = dict[str, dict[str, Figure]]
Check = Callable[[Figure, Rows], bool]


@dataclass(frozen=True)
class Target:
    """One promise: the figure `column` of the bench's row `row`, what is to be reached in words, and its check."""

    row: str
    column: str
    words: str
    met: Check


def _least(value: float) -> tuple[str, Check]:
    return f">= {value:.2f}", lambda figure, _: figure.mean >= value


def _near(row: str, column: str, slack: float) -> tuple[str, Check]:
    return f"within {slack:.2f} of {row!r}", lambda figure, rows: figure.mean >= rows[row][column].mean - slack


def _chance(column: str) -> tuple[str, Check]:
    """Within its interval of what two films have in common by chance."""
    return "by chance", lambda figure, rows: abs(figure.mean - rows["chance"][column].mean) <= figure.interval


ON, OFF, SHUFFLED, ALL = "history on", "history off", "shuffled history", "all tokens"
TWO, THREE, FAR = "two actors in shot", "two actors, three in the history", "last seen 8 shots ago"
SECOND, LAST = "shot 2 against shot 1", "shot 16 against shot 1"
EVERY = "all shots of the long films"

TARGETS: tuple[Target, ...] = (
    Target(EVERY, "place", *_least(0.98)),
    Target(EVERY, "motion", *_least(0.95)),
    Target(EVERY, "count", *_least(0.97)),
    Target(ON, "colour", *_least(0.95)),
    Target(ON, "shape", *_least(0.90)),
    Target(TWO, "colour", *_least(0.90)),
    Target(TWO, "shape", *_least(0.85)),
    Target(THREE, "colour", *_near(TWO, "colour", 0.03)),
    Target(THREE, "shape", *_near(TWO, "shape", 0.03)),
    Target(FAR, "colour", *_near(ON, "colour", 0.03)),
    Target(FAR, "shape", *_near(ON, "shape", 0.03)),
    Target(LAST, "colour", *_near(SECOND, "colour", 0.03)),
    Target(LAST, "shape", *_near(SECOND, "shape", 0.03)),
    Target(OFF, "colour", *_chance("colour")),
    Target(OFF, "shape", *_chance("shape")),
    Target(SHUFFLED, "other's colour", *_least(0.90)),
    Target(SHUFFLED, "other's shape", *_least(0.90)),
    Target(ON, "colour", *_near(ALL, "colour", 0.0)),
    Target(ON, "shape", *_near(ALL, "shape", 0.0)),
    Target(ON, "tokens", "<= 0.25 of the words", lambda figure, _: figure.mean <= 0.25),
    Target(
        ON,
        "moves",
        f"within 5 % of {OFF!r}",
        lambda figure, rows: abs(figure.mean / rows[OFF]["moves"].mean - 1) <= 0.05,
    ),
)


def judged(rows: Rows, targets: Sequence[Target] = TARGETS) -> str:
    """The promises as a Markdown table; a row that was not measured says so."""
    lines = ["| setting | figure | measured (n) | to reach | |", "|---|---|---|---|---|"]
    for target in targets:
        found = rows.get(target.row, {}).get(target.column)
        if found is None:
            lines.append(f"| {target.row} | {target.column} | not measured | {target.words} | |")
            continue
        verdict = "reached" if target.met(found, rows) else "**missed**"
        lines.append(f"| {target.row} | {target.column} | {found} ({found.n}) | {target.words} | {verdict} |")
    return "\n".join(lines)
