"""What a film's shots were told, as subtitles: each prompt for as long as its shot is to be seen."""

from __future__ import annotations

from .assemble import crossfade_frames
from .record import Film


def subtitles(film: Film) -> str:
    """The prompts in full, as SRT; of two shots that overlap in a crossfade both are told."""
    cues, start = [], 0
    for number, (shot, overlap) in enumerate(zip(film.shots, crossfade_frames(film), strict=True), start=1):
        start -= overlap
        end = start + shot.frames
        cues.append(f"{number}\n{_time(start / film.fps)} --> {_time(end / film.fps)}\n{shot.full_prompt}\n")
        start = end
    return "\n".join(cues)


def _time(seconds: float) -> str:
    whole, parts = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{parts:03}"
