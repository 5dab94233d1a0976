"""Pictures of what was measured: the curve of changes with its cuts, and the likeness of every two shots."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MPVGError
from .colour import Floats
from .consistency import Consistency
from .cuts import Scenes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE, BLUE, RED = "#23262b", "#6b727c", "#d9dce1", "#2f6db5", "#c2452d"
_NUMBERS_UP_TO = 12  # shots; beyond, a matrix shows colours only
_WIDER_FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "WenQuanYi Micro Hei", "Microsoft YaHei", "PingFang SC", "SimSun")
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": LINE,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # the reader's fonts show titles in any script
    "svg.hashsalt": "mpvg",
}


def draw_curve(measured: Consistency) -> bytes:
    """V_t of every frame, the threshold, and the storyboard's cuts: an SVG."""
    with _style():
        figure = _figure(10, 2.7)
        _curve(figure.add_subplot(), measured)
        return _svg(figure)


def draw_likeness(measured: Consistency, what: str) -> bytes:
    """The likeness of every two shots, of 'subject' or 'place': an SVG. Pairs that share a name are framed."""
    with _style():
        figure = _figure(4.6, 4.6)
        _matrix(figure.add_subplot(), measured, what)
        return _svg(figure)


def draw_overview(measured: Consistency, width: int = 1200) -> NDArray[np.uint8]:
    """The main picture of a report as an image [H, W, 3]: pictures of the shots, the curve, both matrices."""
    with _style():
        figure = _figure(12, 9.2, dpi=width / 12, by_hand=True)
        places = {"strip": (0.05, 0.8, 0.93, 0.135), "curve": (0.05, 0.585, 0.86, 0.17)}
        places |= {"subject": (0.05, 0.045, 0.4, 0.45), "place": (0.53, 0.045, 0.4, 0.45)}
        axes = {name: figure.add_axes(place) for name, place in places.items()}
        _strip(axes["strip"], measured)
        _curve(axes["curve"], measured)
        _matrix(axes["subject"], measured, "subject")
        _matrix(axes["place"], measured, "place")
        title = f"{measured.reel.title}: consistency by {measured.features}"
        figure.suptitle(title, x=0.012, ha="left", fontsize=14, family=_fonts_for(title))
        return _pixels(figure)


def draw_scenes(scenes: Scenes, width: int = 1200) -> NDArray[np.uint8]:
    """V_t of every frame with the threshold, cuts (dots), ends of fades (diamonds) and numbers of scenes, as an image
    [H, W, 3]."""
    with _style():
        figure = _figure(12, 3.6, dpi=width / 12)
        axes = figure.add_subplot()
        for cut in scenes.cuts:
            if cut.kind == "fade":
                axes.axvspan(cut.frame - cut.extent, cut.frame, color="#eef1f5", lw=0)
        _scores(axes, scenes)
        marks: dict[str, dict[str, Any]] = {
            "cut": {"marker": "o"},
            "fade": {"marker": "D", "mfc": "white", "mec": BLUE},
        }
        for kind, mark in marks.items():
            found = [cut.frame for cut in scenes.cuts if cut.kind == kind]
            axes.plot(found, scenes.scores[found], color=BLUE, ms=5, ls="", **mark)
        _number(axes, [(segment.start, segment.end - segment.start) for segment in scenes.segments])
        return _pixels(figure)


def _curve(axes: Axes, measured: Consistency) -> None:
    reel, scenes = measured.reel, measured.reel.scenes
    for first, end in reel.fades:
        axes.axvspan(first, end, color="#eef1f5", lw=0)
    for frame in reel.wanted or ():
        axes.axvline(frame, color=LINE, lw=1.2, zorder=0)
    _scores(axes, scenes)
    found, fades = reel.found("cut"), reel.found("fade")
    missed = [] if measured.cuts is None else [*measured.cuts.missed]
    extra = [] if measured.cuts is None else [*measured.cuts.extra]
    good = [frame for frame in found if frame not in extra]
    axes.plot(good, scenes.scores[good], "o", color=BLUE, ms=5)
    axes.plot(extra, scenes.scores[extra], "X", color=RED, ms=8)
    axes.plot(fades, scenes.scores[fades], "D", mfc="white", mec=BLUE, ms=5)
    axes.plot(missed, scenes.scores[missed], "o", mfc="white", mec=RED, mew=1.5, ms=7, clip_on=False)
    _number(axes, [(shot.start, shot.frames) for shot in reel.shots])


