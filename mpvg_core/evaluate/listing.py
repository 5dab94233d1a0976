"""The scenes of a film as lines and as plain data."""

from __future__ import annotations

from dataclasses import asdict

from .cuts import Scenes


def scenes_as_json(video: str, scenes: Scenes) -> dict[str, object]:
    """The scenes of the video of this name as plain data. It must have a frame."""
    scores = {cut.frame: cut.score for cut in scenes.cuts if cut.kind == "cut"}
    return {
        "video": video,
        "frames": len(scenes.times),
        "seconds": scenes.segments[-1].end_time,
        "settings": asdict(scenes.settings),
        "segments": [asdict(segment) | {"score": scores.get(segment.start)} for segment in scenes.segments],
        "cuts": [asdict(cut) for cut in scenes.cuts],
    }


def scenes_as_text(video: str, scenes: Scenes) -> str:
    """A line for the video of this name, then one for every scene and every fade, with time codes and scores."""
    segments = scenes.segments
    fades = [cut for cut in scenes.cuts if cut.kind == "fade"]
    counts = [_counted(len(segments), "scene"), _counted(len(segments) - 1, "cut")]
    counts += [_counted(len(fades), "fade")] if fades else []
    lines = [f"{video}: {', '.join(counts)}, {_counted(len(scenes.times), 'frame')}"]
    scores = {cut.frame: f", score {cut.score:.1f}" for cut in scenes.cuts if cut.kind == "cut"}
    for number, segment in enumerate(segments, start=1):
        span = f"{_time_code(segment.start_time)} - {_time_code(segment.end_time)}"
        lines.append(f"{number:4}  {span}  frames {segment.start}-{segment.end - 1}{scores.get(segment.start, '')}")
        for fade in fades:
            if segment.start <= fade.frame - fade.extent < segment.end:
                begun = fade.frame - fade.extent
                span = f"{_time_code(float(scenes.times[begun]))} - {_time_code(fade.time)}"
                lines.append(f"      {span}  frames {begun}-{fade.frame - 1}, fade, score up to {fade.score:.1f}")
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _time_code(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
