"""How well and how fast cuts are found.

    python benchmarks/cuts.py quality              # precision and recall on films with known cuts, class by class
    python benchmarks/cuts.py agreement            # our cuts and scores beside PySceneDetect's, on video files
    python benchmarks/cuts.py speed [--video FILE] # CPU seconds of both in turns, one thread each

The last two need the extra `scenedetect`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from cut_films import KINDS, LOOK_ALIKES, Kind, make_film

from mpvg_core.evaluate.cuts import CutSettings, find_scenes
from mpvg_core.evaluate.scan import scan_film
from mpvg_core.film.ffmpeg import address, failure, start
from mpvg_core.film.video import VideoWriter

HERE = Path(__file__).resolve()
HELD_OUT = 3000  # the first seed of films that no constant was chosen on


@dataclass
class Tally:
    """What was found of what was known."""

    hits: int = 0
    extra: int = 0
    missed: int = 0

    def add(self, other: Tally) -> None:
        self.hits, self.extra, self.missed = (
            self.hits + other.hits,
            self.extra + other.extra,
            self.missed + other.missed,
        )

    def __str__(self) -> str:
        found, known = self.hits + self.extra, self.hits + self.missed
        precision = f"{self.hits / found:.3f}" if found else "-"
        recall = f"{self.hits / known:.3f}" if known else "-"
        f1 = f"{2 * self.hits / (found + known):.4f}" if found + known else "-"
        return f"{known:5} {precision:>10} {recall:>7} {f1:>7}"


def quality(seeds: range, size: int, settings: CutSettings) -> Tally:
    """Print a row a class: hard cuts (exact to the frame), then gradual changes (overlapping a known one)."""
    print(f"films: seeds {seeds.start}..{seeds.stop - 1} of each class, {size}x{size}; {settings}")
    print(
        f"{'class':20} {'cuts':>5} {'precision':>10} {'recall':>7} {'F1':>7}   {'fades':>5} precision  recall      F1"
    )
    total, total_fades = Tally(), Tally()
    for kind in (*KINDS, LOOK_ALIKES):
        cuts, fades = _found(kind, seeds, size, settings)
        print(f"{kind.name:20} {cuts}   {fades}", flush=True)
        if kind is not LOOK_ALIKES:
            total.add(cuts)
            total_fades.add(fades)
    print(f"{'all but look-alikes':20} {total}   {total_fades}")
    return total


def _found(kind: Kind, seeds: range, size: int, settings: CutSettings) -> tuple[Tally, Tally]:
    cuts, fades = Tally(), Tally()
    for seed in seeds:
        film = make_film(kind, seed, size)
        scenes = find_scenes(film.frames, settings, fps=film.fps)
        got, known = {cut.frame for cut in scenes.cuts if cut.kind == "cut"}, {*film.cuts}
        cuts.add(Tally(len(got & known), len(got - known), len(known - got)))
        spans = [(cut.frame - cut.extent, cut.frame) for cut in scenes.cuts if cut.kind == "fade"]
        hits = sum(any(_overlap(span, fade) for span in spans) for fade in film.fades)
        extra = sum(not any(_overlap(span, fade) for fade in film.fades) for span in spans)
        fades.add(Tally(hits, extra, len(film.fades) - hits))
    return cuts, fades


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def agreement(folder: Path) -> bool:
    """Print, for video files of several sizes, our cuts beside PySceneDetect's at both sizes of measuring."""
    same = True
    for width, height, grain, kind in ((256, 256, 0, 0), (854, 480, 6, 5), (1280, 720, 4, 11), (1920, 1080, 3, 9)):
        video = _video(folder, KINDS[kind], HELD_OUT + kind, width, height, grain)
        for full_size in (False, True):
            for settings in (CutSettings(filter="merge", min_frames=15), CutSettings(filter="suppress")):
                own = scan_film(video, settings, full_size=full_size)
                theirs = scan_film(video, settings, full_size=full_size, backend="pyscenedetect")
                cuts = [[cut.frame for cut in scenes.cuts] for scenes in (own, theirs)]
                same &= cuts[0] == cuts[1]
                apart = np.abs(own.scores - theirs.scores).max()
                print(
                    f"{KINDS[kind].name}, {width}x{height}, {len(own.times)} frames, "
                    f"measured at {'full size' if full_size else '256 pixels'}, "
                    f"{settings.filter} {settings.min_frames}: {len(cuts[0])} cuts, "
                    f"{'the same' if cuts[0] == cuts[1] else f'differ: {cuts}'}; "
                    f"scores up to {theirs.scores.max():.1f} differ by {apart:.2f} at most",
                    flush=True,
                )
    return same


