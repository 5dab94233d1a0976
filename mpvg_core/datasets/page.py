"""The page that shows a data set to the eye: pictures, captions, sources and times, in one file that needs no other."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from ..film.durable import written_whole
from ..storyboard.read import read_storyboard
from .cut import PlannedClip, read_record
from .files import CUT, TRANSITION, read_object
from .manifest import Manifest, VideoReport

MOST_CLIPS = 2000  # on one page; each is about 15 KB

_STYLE = """
body { background: #15171b; color: #f2f2ef; font: 15px/1.45 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif;
       margin: 28px; }
h1 { font-size: 24px; margin: 0 0 4px } h2 { font-size: 17px; margin: 28px 0 2px; overflow-wrap: anywhere }
.note { color: #9aa0a8; font-size: 13px } .bad { color: #ffb27a }
.clips { display: flex; flex-wrap: wrap; gap: 16px; margin-top: 10px }
figure { margin: 0; background: #1d2025; border: 1px solid #2b2f36; border-radius: 6px; overflow: hidden }
figure.out { border-color: #8a4f2a } img { display: block; height: 120px; max-width: none }
figcaption { padding: 8px 10px; width: 0; min-width: calc(100% - 20px); overflow-wrap: anywhere }
ul { display: flex; flex-wrap: wrap; gap: 2px 22px; list-style: none; margin: 14px 0 0; padding: 0 }
a { color: inherit }
"""


_ALWAYS = ("videos", "clips", "damaged", "no video")


def write_page(manifest: Manifest, out: Path, file: Path) -> None:
    """Write index.html. Clips above `MOST_CLIPS` are left out, and the page says how many."""
    with written_whole(file) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.writelines(_page(manifest, out))


def _page(manifest: Manifest, out: Path) -> Iterator[str]:
    layout = manifest.settings.layout
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{layout} of {escape(out.name)}</title>'
    yield f"<style>{_STYLE}</style></head><body>\n<h1>{escape(out.name)}: {layout}</h1>\n"
    settings = manifest.settings
    width, height = settings.size
    yield f'<div class="note">{width}x{height}, {settings.fps} fps, clips of up to {settings.frames} frames'
    yield f"{', captions by ' + escape(manifest.captioner) if manifest.captioner else ''}</div>\n<ul>"
    for name, value in manifest.counts().items():
        yield f"<li>{round(value, 1):g} {escape(name)}</li>" if value or name in _ALWAYS else ""
    yield "</ul>\n"
    bad = [video for video in manifest.videos if video.status in ("damaged", "no video")]
    if bad:
        yield "<h2>Not used</h2>\n"
        for video in bad:
            yield f'<div class="bad">{escape(video.source)}: {escape(_problems(video))}</div>\n'
    shown = left = 0
    for video in manifest.videos:
        if not video.folder:
            if video.same_as:
                yield f'<h2>{escape(video.source)}</h2><div class="note">the same as {escape(video.same_as)}</div>\n'
            continue
        if shown + video.clips > MOST_CLIPS:
            left += video.clips
            continue
        shown += video.clips
        yield from _video(video, out / video.folder)
    if left:
        yield f'<h2>{left} more clips</h2><div class="note">are in the data set; the page ends here</div>\n'
    yield "</body></html>\n"


def _video(video: VideoReport, home: Path) -> Iterator[str]:
    record = read_record(home / CUT)
    said = f"{video.width}x{video.height}, {video.fps:g} fps, {_clock(video.length)}, {_number(video.scenes, 'scene')}"
    marks = [
        *([f"{video.too_short} too short"] if video.too_short else []),
        *([f"{video.too_long} too long"] if video.too_long else []),
        *(["enlarged"] if video.enlarged else []),
        *([_number(video.repeated, "repeated frame")] if video.repeated else []),
        *([video.status] if video.status != "built" else []),
    ]
    yield f'<h2>{escape(video.source)}</h2>\n<div class="note">{said}{"".join(f", {mark}" for mark in marks)}</div>\n'
    if video.problems:
        yield f'<div class="bad">{escape(_problems(video))}</div>\n'
    yield '<div class="clips">\n'
    words = _words(video, home)
    for clip in record.clips:
        yield _figure(clip, home, words.get(clip.name, ()))
    yield "</div>\n"


def _words(video: VideoReport, home: Path) -> dict[str, tuple[str, ...]]:
    """By clip what the data set says of it, line by line."""
    if video.transition:
        data = read_object(home / TRANSITION, "build again")
        return {"clip": (data["before"], data["after"])}
    return {
        shot.name.replace(" ", "-"): (shot.prompt,)
        for name in video.stories
        for shot in read_storyboard(home / name).shots
    }


def _figure(clip: PlannedClip, home: Path, words: tuple[str, ...]) -> str:
    chosen = clip.chosen
    strip = base64.b64encode((home / f"{clip.name}.jpg").read_bytes()).decode()
    file = quote(f"{home.parent.name}/{home.name}/{clip.name}.mp4")
    when = f"{_clock(chosen.start)} to {_clock(chosen.stop)}"
    times = f'<a href="{file}">{clip.name}</a>, {when}, {len(chosen.frames)} frames'
    if chosen.cut is not None:
        times += f", cut at frame {chosen.cut}"
    caption = "<br>".join(escape(line) for line in words) or '<span class="bad">no caption</span>'
    return (
        f'<figure{"" if words else " class=out"}><img alt="" src="data:image/jpeg;base64,{strip}">'
        f'<figcaption>{caption}<div class="note">{times}</div></figcaption></figure>\n'
    )


def _problems(video: VideoReport) -> str:
    return "; ".join(video.problems)


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"{int(minutes)}:{rest:05.2f}"
