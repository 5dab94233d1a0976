"""Features of a network: what it gets to see, and what is made of its answers."""

from __future__ import annotations

import numpy as np
import pytest
from toy_films import SQUARE, STAR, put_film, story

from mpvg_core.errors import InputError
from mpvg_core.evaluate.consistency import measure
from mpvg_core.evaluate.cuts import CutSettings
from mpvg_core.evaluate.features import Encoded, cut_out, load_features
from mpvg_core.evaluate.palette import Palette
from mpvg_core.evaluate.reel import open_reel


class MeanColour:
    """A network of colours: a picture is the direction of its mean less grey, a text that of the colour it means."""

    def __init__(self):
        self.seen: list[np.ndarray] = []

    def pictures(self, pictures):
        self.seen += pictures
        return self._unit(np.array([picture.reshape(-1, 3).mean(axis=0) - 128 for picture in pictures]))

    def texts(self, texts):
        return self._unit(np.array([[-1, 0, 0] if "Actor 2" in text else [1, 0, 0] for text in texts]))

    @staticmethod
    def _unit(vectors):
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_what_has_no_weight_is_grey_and_what_lies_around_is_cut_off():
    picture = np.full((20, 30, 3), 200, np.uint8)
    weights = np.zeros((20, 30), np.float32)
    weights[5:9, 10:20] = 1
    weights[6, 12] = 0
    cut = cut_out(picture, weights)
    assert cut.shape == (4, 10, 3)
    assert (cut[1, 2] == 128).all() and (cut[0, 0] == 200).all()


def test_a_network_sees_the_subject_without_its_place(tmp_path):
    network = MeanColour()
    film = put_film(tmp_path, story(STAR, SQUARE, SQUARE, STAR)[:2])
    found = measure(open_reel(film, CutSettings()), Encoded("clip", network))
    subject = network.seen[0]  # of the pink star on the playground
    assert subject.shape[0] < 50 and subject.shape[1] < 50
    assert found.features == "clip"
    assert found.shots[0].figures.text is not None and found.summary.text is not None


def test_each_shot_is_compared_with_its_own_prompt(tmp_path):
    """With the prompts exchanged the figures change."""
    clips, prompts = story(STAR, SQUARE, SQUARE, STAR)[:2], ["Actor 1 runs.", "Actor 2 skis."]
    told = [
        [shot.figures.text for shot in measure(open_reel(film, CutSettings()), Encoded("clip", MeanColour())).shots]
        for film in (put_film(tmp_path / "own", clips, prompts), put_film(tmp_path / "other", clips, prompts[::-1]))
    ]
    assert all(-1 <= figure <= 1 for figures in told for figure in figures)
    assert abs(told[0][0] - told[1][0]) > 0.05 and abs(told[0][1] - told[1][1]) > 0.05


@pytest.mark.parametrize(
    ("kind", "folder", "told"),
    [("palette", "x", "need none"), ("clip", None, "needs a model"), ("vgg", None, "palette, clip, dino")],
    ids=["needless folder", "no folder", "unknown"],
)
def test_features_that_do_not_fit_together_are_refused(kind, folder, told, tmp_path):
    with pytest.raises(InputError, match=told):
        load_features(kind, tmp_path if folder else None)


def test_palette_is_the_kind_that_needs_nothing():
    assert isinstance(load_features("palette", None), Palette)
