"""The page and the picture of what was measured."""

from __future__ import annotations

import builtins
import re
from dataclasses import replace

import numpy as np
import pytest
from toy_films import SQUARE, STAR, measured, put_film, story

from mpvg_core.errors import InputError, MPVGError
from mpvg_core.evaluate.pictures import draw_overview
from mpvg_core.evaluate.report import report_page, write_report
from mpvg_core.evaluate.wording import cuts_in_words, summary_lines


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Shots 1 to 3; the second and the third show one clip, so their cut is not seen."""
    one, two, *_ = story(STAR, SQUARE, SQUARE, STAR)
    prompts = [
        "Actor 1 is <b>running</b> on the playground.",
        "Actor 2 is skiing on the snow.",
        "演员 2 在雪地上滑雪。",
    ]
    return measured(put_film(tmp_path_factory.mktemp("film"), [one, two, two], prompts, title="A <film> & 电影"))


@pytest.fixture(scope="module")
def page(found):
    return report_page(found)


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert "<script" not in page and "http:" not in page and "https:" not in page
    sources = re.findall(r"(?:src|href)='([^']*)'", page)
    assert sources and all(source.startswith("data:image/") for source in sources)


def test_words_of_the_storyboard_are_words_and_no_markup(page):
    assert "<title>A &lt;film&gt; &amp; 电影: consistency</title>" in page
    assert "Actor 1 is &lt;b&gt;running&lt;/b&gt;" in page and "<b>running" not in page
    assert "演员 2 在雪地上滑雪。" in page


def test_cuts_are_marked_between_the_shots_and_a_missed_one_is_told(page):
    assert "cut, frame 9, 1.12 s" in page
    assert "cut not seen, frame 18" in page
    assert "shot 2 and shot 3 show the same clip" in page


def test_every_shot_has_its_pictures_its_figures_and_its_seed(page, found):
    assert page.count("data:image/jpeg") == 5 * 3 and page.count("data:image/svg+xml") == 3
    for shot in found.shots:
        assert f"{shot.shot.number}: {shot.shot.seed}" in page
        assert f">{shot.figures.sharpness:.0f}<" in page
    assert "drawn (0000000000000000)" in page and "threshold 27" in page


def test_equal_measurements_give_equal_pages(found, page):
    assert report_page(found) == page


def test_the_page_is_written_whole_and_a_missing_folder_is_told(found, page, tmp_path):
    write_report(found, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == page
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match=r"--report: .*none is not there"):
        write_report(found, tmp_path / "none" / "report.html")


def test_a_film_without_doubts_says_that_its_figures_say_something(found):
    page = report_page(replace(found, doubts=()))
    assert "these figures do say something" in page and "class='doubts'" not in page


@pytest.mark.filterwarnings("ignore:Glyph")  # a machine without Chinese fonts shows boxes
def test_the_main_picture_is_one_image_that_shows_the_likeness(found):
    picture = draw_overview(found, width=600)
    assert (picture[:20] < 100).any()  # the title
    assert picture.dtype == np.uint8 and picture.shape == (460, 600, 3)
    other = draw_overview(replace(found, subject=np.eye(3, dtype=np.float32)), width=600)
    assert found.telling == ((0, 1), (0, 2))  # the second and the third are one clip, which is shown in grey
    changed = np.abs(picture.astype(int) - other).max(axis=-1) > 20
    assert changed[230:].sum() > 10_000 and not changed[:200].any(), "four squares of fifty pixels and more change"


def test_a_report_without_matplotlib_names_the_extra(found, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MPVGError, match=r"pip install 'mpvg\[report\]'"):
        report_page(found)


def test_the_summary_says_what_was_compared_and_every_doubt(found):
    lines = summary_lines(found)
    assert any(line.startswith("cuts") and "1 of 2 seen, each at its frame" in line for line in lines)
    assert sum(line.startswith("doubt: ") for line in lines) == len(found.doubts) >= 2
    assert cuts_in_words(replace(found.cuts, extra=(3,))).endswith("1 not wanted")
