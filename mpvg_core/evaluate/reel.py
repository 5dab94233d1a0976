"""What is measured: a film with its storyboard, or a video file cut where its cuts are found; frames as streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import InputError, MPVGError, Problem
from ..film.assemble import FILM, crossfade_frames
from ..film.reading import Frame, read_pictures
from ..film.record import RECORD, Film, FilmedShot, read_film
from ..film.takes import TakeStore
from ..film.video import as_given
from .cuts import CutSettings, Scenes
from .roles import roles_of
from .scan import Watch, scan_film, scan_frames


@dataclass(frozen=True)
class ReelShot:
    """One shot: its frames `start` to `start + frames` of the film, and what is known of it.

    actors, places: as its prompt names them; empty where nothing is known. seed, take: None in a video file.
    """

    number: int
    name: str
    start: int
    frames: int
    prompt: str = ""
    actors: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    seed: int | None = None
    take: str | None = None


@dataclass(frozen=True)
class Reel:
    """A film to be measured.

    wanted: the first frame of each shot that the storyboard joins by a cut, None where no storyboard is known.
    fades: (first, one after the last) frame of each crossfade of the storyboard.
    about: model, adapter and settings as film.json has them; empty for a video file.
    """

    title: str
    source: Path
    fps: float
    shots: tuple[ReelShot, ...]
    scenes: Scenes
    wanted: tuple[int, ...] | None
    fades: tuple[tuple[int, int], ...]
    about: dict[str, Any]
    names_guessed: bool
    open_clips: Callable[[], Iterator[Iterator[Frame]]]

    @property
    def frames(self) -> int:
        return len(self.scenes.scores)

    def found(self, kind: str) -> list[int]:
        """The frames of the changes of scene of a kind, 'cut' or 'fade', that were found in the film."""
        return [cut.frame for cut in self.scenes.cuts if cut.kind == kind]

    def fading(self, frame: int) -> bool:
        """Whether a frame lies in a crossfade of the storyboard, or is the first after it."""
        return any(first <= frame <= end for first, end in self.fades)

    def clips(self) -> Iterator[tuple[ReelShot, Iterator[Frame]]]:
        """Each shot with the stream of its frames, in order; a stream is read to its end before the next one."""
        return zip(self.shots, self.open_clips(), strict=True)


def open_reel(
    path: Path,
    settings: CutSettings,
    *,
    actors: Sequence[str] | None = None,
    places: Sequence[str] | None = None,
    watch: Watch | None = None,
) -> Reel:
    """The film at `path`: a folder with film.json, or a video file, whose shots are what lies between its cuts.

    actors, places: names to look for in the prompts; None reads them from the prompts.
    watch: told how far the search for cuts is.

    Raises InputError for a path that is neither, MPVGError for a film whose takes or film.mp4 cannot be used.
    """
    if path.is_dir():
        return _open_film(path, settings, actors, places, watch)
    if not path.exists():
        raise InputError(Problem(str(path), "is not there", f"the folder of a film, with {RECORD}, or a video file"))
    return _open_video(path, settings, watch)


def _open_film(
    folder: Path,
    settings: CutSettings,
    actors: Sequence[str] | None,
    places: Sequence[str] | None,
    watch: Watch | None,
) -> Reel:
    film = read_film(TakeStore(folder))
    if not film.shots:
        raise InputError(Problem(str(folder), "is a film without shots", remedy="film at least one shot"))
    file = folder / FILM
    if not file.is_file():
        raise InputError(Problem(str(file), "is not there", remedy=f'make it with `mpvg assemble "{folder}"`'))
    return reel_of_film(film, file, settings, actors=actors, places=places, watch=watch)


def reel_of_film(
    film: Film,
    file: Path,
    settings: CutSettings,
    *,
    actors: Sequence[str] | None = None,
    places: Sequence[str] | None = None,
    watch: Watch | None = None,
) -> Reel:
    """A film of takes, of which `file` is what `film.assemble` made; the rest as for `open_reel`.

    Raises MPVGError where the file is not as long as the takes make it.
    """
    folder = file.parent
    scenes = scan_film(file, settings, watch=watch)
    overlaps = crossfade_frames(film)
    roles = roles_of([shot.prompt for shot in film.shots], actors, places)
    shots, start = [], 0
    for index, (shot, overlap) in enumerate(zip(film.shots, overlaps, strict=True)):
        start -= overlap
        shots.append(
            ReelShot(
                number=shot.number,
                name=shot.name,
                start=start,
                frames=shot.frames,
                prompt=shot.prompt,
                actors=roles.actors[index],
                places=roles.places[index],
                seed=shot.seed,
                take=shot.take.id,
            )
        )
        start += shot.frames
    if start != len(scenes.scores):
        raise MPVGError(
            f"{file} has {len(scenes.scores)} frames, its takes make {start}; "
            f'put it together again with `mpvg assemble "{folder}"`'
        )
    joints = list(zip(shots[1:], overlaps[1:], strict=True))
    return Reel(
        title=film.title,
        source=folder,
        fps=film.fps,
        shots=tuple(shots),
        scenes=scenes,
        wanted=tuple(shot.start for shot, overlap in joints if not overlap),
        fades=tuple((shot.start, shot.start + overlap) for shot, overlap in joints if overlap),
        about={"model": dict(film.model), "adapter": film.adapter, "settings": dict(film.settings)},
        names_guessed=roles.guessed,
        open_clips=lambda: (_take_frames(shot, film) for shot in film.shots),
    )


def _open_video(file: Path, settings: CutSettings, watch: Watch | None) -> Reel:
    scenes = scan_film(file, settings, watch=watch)
    return _between_cuts(file.name, file, scenes, lambda: read_pictures(file))


def reel_of_frames(
    title: str,
    frames: Callable[[], Iterator[Frame]],
    fps: float,
    settings: CutSettings,
    *,
    watch: Watch | None = None,
) -> Reel:
    """Frames in memory, read afresh by each call of `frames`, as a film whose shots are what lies between its cuts.

    Raises InputError where there is no frame.
    """
    return _between_cuts(title, Path(title), scan_frames(frames(), settings, fps=fps, watch=watch), frames)


def _between_cuts(title: str, source: Path, scenes: Scenes, frames: Callable[[], Iterator[Frame]]) -> Reel:
    segments = scenes.segments
    shots = tuple(
        ReelShot(number, f"shot {number}", segment.start, segment.end - segment.start)
        for number, segment in enumerate(segments, start=1)
    )
    if not shots:
        raise InputError(Problem(str(source), "holds no frame", "a video"))
    lasts = segments[-1].end_time - segments[0].start_time
    return Reel(
        title=title,
        source=source,
        fps=len(scenes.scores) / lasts if lasts > 0 else 8.0,  # a single frame has no rate
        shots=shots,
        scenes=scenes,
        wanted=None,
        fades=(),
        about={},
        names_guessed=False,
        open_clips=lambda: _cut_up(frames(), [shot.frames for shot in shots]),
    )


def _cut_up(frames: Iterator[Frame], lengths: Sequence[int]) -> Iterator[Iterator[Frame]]:
    for length in lengths:
        yield islice(frames, length)


def _take_frames(shot: FilmedShot, film: Film) -> Iterator[Frame]:
    """The take's frames at the model's own size: small ones were enlarged by a whole factor and padded."""
    for frame in read_pictures(shot.take.clip):
        yield as_given(frame, film.width, film.height)
