"""Layouts and takes: a shot without a layout has the take it always had."""

from __future__ import annotations

from fake_film import make_film, story_plan

from mpvg_core.storyboard.plan import PlacedBox

LAYOUT = (PlacedBox("boat", "boat", (0.0, 0.5, 0.5, 0.5), 0.0),)


def ids_of(folder, **changes):
    film, _ = make_film(folder, story_plan(**changes))
    return {shot.name: shot.take.id for shot in film.shots}


def test_shots_without_a_layout_keep_the_takes_they_had_before_there_were_layouts(tmp_path):
    assert ids_of(tmp_path)["dawn"] == "c356dabec8c59c19"
    assert ids_of(tmp_path, home={"layout": LAYOUT})["dawn"] == "c356dabec8c59c19"


def test_a_layout_is_part_of_what_a_take_was_made_from(tmp_path):
    plain, placed = ids_of(tmp_path), ids_of(tmp_path, home={"layout": LAYOUT})
    assert {name for name in plain if plain[name] != placed[name]} == {"home"}
    elsewhere = (PlacedBox("boat", "boat", (0.5, 0.5, 0.5, 0.5), 0.0),)
    another = (PlacedBox("boat", "boat (red)", (0.0, 0.5, 0.5, 0.5), 0.0),)
    homes = [ids_of(tmp_path, home={"layout": layout})["home"] for layout in (LAYOUT, elsewhere, another)]
    assert len(set(homes)) == 3 and homes[0] == placed["home"]


def test_a_film_says_that_its_layouts_place_nobody(tmp_path):
    def notes_of(folder, **changes):
        heard = []
        make_film(folder, story_plan(**changes), on_event=heard.append)
        return [event.text for event in heard if event.kind == "note"]

    assert not any("layout" in note for note in notes_of(tmp_path / "a"))
    assert any("layouts are kept" in note for note in notes_of(tmp_path / "b", home={"layout": LAYOUT}))
