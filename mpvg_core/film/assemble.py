"""The film made from stored takes alone: shots joined by cuts and crossfades, and a sound track laid under them.

Shots joined by cuts keep their clips' own H.264 data: nothing is compressed twice and joining takes no time. Shots
joined by crossfades are decoded, blended and encoded together, frame by frame; the shots around them stay untouched.
Every step goes from files to files, so it can be repeated, and gives the same bytes each time.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import InputError, MPVGError, Problem
from .contact import draw_contact_sheet
from .durable import move_into_place, sha256_file
from .reading import read_pictures
from .record import Film, FilmedShot, write_record
from .takes import TakeStore
from .video import Frames, VideoWriter, add_audio, encoder, join_clips, sound_fault, written_size

FILM, CONTACT = "film.mp4", "contact.png"


@dataclass(frozen=True)
class FilmFiles:
    """Where a finished film lies."""

    film: Path
    contact: Path
    record: Path


def finish_film(film: Film, store: TakeStore, audio: Path | None = None) -> FilmFiles:
    """Write film.mp4, contact.png and film.json into the store's folder, from the takes alone.

    Raises InputError when there is no shot, a crossfade is longer than its shots, or the sound file holds no sound,
    MPVGError when another program holds one of the three open.
    """
    if not film.shots:
        raise InputError(Problem(f"film {film.title!r}", "has no take of any shot", remedy="film at least one shot"))
    try:
        assemble_film(film, store.folder / FILM, store.scratch, audio)
        draw_contact_sheet(film, store.folder / CONTACT, store.scratch)
        names = (FILM, CONTACT)
        record = write_record(film, store, {name: sha256_file(store.folder / name) for name in names})
    except PermissionError as error:
        held = Path(error.filename2 or error.filename or store.folder)
        remedy = f'close the player that holds it open, then run `mpvg assemble "{store.folder}"`'
        raise MPVGError(f"{held} cannot be replaced ({error.strerror}): {remedy}") from error
    return FilmFiles(store.folder / FILM, store.folder / CONTACT, record)


def assemble_film(film: Film, target: Path, scratch: Path, audio: Path | None = None) -> int:
    """Write the film to `target`; gives its number of frames, fewer than the shots' with crossfades.

    Raises InputError for a sound file without sound, and for crossfades longer than their shots.
    """
    if audio is not None and (fault := sound_fault(audio)):
        raise InputError(Problem(f"audio {audio}", fault, "a sound file"))
    overlaps = crossfade_frames(film)
    frames = sum(shot.frames for shot in film.shots) - sum(overlaps)
    pieces = []
    for number, run in enumerate(_runs(overlaps)):
        shots = [film.shots[index] for index in run]
        if len(shots) == 1 and shots[0].take.manifest["clip"]["encoder"] == encoder():
            pieces.append(shots[0].take.clip)
        else:
            piece = scratch / f"run-{number}.mp4"
            _encode_run(shots, [overlaps[index] for index in run], piece, film.fps)
            pieces.append(piece)
    silent = scratch / f"silent-{FILM}"
    if len(pieces) == 1:
        shutil.copyfile(pieces[0], silent)
    else:
        join_clips(pieces, silent, scratch)
    if audio is None:
        move_into_place(silent, target)
    else:
        add_audio(silent, audio, target, scratch, seconds=frames / film.fps)
        silent.unlink()
    for piece in scratch.glob("run-*.mp4"):
        piece.unlink()
    return frames


def crossfade_frames(film: Film) -> list[int]:
    """For each shot, by how many frames it overlaps the one before; 0 is a cut. The first has nothing to overlap.

    Raises InputError, for all shots at once, when a shot is too short for the crossfades at its two ends.
    """
    overlaps = [
        round(shot.transition_seconds * film.fps) if index and shot.transition == "crossfade" else 0
        for index, shot in enumerate(film.shots)
    ]
    problems = [
        Problem(
            f"shot {shot.name!r}",
            f"its {shot.frames} frames are too few for crossfades of {before} and {after} frames",
            remedy="shorten the crossfades or lengthen the shot",
        )
        for shot, before, after in zip(film.shots, overlaps, [*overlaps[1:], 0], strict=True)
        if before + after > shot.frames
    ]
    if problems:
        raise InputError(problems)
    return overlaps


def blended(clips: Sequence[Iterator[Frames]], overlaps: Sequence[int]) -> Iterator[Frames]:
    """The frames of clips that overlap, each by `overlaps[i]` frames with the one before (`overlaps[0]` is not used).

    Frame k of a crossfade of d frames is (1 - a) old + a new with a = (k + 1) / (d + 1). Never more than the longest
    crossfade is held in memory.
    """
    held: deque[Frames] = deque()
    for index, clip in enumerate(clips):
        old = [*held]
        held.clear()
        for k, (before, after) in enumerate(zip(old, islice(clip, len(old)), strict=True)):
            share = (k + 1) / (len(old) + 1)
            yield np.rint((1.0 - share) * before + share * after).astype(np.uint8)
        keep = overlaps[index + 1] if index + 1 < len(clips) else 0
        for frame in clip:
            held.append(frame)
            if len(held) > keep:
                yield held.popleft()


def _runs(overlaps: Sequence[int]) -> list[list[int]]:
    """Shot indices grouped so that crossfades join shots within a group and cuts join the groups."""
    runs: list[list[int]] = []
    for index, overlap in enumerate(overlaps):
        if overlap and runs:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _encode_run(shots: Sequence[FilmedShot], overlaps: Sequence[int], target: Path, fps: int) -> None:
    clips = [read_pictures(shot.take.clip) for shot in shots]
    clip = shots[0].take.manifest["clip"]
    with VideoWriter(target, width=clip["width"], height=clip["height"], fps=fps) as writer:
        for frame in blended(clips, overlaps):
            writer.write(frame)


def clip_record(width: int, height: int) -> dict[str, object]:
    """What a take's manifest says of its clip: the size of the file, and the encoder with its settings."""
    wide, high = written_size(width, height)
    return {"width": wide, "height": high, "encoder": encoder()}
