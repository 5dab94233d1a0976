"""A remembered shot keeps its true age, though shots between are not remembered."""

from __future__ import annotations

from fake_film import FakeAdapter, make_film


class ListeningAdapter(FakeAdapter):
    """Notes which shots were remembered and how long ago each was."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[list[str], list[int]]] = []

    def history_tokens(self, history, current, selection, ages):
        self.heard.append(([shot.name for shot in history], list(ages)))
        return super().history_tokens(history, current, selection, ages)


def test_the_adapter_hears_how_many_shots_ago_each_remembered_shot_was(tmp_path):
    adapter = ListeningAdapter()
    film, _ = make_film(tmp_path, adapter=adapter)
    assert adapter.heard == [(["dawn"], [1]), (["dawn"], [2])]  # of "storm" and "island"; between them is "storm"
    assert film.shots[2].take.inputs["history"]["shots"][0]["age"] == 2