def speed(video: Path | None, folder: Path, pairs: int) -> None:
    """Print CPU seconds of both for the same file, in turns; each runs on one thread (with its decoder's)."""
    video = video or _video(folder, KINDS[0], HELD_OUT, 1920, 1080, 3)
    rows = []
    for _ in range(pairs):
        own, theirs = (_measured(judge, video) for judge in ("own", "pyscenedetect"))
        rows.append((own["cpu"], theirs["cpu"]))
        print(
            f"{video.name}: {own['frames']} frames, {own['seconds']:.1f} s; CPU seconds: own {own['cpu']:.2f} "
            f"({own['seconds'] / own['cpu']:.1f}x real time), PySceneDetect {theirs['cpu']:.2f} "
            f"({own['seconds'] / theirs['cpu']:.1f}x); wall {own['wall']:.2f} and {theirs['wall']:.2f}",
            flush=True,
        )
    ratios = [theirs / own for own, theirs in rows]
    print(f"PySceneDetect's CPU time is {median(ratios):.2f} times ours (median of {pairs} pairs)")


def _measured(judge: str, video: Path) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_FFMPEG_CAPTURE_OPTIONS": "threads;1"}
    run = [sys.executable, str(HERE), "one", "--judge", judge, "--video", str(video)]
    return json.loads(subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout)


def one(judge: str, video: Path) -> None:
    """Find the cuts of a file once; print what it cost this process and its children, imports apart."""
    if judge == "own":
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()

        def work() -> None:
            scan_film(video, threads=1)
    else:
        import cv2
        from scenedetect import ContentDetector, SceneManager, open_video

        cv2.setNumThreads(1)

        def work() -> None:
            manager = SceneManager()
            manager.add_detector(ContentDetector())
            manager.detect_scenes(open_video(str(video)))

    cpu, wall = _cpu(), time.perf_counter()
    work()
    cost = {"cpu": _cpu() - cpu, "wall": time.perf_counter() - wall}
    scenes = scan_film(video, threads=1) if judge == "own" else None
    if scenes is not None:
        cost |= {"frames": len(scenes.times), "seconds": scenes.segments[-1].end_time}
    print(json.dumps(cost))


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _video(folder: Path, kind: Kind, seed: int, width: int, height: int, grain: int) -> Path:
    """A film of a class as an H.264 file of the given size, with `grain` added at that size."""
    film = make_film(kind, seed, 256)
    small, large = folder / "small.mp4", folder / f"{width}x{height}.mp4"
    with VideoWriter(small, width=256, height=256, fps=round(film.fps)) as writer:
        writer.write(film.frames)
    picture = f"scale={width}:{height}:flags=bicubic" + (f",noise=alls={grain}:allf=t" if grain else "")
    with tempfile.TemporaryFile() as said:
        encoding = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p", "-threads", "1"]
        process = start(
            ["-i", address(small), "-vf", picture, *encoding, address(large)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        if process.wait() != 0:
            raise failure(large, said)
    print(f"{large.name}: {large.stat().st_size * 8 / len(film.frames) * film.fps / 1e6:.1f} Mbit/s, {film.fps:g} fps")
    return large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("quality", "agreement", "speed", "one"))
    parser.add_argument("--seed", type=int, default=HELD_OUT, help="first seed of the films")
    parser.add_argument("--films", type=int, default=10, help="films of each class")
    parser.add_argument("--size", type=int, default=64, help="their width and height, a multiple of 64")
    parser.add_argument("--filter", default="events")
    parser.add_argument("--min-frames", type=int, default=CutSettings().min_frames)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--judge", choices=("own", "pyscenedetect"), default="own")
    options = parser.parse_args()
    if options.what == "one":
        return one(options.judge, options.video)
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "quality":
            settings = CutSettings(filter=options.filter, min_frames=options.min_frames)
            quality(range(options.seed, options.seed + options.films), options.size, settings)
        elif options.what == "speed":
            speed(options.video, Path(folder), options.pairs)
        elif not agreement(Path(folder)):
            sys.exit(1)


if __name__ == "__main__":
    main()
