"""A box in the picture, as a storyboard writes it."""

from __future__ import annotations

from typing import Any

from .words import complaint, shown

Box = tuple[float, float, float, float]
"""Left, top, width and height in 0..1 of the picture; without width or height it holds nothing."""

_ROUNDING = 1e-6


def read_box(value: Any) -> Box:
    """The box of [left, top, width, height]. Raises a validation error for what does not lie in the picture."""
    expected = "[left, top, width, height], each from 0 to 1 of the picture"
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise complaint(f"the box is {shown(value)}", expected)
    for number in value:
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number <= 1:
            above = isinstance(number, int | float) and number > 1
            remedy = "divide pixels by the picture's width and height" if above else ""
            raise complaint(f"the box holds {shown(number)}", expected, remedy)
    x, y, w, h = (float(number) for number in value)
    for start, side, edge in ((x, w, "right"), (y, h, "lower")):
        if start + side > 1 + _ROUNDING:
            what = f"the box ends beyond the {edge} edge, at {start + side:.4g}"
            raise complaint(what, expected, "the last two numbers are its width and height, not its other corner")
    return x, y, w, h
