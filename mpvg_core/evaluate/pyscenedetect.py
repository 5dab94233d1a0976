"""PySceneDetect's ContentDetector as another judge of the same question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MPVGError, Problem
from ..film.reading import probe
from .cuts import Cut, CutSettings, Scenes


def scan_with_pyscenedetect(path: Path, settings: CutSettings, *, full_size: bool = False) -> Scenes:
    """What PySceneDetect finds in a video file, read and scaled by itself.

    The filter "events" becomes "merge", PySceneDetect's own; the settings of the result say so.

    Raises InputError for a circular hue, which it does not know, and MPVGError without the extra `scenedetect`.
    """
    try:
        from scenedetect import ContentDetector, SceneManager, StatsManager, open_video
        from scenedetect.detector import FlashFilter
        from scenedetect.video_stream import VideoOpenFailure
    except ImportError as error:
        remedy = "pip install 'mpvg[scenedetect]'"
        raise MPVGError(f"PySceneDetect is not installed (or not its OpenCV: {error}): {remedy}") from error

    if settings.circular_hue:
        remedy = "leave the backend at its own, or the hue on its line"
        raise InputError(Problem("circular_hue", "is not known to PySceneDetect", remedy=remedy))
    if settings.filter == "events":
        settings = replace(settings, filter="merge")
    probe(path)  # says what is wrong with a file that is none

    class Recorder(ContentDetector):
        """Notes the time and the score of every frame."""

        def process_frame(self, timecode: Any, frame_img: Any) -> Any:
            found = super().process_frame(timecode, frame_img)
            times.append(timecode.seconds)
            score = self.stats_manager.get_metrics(timecode, [ContentDetector.FRAME_SCORE_KEY])[0]
            scores.append(0.0 if score is None else score)
            return found

    times: list[float] = []
    scores: list[float] = []
    manager = SceneManager(StatsManager())
    if full_size:
        manager.auto_downscale, manager.downscale = False, 1
    hue, saturation, value = settings.weights
    manager.add_detector(
        Recorder(
            threshold=settings.threshold,
            min_scene_len=settings.min_frames,
            weights=ContentDetector.Components(hue, saturation, value, 0.0),
            filter_mode=FlashFilter.Mode[settings.filter.upper()],
        )
    )
    try:
        manager.detect_scenes(open_video(str(path)))
    except VideoOpenFailure as error:
        raise MPVGError(f"{path}: PySceneDetect cannot open it: {error}") from error
    frames = {time: number for number, time in enumerate(times)}
    begun = [frames[start.seconds] for start, _ in manager.get_scene_list()[1:]]
    cuts = tuple(Cut(frame, times[frame], scores[frame]) for frame in begun)
    return Scenes(np.array(scores, np.float32), np.array(times, np.float64), cuts, settings)
