"""The history bench: its films, its variants, and that its figures can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpvg_core.diffusion.guidance import HistoryGuidance
from mpvg_core.pocket import bench as bench_module
from mpvg_core.pocket.batches import FIRST_TRAINING_SEED
from mpvg_core.pocket.bench import FIRST_SEED, LONG, PAIR, SWEEP, cast_story, run_bench
from mpvg_core.pocket.evaluate import TARGETS, judged
from mpvg_core.pocket.figures import Figure
from mpvg_core.pocket.filming import Film, Shown, Studio, every_token
from mpvg_core.pocket.report import table, write_report
from mpvg_core.pocket.world import COLOURS, SHAPES, Look, Scene, draw_scene


class Remembering(Studio):
    """Stands in for a model: draws the scene with the looks of the history, or with looks of its own where it has
    none."""

    def __init__(self, *, forgets: bool = False) -> None:
        self.forgets = forgets

    def open(self, stories, *, told=False):
        return [Film(story, ("",) * len(story.scenes)) for story in stories]

    def film(self, films, variant, shots):
        for _ in range(shots):
            for film, shown in zip(films, self.shot(films, variant), strict=True):
                film.clips.append(shown.clip)
                film.history = FakeHistory((*film.history, film))

    def shot(self, films, variant, histories=None):
        return [
            self._shown(film, variant, (histories or [f.history for f in films])[index])
            for index, film in enumerate(films)
        ]

    def _shown(self, film, variant, history):
        number = len(film.clips)
        scene = film.story.scenes[number]
        remembers = variant.remembers and variant.guidance.history_scale > 0 and not self.forgets
        source = history[0].story if remembers and len(history) else None
        rng = np.random.default_rng([film.story.seed, number])
        own = tuple(Look(str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))) for _ in range(3))
        looks = film.story.looks if number == 0 or source else own
        if source and source != film.story:
            looks = (source.scenes[0].roles[0].look,) * 3
        kept = 12 if variant.select is every_token else 2
        return Shown(None, draw_scene(with_looks(scene, looks)), kept if len(history) else 0, 12 if len(history) else 0)


class FakeHistory(tuple):
    """The films a fake remembers."""


def with_looks(scene: Scene, looks) -> Scene:
    return replace(scene, roles=tuple(replace(role, look=looks[role.index]) for role in scene.roles))


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "_swapped", lambda film, other: other.history)


def run(studio: Studio, actors: int = 12, long_shots: int = 3):
    return run_bench(studio, HistoryGuidance(2.0, 2.0), 4, actors=actors, long_shots=long_shots)


def test_the_films_are_held_out_and_cast_as_said() -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 20):
        story = cast_story(seed, LONG)
        a = story.scenes[0].roles[0].index
        assert [len(scene.roles) for scene in story.scenes] == [len(cast) for cast in LONG]
        assert {role.index for scene in story.scenes for role in scene.roles} == {0, 1, 2}
        assert all(a not in {role.index for role in scene.roles} for scene in story.scenes[3:10])
        assert story.scenes[10].roles[0].index == story.scenes[2].roles[0].index == a
    assert FIRST_SEED + 100_000 < FIRST_TRAINING_SEED


def test_both_actors_of_a_pair_were_seen_alone_and_stand_in_any_order() -> None:
    stories = [cast_story(seed, PAIR) for seed in range(40)]
    orders = [story.scenes[2].roles[0].index == story.scenes[0].roles[0].index for story in stories]
    assert 5 < sum(orders) < 35


def test_a_model_that_remembers_is_seen_to_remember(swapped: None) -> None:
    rows = run(Remembering()).rows
    assert rows["history on"]["colour"].mean == rows["two actors in shot"]["colour"].mean == 1
    assert rows["shuffled history"]["other's colour"].mean == 1
    assert rows["shuffled history"]["colour"].mean < 0.7
    assert rows["history off"]["colour"].mean < 0.7
    assert rows["w2 = 0"]["colour"].mean < 0.7
    assert rows["history on"]["tokens"].mean == pytest.approx(1 / 6, abs=1e-3)
    assert rows["all tokens"]["tokens"].mean == 1


def test_a_model_that_forgets_is_seen_to_forget(swapped: None) -> None:
    rows = run(Remembering(forgets=True)).rows
    assert rows["history on"]["colour"].mean < 0.7
    assert "| history on | colour | 0." in judged(rows)
    assert "**missed**" in judged(rows)


def test_every_figure_says_how_many_actors_stand_behind_it(swapped: None) -> None:
    rows = run(Remembering(), actors=10).rows
    assert rows["history on"]["colour"].n == rows["two actors in shot"]["colour"].n == 10
    assert {f"w2 = {scale:g}" for scale in SWEEP} <= set(rows)


def test_what_was_not_measured_is_said(swapped: None) -> None:
    verdicts = judged(run(Remembering(), actors=4).rows)
    assert "| last seen 8 shots ago | colour | not measured" in verdicts
    assert len(verdicts.splitlines()) == len(TARGETS) + 2


def test_all_sixteen_shots_are_filmed_and_the_late_ones_compared_with_the_first(swapped: None) -> None:
    bench = run(Remembering(), actors=3, long_shots=16)
    assert bench.rows["last seen 8 shots ago"]["colour"].mean == 1
    assert bench.rows["shot 16 against shot 1"]["shape"].mean == 1
    assert bench.rows["two actors, three in the history"]["colour"].n == 6
    assert bench.rows["all shots of the long films"]["place"].n == 48


def test_parts_can_be_left_out(swapped: None) -> None:
    def part(*names: str, long_shots: int = 3):
        return run_bench(Remembering(), HistoryGuidance(2.0, 2.0), 4, actors=3, long_shots=long_shots, parts=names).rows

    assert [*part("pairs")] == ["two actors in shot"]
    assert [*part("ways")] == ["history on", "history off", "chance", "all tokens", "shuffled history"]
    assert [*part("sweep")] == ["history on", *(f"w2 = {scale:g}" for scale in SWEEP)]
    assert part("long", long_shots=11)["last seen 8 shots ago"]["colour"].n == 3


def test_table_sheets_and_json_are_written(swapped: None, tmp_path) -> None:
    bench = run(Remembering(), actors=4)
    files = write_report(bench, tmp_path / "out", {"steps": 4})
    assert {"table.md", "figures.json", "history-on.png", "w2-0-25.png"} <= {file.name for file in files}
    assert all(file.stat().st_size for file in files)
    assert "| history on | " in table(bench.rows)


def test_a_chance_target_allows_its_interval_and_no_more() -> None:
    off = next(target for target in TARGETS if target.row == "history off" and target.column == "colour")
    rows = {"chance": {"colour": Figure(0.25, 0.004, 39_800)}}  # a model that likes some colours better
    assert off.met(Figure(0.28, 0.05, 200), rows)
    assert not off.met(Figure(0.31, 0.05, 200), rows)
    assert not off.met(Figure(1 / 6, 0.05, 200), rows)


def test_chance_is_what_a_third_shot_has_in_common_with_other_films(swapped: None) -> None:
    found = run_bench(Remembering(forgets=True), HistoryGuidance(2.0, 2.0), 4, actors=60, parts=["ways"]).rows["chance"]
    assert found["colour"].n == 60 * 59
    assert found["colour"].mean == pytest.approx(1 / 6, abs=0.05)
    assert found["shape"].mean == pytest.approx(1 / 4, abs=0.05)
