"""The report of a film's consistency: one HTML page that holds all it shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import InputError, Problem
from ..film.durable import written_whole
from .consistency import Consistency, MeasuredShot
from .pictures import draw_curve, draw_likeness, require_matplotlib
from .wording import FIGURES, cuts_in_words, shown

_STYLE = """
:root { color-scheme: light; --ink: #23262b; --faint: #6b727c; --line: #e2e5e9; --paper: #ffffff; --soft: #f5f6f8;
  --warn: #8a4b08; --warn-paper: #fdf3e3; --bad: #c2452d; --good: #2f6db5; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 28px 20px 60px; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 40px 0 10px; }
p { margin: 0 0 10px; } .faint { color: var(--faint); font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(175px, 1fr)); gap: 12px; margin: 22px 0; }
.tile { background: var(--soft); border-radius: 8px; padding: 12px 14px; }
.tile b { display: block; font-size: 24px; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.doubts { background: var(--warn-paper); color: var(--warn); border-radius: 8px; margin: 0;
  padding: 12px 14px 12px 32px; }
.doubts li + li { margin-top: 6px; }
.shot { border-top: 1px solid var(--line); padding: 12px 0 14px; }
.shot p { margin: 0 0 2px; overflow-wrap: anywhere; }
.strip { display: flex; gap: 6px; margin-top: 8px; }
.strip img { flex: 1 1 0; min-width: 0; max-width: 204px; height: auto; border-radius: 3px; align-self: start; }
.cut { display: flex; align-items: center; gap: 8px; font-size: 13px; color: var(--good); }
.cut::after { content: ""; flex: 1; border-top: 2px solid currentColor; }
.cut.bad { color: var(--bad); } .cut.bad::after { border-top-style: dashed; }
.cut + .shot { border-top: 0; }
.wide { width: 100%; min-width: 700px; height: auto; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(270px, 1fr)); gap: 24px; }
.two img { width: 100%; max-width: 460px; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px 6px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--faint); font-weight: 500; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
.left th, .left td { text-align: left; white-space: normal; vertical-align: top; overflow-wrap: anywhere; }
.mute td { color: var(--faint); }
dt { font-weight: 600; margin-top: 8px; } dd { margin: 0; }
@media (max-width: 520px) { .strip img:nth-child(even) { display: none; } body { padding: 18px 14px 40px; } }
"""


def write_report(measured: Consistency, target: Path) -> None:
    """Write the page to `target`, whole or not at all. Raises as `require_report` does."""
    require_report(target)
    with written_whole(target) as temporary:
        temporary.write_bytes(report_page(measured).encode())


def require_report(target: Path) -> None:
    """Raises InputError where the folder of `target` is missing, MPVGError without matplotlib."""
    if not target.parent.is_dir():
        raise InputError(Problem("--report", f"{target.parent} is not there", "a folder", "make it first"))
    require_matplotlib()


def report_page(measured: Consistency) -> str:
    """The page as HTML: nothing is loaded from anywhere, there is no script, and equal measurements give equal pages.

    Raises MPVGError without matplotlib.
    """
    title = escape(measured.reel.title)
    parts = [
        f"<h1>{title}</h1><p class='faint'>{escape(_about(measured))}</p>",
        _tiles(measured),
        _doubts(measured),
        "<h2>Shots</h2>" + _shots(measured),
        "<h2>Change from frame to frame</h2>" + _curve(measured),
        "<h2>Likeness of every two shots</h2>" + _matrices(measured),
        "<h2>Each shot by itself</h2>" + _table(measured.shots),
        "<h2>How it was filmed and measured</h2>" + _settings(measured),
        "<h2>What the figures mean</h2>" + _meanings(),
    ]
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{title}: consistency</title><style>{_STYLE}</style></head>"
    )
    return f"{head}<body>{''.join(parts)}</body></html>\n"


def _about(measured: Consistency) -> str:
    reel, count = measured.reel, len(measured.shots)
    model = (
        f", filmed by {reel.about['model']['name']}"
        if reel.about
        else ", a video file: shots are what lies between cuts"
    )
    seconds = reel.frames / reel.fps
    shots = f"{count} shot{'s' if count > 1 else ''}"
    return f"{shots}, {seconds:.1f} s at {reel.fps:.4g} frames a second{model}, measured by {measured.features}"


def _tiles(measured: Consistency) -> str:
    summary, tiles = measured.summary, []
    for name, shared, apart, every in (
        ("Actors across shots", summary.subject_shared, summary.subject_apart, summary.subject_all),
        ("Places across shots", summary.place_shared, summary.place_apart, summary.place_all),
    ):
        if shared is None:
            tiles.append((name, shown(every), "any two shots; none are known to share one"))
        else:
            tiles.append((name, shown(shared), f"the same in both shots; others {shown(apart)}"))
    tiles.append(("Motion", shown(summary.motion, 100, "%"), "of the short side in 1/8 s"))
    cuts = measured.cuts
    if cuts is None:
        tiles.append(("Cuts", str(len(measured.reel.found("cut"))), "found; no storyboard is known"))
    else:
        tiles.append(("Cuts", shown(cuts.accuracy), cuts_in_words(cuts)))
    tiles.append(("Colour drift", f"{summary.drift:.1f}", "ΔE from shot 1 at most"))
    if summary.text is not None:
        tiles.append(("Text", shown(summary.text), "likeness of shots to their prompts"))
    cells = (
        f"<div class='tile'>{name}<b>{value}</b><span class='faint'>{said}</span></div>" for name, value, said in tiles
    )
    return f"<div class='tiles'>{''.join(cells)}</div>"


def _doubts(measured: Consistency) -> str:
    if not measured.doubts:
        return "<p class='faint'>Every shot moves and differs from the others, so these figures do say something.</p>"
    return f"<ul class='doubts'>{''.join(f'<li>{escape(doubt)}</li>' for doubt in measured.doubts)}</ul>"


def _shots(measured: Consistency) -> str:
    return "".join(_joint(measured, shot) + _shot(measured, shot) for shot in measured.shots)


def _joint(measured: Consistency, shot: MeasuredShot) -> str:
    """The mark between a shot and the one before it."""
    reel, start = measured.reel, shot.shot.start
    at = f"frame {start}, {start / reel.fps:.2f} s"
    if shot is measured.shots[0]:
        return ""
    if reel.wanted is not None and start not in reel.wanted:
        return f"<div class='cut'>crossfade from {at}</div>"
    if measured.cuts is not None and start in measured.cuts.missed:
        return f"<div class='cut bad'>cut not seen, {at}</div>"
    found = dict(measured.cuts.matched)[start] if measured.cuts is not None else start
    return f"<div class='cut'>cut, {at}{'' if found == start else f', seen at frame {found}'}</div>"


def _shot(measured: Consistency, shot: MeasuredShot) -> str:
    known = [shot.shot.name, *shot.shot.actors, *shot.shot.places]
    inside = (
        []
        if measured.cuts is None
        else [frame for frame in measured.cuts.extra if shot.shot.start < frame < shot.shot.start + shot.shot.frames]
    )
    marks = "".join(f"<div class='cut bad'>unwanted cut, frame {frame}</div>" for frame in inside)
    said = f" · <span style='color:var(--warn)'>{escape(shot.mute)}</span>" if shot.mute else ""
    prompt = escape(shot.shot.prompt) or f"frames {shot.shot.start} to {shot.shot.start + shot.shot.frames - 1}"
    pictures = "".join(f"<img alt='' src='{_jpeg(picture)}'>" for picture in shot.pictures)
    return (
        f"<div class='shot'><p>{shot.shot.number}&ensp;{prompt}</p>"
        f"<p class='faint'>{escape(' · '.join(known))}{said}</p><div class='strip'>{pictures}</div>{marks}</div>"
    )


def _curve(measured: Consistency) -> str:
    wanted = (
        ""
        if measured.reel.wanted is None
        else (
            " Grey lines are the storyboard's cuts, grey bands its crossfades, "
            "a red ring a cut that was not seen, a red cross one that is not wanted."
        )
    )
    said = (
        f"V: the mean change of hue, saturation, value. Dots are cuts, diamonds ends of fades that were found.{wanted}"
    )
    picture = _image(draw_curve(measured), "image/svg+xml")
    return (
        f"<p class='faint'>{said}</p><div class='scroll'>"
        f"<img class='wide' alt='The change of each frame' src='{picture}'></div>"
    )


def _matrices(measured: Consistency) -> str:
    if len(measured.shots) < 2:
        return "<p>There is one shot only.</p>"
    said = "1 is the same. Framed: shots whose prompts name the same actor or place. Grey: says nothing, see above."
    if measured.reel.names_guessed:
        said += " The names were read from the prompts; tell them by storyboard, actors or places."
    images = "".join(
        f"<img alt='Likeness of {what}s' src='{_image(draw_likeness(measured, what), 'image/svg+xml')}'>"
        for what in ("subject", "place")
    )
    return f"<p class='faint'>{said}</p><div class='two'>{images}</div>"


def _table(shots: Sequence[MeasuredShot]) -> str:
    with_text = any(shot.figures.text is not None for shot in shots)
    names = ["Shot", "Frames", "Actor within", "Place within", "Motion", "Flicker", "Sharpness", "Colour drift"]
    rows = []
    for shot in shots:
        found = shot.figures
        cells = [str(shot.shot.number), str(found.frames), shown(found.subject), shown(found.place)]
        cells += [shown(found.motion, 100, "%"), f"{found.flicker:.2f}", f"{found.sharpness:.0f}", f"{shot.drift:.1f}"]
        cells += [shown(found.text)] if with_text else []
        rows.append((cells, " class='mute'" if shot.mute else ""))
    head = _row([*names, *(["Text"] if with_text else [])], "th")
    body = "".join(_row(cells, "td", kind) for cells, kind in rows)
    return f"<div class='scroll'><table>{head}{body}</table></div>"


def _settings(measured: Consistency) -> str:
    reel = measured.reel
    rows: list[tuple[str, Any]] = []
    if reel.about:
        model = reel.about["model"]
        rows += [("model", f"{model['name']} ({model['fingerprint']})"), ("adapter", reel.about["adapter"] or "none")]
        rows += [(key.replace("_", " "), value) for key, value in reel.about["settings"].items()]
        rows += [("seeds", ", ".join(f"{shot.number}: {shot.seed}" for shot in reel.shots))]
    cuts = reel.scenes.settings
    rows += [("features", measured.features)]
    rows += [("cuts", f"threshold {cuts.threshold:g}, at least {cuts.min_frames} frames between two")]
    lines = "".join(_row([escape(name), escape(str(value))], "td") for name, value in rows)
    return f"<table class='left'>{lines}</table>"


def _meanings() -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(said)}</dd>' for name, said in FIGURES)}</dl>"


def _row(cells: Iterable[str], kind: str, attributes: str = "") -> str:
    return f"<tr{attributes}>{''.join(f'<{kind}>{cell}</{kind}>' for cell in cells)}</tr>"


def _jpeg(picture: NDArray[np.uint8]) -> str:
    file = BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=90, subsampling=0)
    return _image(file.getvalue(), "image/jpeg")


def _image(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"
