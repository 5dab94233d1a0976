"""Lengths that a model can film: 1 + step·k frames, up to its longest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Length:
    """A length in frames that the model can film, and what was said about getting there ('' if nothing was rounded)."""

    frames: int
    note: str = ""


class TooLong(ValueError):
    """A shot asks for more than the model's longest; `asked` and `longest` say it in the words the artist used."""

    def __init__(self, asked: str, longest: str) -> None:
        super().__init__(f"{asked} > {longest}")
        self.asked = asked
        self.longest = longest


def longest_length(max_frames: int, step: int) -> int:
    """The largest 1 + step·k that is not above `max_frames`."""
    return 1 + (max_frames - 1) // step * step


def nearest_length(frames: float, max_frames: int, step: int) -> int:
    """The legal length nearest to `frames`, the longer of two equally near; a still only where exactly 1 is asked."""
    if frames == 1:
        return 1
    steps = max(int((frames - 1) / step + 0.5), 1)
    return min(1 + steps * step, longest_length(max_frames, step))


def resolve_length(frames: int | None, seconds: float | None, *, fps: int, max_frames: int, step: int) -> Length:
    """The length of a shot that asks for `frames`, or `seconds`, or neither (the model's longest).

    Raises `TooLong` above the model's longest; half a frame more is rounding.
    """
    longest = longest_length(max_frames, step)
    if frames is not None:
        if frames > longest:
            raise TooLong(f"{frames} frames", f"{longest} frames")
        length = nearest_length(frames, max_frames, step)
        return Length(length, "" if length == frames else f"{frames} frames rounded to {length}")
    if seconds is not None:
        wanted = seconds * fps
        if wanted > longest + 0.5:
            most = f"{longest / fps:.4g} seconds ({longest} frames at {fps} a second)"
            raise TooLong(f"{seconds:g} seconds ({wanted:g} frames)", most)
        # A length in seconds is never a still, however short.
        length = nearest_length(max(wanted, 1 + step / 2), max_frames, step) if longest > 1 else 1
        note = f"{seconds:g} s rounded to {length / fps:.4g} s ({length} frames at {fps} a second)"
        return Length(length, "" if abs(length - wanted) < 0.5 else note)
    return Length(longest)
