"""What the shots were told, as subtitles of the film."""

from __future__ import annotations

from fake_film import STORY, make_film, story_plan

from mpvg_core.film.subtitles import subtitles


def test_a_prompt_is_told_as_long_as_its_shot_lasts_and_both_in_a_crossfade(tmp_path):
    fade = {"transition": "crossfade", "transition_seconds": 0.5}
    film, _ = make_film(tmp_path, plan=story_plan(island=fade))
    words = [*STORY.values()]
    times = ["00:00:00,000 --> 00:00:01,125", "00:00:01,125 --> 00:00:02,250"]
    times += ["00:00:01,750 --> 00:00:02,875", "00:00:02,875 --> 00:00:04,000"]
    cues = [f"{number + 1}\n{times[number]}\n{words[number]}\n" for number in range(4)]
    assert subtitles(film) == "\n".join(cues)
