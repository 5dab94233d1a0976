"""Films and clips as they are measured: read frame by frame as streams, with a bar, and ended by Cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import folders, host
from .film import require_takes
from .sockets import FilmOnDisk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..mpvg_core.evaluate.cuts import CutSettings, Scenes
    from ..mpvg_core.evaluate.reel import Reel

    Frame = NDArray[np.uint8]

_LOOKS = 16  # frames between two looks whether the artist has pressed Cancel


class Bar:
    """The bar of a pass over frames, and Cancel while it lasts; called with how many frames have been read."""

    def __init__(self, total: int) -> None:
        self._bar, self._total = host.Progress(max(1, total)), max(1, total)

    def __call__(self, done: int) -> None:
        if done % _LOOKS == 0:
            host.interrupt()
            self._bar.show(min(done, self._total))


def scenes_of(clip: Any, settings: CutSettings, fps: float) -> tuple[str, Scenes, Callable[[], Iterator[Frame]]]:
    """What a clip is called, its scenes, and how to read its frames."""
    from ..mpvg_core.evaluate.scan import scan_film, scan_frames
    from ..mpvg_core.film.reading import probe, read_pictures

    if (file := host.file_of(clip)) is not None:
        info = probe(file)
        scenes = scan_film(file, settings, watch=Bar(round(info.duration * info.fps)))
        return file.name, scenes, lambda: read_pictures(file)
    frames, count, rate = host.stream_of(clip)
    scenes = scan_frames(frames(), settings, fps=rate or fps, watch=Bar(count))
    return "clip", scenes, frames


def picked(frames: Iterator[Frame], wanted: Sequence[int]) -> Iterator[Frame]:
    """The frames of these ascending numbers; no more is read than they need."""
    left = [*wanted]
    for number, frame in enumerate(frames):
        if number % _LOOKS == 0:
            host.interrupt()
        if number == left[0]:
            left.pop(0)
            yield frame
        if not left:
            return


@contextmanager
def reel_of(
    film: Any, settings: CutSettings, actors: Sequence[str] | None, places: Sequence[str] | None
) -> Iterator[tuple[Reel, Path]]:
    """A film or a VIDEO ready to be measured, and the folder of its report.

    A film is joined anew from its takes, so that what is measured is what its socket says, whatever film.mp4 holds.
    """
    from ..mpvg_core.evaluate.reel import open_reel, reel_of_film, reel_of_frames
    from ..mpvg_core.film.assemble import assemble_film
    from ..mpvg_core.film.reading import probe
    from ..mpvg_core.film.takes import TakeStore
    from ..mpvg_core.storyboard.slug import slug_of

    if isinstance(film, FilmOnDisk):
        require_takes(film)
        bar = Bar(2 * sum(shot.frames for shot in film.film.shots))
        with TakeStore(film.folder) as store:
            joined = store.scratch / "measured.mp4"
            try:
                assemble_film(film.film, joined, store.scratch)
                reel = reel_of_film(film.film, joined, settings, actors=actors, places=places, watch=bar)
                yield _watched(reel, bar), film.folder
            finally:
                joined.unlink(missing_ok=True)
    elif (file := host.file_of(film)) is not None:
        info = probe(file)
        bar = Bar(2 * round(info.duration * info.fps))
        reel = open_reel(file, settings, watch=bar)
        home = file.parent if folders.in_output(file) else folders.films_folder() / slug_of(file.stem)
        yield _watched(reel, bar), home
    else:
        frames, count, rate = host.stream_of(film)
        bar = Bar(2 * count)
        reel = reel_of_frames("video", frames, rate or 8.0, settings, watch=bar)
        yield _watched(reel, bar), folders.films_folder() / "video"


def _watched(reel: Reel, bar: Bar) -> Reel:
    """The reel, whose frames are counted on the bar while they are read for the second time."""

    def counted() -> Iterator[Iterator[Frame]]:
        done = reel.frames
        for clip in reel.open_clips():

            def frames(clip: Iterator[Frame] = clip) -> Iterator[Frame]:
                nonlocal done
                for frame in clip:
                    done += 1
                    bar(done)
                    yield frame

            yield frames()

    return replace(reel, open_clips=counted)


def film_in(folder: str) -> FilmOnDisk:
    """The film of a folder under output/mpvg, as its film.json tells it."""
    from ..mpvg_core.film.record import read_film
    from ..mpvg_core.film.takes import TakeStore

    path = folders.film_folder(folder)
    with TakeStore(path) as store:
        return FilmOnDisk(read_film(store), path)