def _scores(axes: Axes, scenes: Scenes) -> None:
    """V_t as a line, and the threshold."""
    top = max(float(scenes.scores.max(initial=0)), scenes.settings.threshold) * 1.22
    axes.axhline(scenes.settings.threshold, color=RED, lw=0.9, ls=(0, (4, 3)))
    said = f"threshold {scenes.settings.threshold:g}"
    axes.text(
        1, scenes.settings.threshold, said, transform=axes.get_yaxis_transform(), color=RED, fontsize=9, va="center"
    )
    axes.plot(scenes.scores, color=BLUE, lw=1.3)
    axes.set(xlim=(0, max(1, len(scenes.scores) - 1)), ylim=(0, top), xlabel="frame", ylabel="change V")


def _number(axes: Axes, shots: Sequence[tuple[int, int]]) -> None:
    """The numbers of shots (start, frames) above them; of many, every tenth."""
    for number, (start, frames) in enumerate(shots, start=1):
        if len(shots) <= 24 or number % 10 == 1:
            top = axes.get_ylim()[1]
            axes.text(start + frames / 2, top * 0.99, str(number), color=FAINT, ha="center", va="top")


def _matrix(axes: Axes, measured: Consistency, what: str) -> None:
    from matplotlib.patches import Rectangle

    matrix: Floats = getattr(measured, what)
    count = len(matrix)
    telling = {*measured.telling, *((j, i) for i, j in measured.telling)}
    silent = np.array([[i == j or (i, j) not in telling for j in range(count)] for i in range(count)])
    apart = matrix[~silent]
    lowest = min(0.5, float(np.floor(10 * apart.min()) / 10)) if apart.size else 0.0
    axes.imshow(np.where(np.eye(count, dtype=bool), 0, 1), cmap="Greys", vmin=0, vmax=14)
    axes.imshow(np.ma.masked_array(matrix, silent), cmap="Blues", vmin=lowest, vmax=1.0)
    names = [shot.shot.actors if what == "subject" else shot.shot.places for shot in measured.shots]
    for i in range(count):
        for j in range(count):
            if i == j:
                continue
            if count <= _NUMBERS_UP_TO:
                dark = (matrix[i, j] - lowest) / (1 - lowest) > 0.6
                ink = "#a3a9b1" if silent[i, j] else "white" if dark else INK
                axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", color=ink)
            if not silent[i, j] and {*names[i]} & {*names[j]}:
                axes.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec=INK, lw=1.4))
    every = max(1, -(-count // 20))
    ticks = range(0, count, every)
    labels = [str(measured.shots[index].shot.number) for index in ticks]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title({"subject": "Actors", "place": "Places"}[what], loc="left", fontsize=12)


def _strip(axes: Axes, measured: Consistency) -> None:
    """The middle picture of each shot in a row, at most 12 shots."""
    chosen = [measured.shots[i] for i in np.unique(np.linspace(0, len(measured.shots) - 1, 12).astype(int))]
    pictures = [shot.pictures[len(shot.pictures) // 2] for shot in chosen]
    height, gap = pictures[0].shape[0], 8
    row = np.full((height, sum(p.shape[1] + gap for p in pictures) - gap, 3), 255, np.uint8)
    left = 0
    for shot, picture in zip(chosen, pictures, strict=True):
        row[:, left : left + picture.shape[1]] = picture[:height]
        axes.text(left, height + 3, str(shot.shot.number), color=FAINT, va="top")
        left += picture.shape[1] + gap
    axes.imshow(row, interpolation="antialiased")
    axes.set_anchor("W")
    axes.axis("off")


def _figure(width: float, height: float, dpi: float = 100, *, by_hand: bool = False) -> Figure:
    """An empty figure; its parts find their places by themselves, unless they are placed by hand."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=None if by_hand else "constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def _fonts_for(text: str) -> list[str]:
    """Matplotlib's own font, and for letters beyond it those of this machine that have more."""
    if all(ord(letter) < 0x2E80 for letter in text):
        return ["DejaVu Sans"]
    from matplotlib.font_manager import get_font_names

    return ["DejaVu Sans", *(name for name in _WIDER_FONTS if name in get_font_names())]


def _svg(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def require_matplotlib() -> ModuleType:
    """The module matplotlib. Raises MPVGError, naming the extra, without it."""
    try:
        import matplotlib
    except ImportError as error:
        said = "pictures of figures need matplotlib: pip install 'mpvg[report]', in ComfyUI pip install matplotlib"
        raise MPVGError(said) from error
    return matplotlib


def _style() -> AbstractContextManager[Any]:
    style: AbstractContextManager[Any] = require_matplotlib().rc_context(_STYLE)
    return style
