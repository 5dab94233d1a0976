"""Our scores and cuts beside OpenCV's and PySceneDetect's own."""

from __future__ import annotations

import numpy as np
import pytest

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.evaluate.cuts import CutSettings, find_scenes
from mpvg_core.evaluate.hsv import rgb_to_hsv
from mpvg_core.evaluate.scan import scan_film, working_size
from mpvg_core.film.video import VideoWriter

cv2 = pytest.importorskip("cv2", exc_type=ImportError)
scenedetect = pytest.importorskip("scenedetect", exc_type=ImportError)


def rough_film(seed, frames=160, size=24):
    """Scenes of 1 to 20 frames, with grain and now and then a flash: many frames near the threshold."""
    rng = np.random.default_rng(seed)
    film = []
    while len(film) < frames:
        picture = rng.integers(0, 256, (size // 4, size // 4, 3)).repeat(4, axis=0).repeat(4, axis=1)
        mean = rng.uniform(0.2, 1.0)
        for _ in range(int(rng.integers(1, 20))):
            level = 1.0 if rng.random() > 0.05 else 0.3
            film.append(np.clip(picture * mean * level + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8))
    return np.stack(film[:frames])


def content_detector(film, settings):
    """What ContentDetector says of the same pictures: scores and cuts."""
    detector = scenedetect.ContentDetector(
        threshold=settings.threshold,
        min_scene_len=settings.min_frames,
        weights=scenedetect.ContentDetector.Components(*settings.weights, 0.0),
        filter_mode=scenedetect.detector.FlashFilter.Mode[settings.filter.upper()],
    )
    detector.stats_manager = scenedetect.StatsManager()
    cuts, scores = [], [0.0]
    for number, frame in enumerate(film):
        time = scenedetect.FrameTimecode(number, fps=24.0)
        cuts += detector.process_frame(time, np.ascontiguousarray(frame[..., ::-1]))
        if number:
            scores += detector.stats_manager.get_metrics(time, ["content_val"])
    return scores, [cut.frame_num for cut in cuts]


def test_every_hue_saturation_and_value_is_opencvs():
    # All differences and orders of the three channels, at every value.
    steps = np.array(
        [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 60, 89, 100, 127, 128, 144, 170, 200, 233, 251, 254, 255], np.uint8
    )
    every = np.arange(256, dtype=np.uint8)
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        colours = np.stack(np.meshgrid(every, every, steps, indexing="ij"), -1).reshape(256, -1, 3)[..., list(order)]
        expected = cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2HSV)
        assert np.array_equal(rgb_to_hsv(colours), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["merge", "suppress"])
@pytest.mark.parametrize("min_frames", [0, 1, 4, 15])
def test_scores_and_cuts_are_content_detectors_frame_for_frame(mode, min_frames):
    for seed in range(3):
        film = rough_film(seed)
        settings = CutSettings(min_frames=min_frames, filter=mode)
        scores, cuts = content_detector(film, settings)
        ours = find_scenes(film, settings, fps=24)
        assert np.array_equal(ours.scores, np.array(scores, np.float32))
        assert [cut.frame for cut in ours.cuts] == cuts
        assert [cut.score for cut in ours.cuts] == [scores[cut] for cut in cuts]
    assert cuts


def test_weights_and_threshold_mean_what_they_mean_there():
    film = rough_film(7)
    settings = CutSettings(weights=(0.5, -0.25, 2.0), threshold=15.0, filter="merge")
    scores, cuts = content_detector(film, settings)
    ours = find_scenes(film, settings)
    assert np.array_equal(ours.scores, np.array(scores, np.float32)) and [cut.frame for cut in ours.cuts] == cuts


@pytest.mark.parametrize("full_size", [False, True])
def test_a_file_has_the_same_cuts_as_both_read_it(tmp_path, full_size):
    film = rough_film(3, frames=48, size=32).repeat(9, axis=1).repeat(12, axis=2)  # 384 x 288
    with VideoWriter(tmp_path / "film.mp4", width=384, height=288, fps=24) as writer:
        writer.write(film)
    for settings in (CutSettings(filter="merge"), CutSettings(filter="suppress")):
        own = scan_film(tmp_path / "film.mp4", settings, full_size=full_size)
        theirs = scan_film(tmp_path / "film.mp4", settings, full_size=full_size, backend="pyscenedetect")
        assert [cut.frame for cut in own.cuts] == [cut.frame for cut in theirs.cuts]
        assert np.abs(own.scores - theirs.scores).max() < 4  # two decoders' ways from YUV to RGB
        assert np.allclose(own.times, theirs.times, atol=1e-4)
    assert own.cuts


@pytest.mark.parametrize(
    ("size", "working"), [((1920, 1080), (256, 144)), ((480, 854), (144, 256)), ((64, 48), (64, 48))]
)
def test_films_are_measured_at_pyscenedetects_size(size, working):
    from scenedetect.scene_manager import compute_downscale_factor

    assert working_size(*size) == working
    assert tuple(round(side / compute_downscale_factor(max(size))) for side in size) == working


def test_what_pyscenedetect_cannot_do_is_refused(tmp_path):
    with VideoWriter(tmp_path / "film.mp4", width=64, height=64, fps=8) as writer:
        writer.write(rough_film(1, frames=4, size=64))
    with pytest.raises(InputError, match="circular_hue: is not known to PySceneDetect"):
        scan_film(tmp_path / "film.mp4", CutSettings(circular_hue=True), backend="pyscenedetect")
    (tmp_path / "none.mp4").write_bytes(b"no film at all")
    with pytest.raises(MPVGError, match=r"none\.mp4"):
        scan_film(tmp_path / "none.mp4", backend="pyscenedetect")
