"""The history bench: does the look of an actor, which no prompt tells, stay from shot to shot, and by what?

Two kinds of held-out films. `PAIR` (3 shots): A alone, B alone, then both in any order. `LONG` (16 shots), for its
three actors: A A A, then seven shots without A (B, C, B and C, and so on), A again (last seen 8 shots ago), A and B,
and A until shot 16. Every figure rests on the film's own generated shots; the variants film the same third shot again
with the same seeds, in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..diffusion.guidance import HistoryGuidance
from ..history.history import PromptHistory
from .figures import Figure, Shot, average, look_at, look_figures, look_of, prompt_figures
from .filming import Film, Shown, Studio, Variant, every_token
from .world import COLOURS, MOTIONS, PLACES, SHAPES, Look, Role, Scene, Story

A, B, C = 0, 1, 2
PAIR: tuple[tuple[int, ...], ...] = ((A,), (B,), (A, B))
LONG: tuple[tuple[int, ...], ...] = (
    *((A,), (A,), (A,), (B,), (C,), (B, C), (B,), (C,), (B,), (C,)),
    *((A,), (A, B), (A,), (A,), (A,), (A,)),
)
PARTS = ("pairs", "ways", "sweep", "long")
SWEEP = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
FIRST_SEED = 100_000  # held out: training draws from a million on


@dataclass(frozen=True)
class Bench:
    """What was measured: rows of figures by setting, and pictures [n, T, H, W, 3] of each setting's first films."""

    rows: dict[str, dict[str, Figure]]
    clips: dict[str, list[list[np.ndarray]]]


def cast_story(seed: int, shots: Sequence[Sequence[int]]) -> Story:
    """A held-out story whose actors A, B and C appear as `shots` says; which numbers they bear is drawn by the seed."""
    rng = np.random.default_rng([seed, 41])
    colours = rng.permutation(list(COLOURS))
    looks = tuple(Look(str(colours[i]), str(rng.choice(SHAPES))) for i in range(3))
    numbers = [int(number) for number in rng.permutation(3)]
    scenes = []
    for cast in shots:
        place, motion = str(rng.choice(list(PLACES))), str(rng.choice(list(MOTIONS)))
        order = [numbers[actor] for actor in rng.permutation(list(cast))]
        roles = tuple(Role(index, looks[index], motion) for index in order)
        scenes.append(Scene(roles, place))
    return Story(seed, looks, tuple(scenes))


def run_bench(
    studio: Studio,
    guidance: HistoryGuidance,
    steps: int,
    *,
    scheduler: str = "ddim",
    actors: int = 200,
    long_shots: int = len(LONG),
    parts: Collection[str] = PARTS,
    report: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Films and reads everything; `actors` a figure, `long_shots` of the long films' 16 (a trial may take fewer).

    parts: "pairs" films of two actors; "ways" the third shot without history, with another's and with all tokens;
    "sweep" the third shot at each strength of history guidance; "long" the films of 16 shots.
    """
    usual = Variant(guidance, steps, scheduler)
    rows: dict[str, dict[str, Figure]] = {}
    clips: dict[str, list[list[np.ndarray]]] = {}

    if "pairs" in parts:
        pairs = studio.open([cast_story(FIRST_SEED + i, PAIR) for i in range((actors + 1) // 2)])
        report("two actors")
        studio.film(pairs, usual, len(PAIR))
        rows["two actors in shot"] = _later_row(_seen(pairs), len(PAIR))
        clips["two actors in shot"] = [film.clips for film in pairs[:6]]
    if not {"ways", "sweep", "long"} & {*parts}:
        return Bench(rows, clips)

    films = studio.open([cast_story(FIRST_SEED + 50_000 + i, LONG) for i in range(actors)])
    report("first shots")
    studio.film(films, usual, 2)
    firsts = [look_at(film.story.scenes[0], film.clips[0]) for film in films]

    def third(name: str, variant: Variant, histories: Sequence[PromptHistory] | None = None) -> list[Shot]:
        report(name)
        shown = studio.shot(films, variant, histories)
        clips[name] = [[film.clips[0], one.clip] for film, one in zip(films[:6], shown, strict=False)]
        shots = [look_at(film.story.scenes[2], one.clip) for film, one in zip(films, shown, strict=True)]
        pairs = zip(firsts, shots, strict=True)
        rows[name] = look_figures((_lone_look(first), _lone_look(shot)) for first, shot in pairs)
        rows[name] |= prompt_figures(shots)
        rows[name]["moves"] = average(shot.motion_degree for shot in shots)
        rows[name]["tokens"] = _kept(shown)
        return shots

    third("history on", usual)
    if "ways" in parts:
        off = third("history off", replace(usual, remembers=False, guidance=replace(guidance, history_scale=0.0)))
        rows["chance"] = _chance(firsts, off)
        third("all tokens", replace(usual, select=every_token))
        others = [*films[1:], films[0]]
        shuffled = third("shuffled history", usual, [_swapped(a, b) for a, b in zip(films, others, strict=True)])
        strangers = [*firsts[1:], firsts[0]]
        taken = [(_lone_look(first), _lone_look(shot)) for first, shot in zip(strangers, shuffled, strict=True)]
        rows["shuffled history"] |= {f"other's {name}": figure for name, figure in look_figures(taken).items()}
    if "sweep" in parts:
        for scale in SWEEP:
            name = f"w2 = {scale:g}"
            if scale == guidance.history_scale:  # filmed already
                rows[name], clips[name] = rows["history on"], clips["history on"]
            else:
                third(name, replace(usual, guidance=replace(guidance, history_scale=scale)))

    if "long" in parts:
        report("long films")
        studio.film(films, usual, long_shots - 2)
        seen = _seen(films)
        everything = [shot for shots in seen for shot in shots]
        rows["all shots of the long films"] = prompt_figures(everything) | {
            "moves": average(shot.motion_degree for shot in everything)
        }
        rows |= _long_rows(seen, long_shots)
        clips["long films"] = [film.clips for film in films[:3]]
    return Bench(rows, clips)


def _long_rows(seen: Sequence[Sequence[Shot]], shots: int) -> dict[str, dict[str, Figure]]:
    moments = {
        "shot 2 against shot 1": 2,
        "two actors, three in the history": 6,
        "last seen 8 shots ago": 11,
        "shot 16 against shot 1": 16,
    }
    return {name: _later_row(seen, number) for name, number in moments.items() if number <= shots}


def _later_row(seen: Sequence[Sequence[Shot]], number: int) -> dict[str, Figure]:
    """The actors of shot `number` against the first shot that has them."""
    later = [film[number - 1] for film in seen]
    looks = look_figures(
        (_first_look(film[: number - 1], role.index), look_of(shot, role.index))
        for film, shot in zip(seen, later, strict=True)
        for role in shot.scene.roles
    )
    return looks | prompt_figures(later)


def _first_look(shots: Sequence[Shot], index: int) -> Look | None:
    """The actor's look in the first shot that has it."""
    for shot in shots:
        if any(role.index == index for role in shot.scene.roles):
            return look_of(shot, index)
    return None


def _lone_look(shot: Shot) -> Look | None:
    return look_of(shot, shot.scene.roles[0].index)


def _seen(films: Sequence[Film]) -> list[list[Shot]]:
    return [[look_at(s, clip) for s, clip in zip(film.story.scenes, film.clips, strict=False)] for film in films]


def _chance(firsts: Sequence[Shot], thirds: Sequence[Shot]) -> dict[str, Figure]:
    """How often a film's third shot looks like *another* film's first: what agreement is by chance alone.

    A model that draws some looks more often than others agrees with itself more often than one in so many looks.
    """
    first, third = [_lone_look(shot) for shot in firsts], [_lone_look(shot) for shot in thirds]
    return look_figures((a, b) for i, a in enumerate(first) for j, b in enumerate(third) if i != j)


def _swapped(film: Film, other: Film) -> PromptHistory:
    """The film's prompts with the other film's clips."""
    pairs = zip(film.history, other.history, strict=True)
    return PromptHistory(tuple(replace(own, clip=strange.clip) for own, strange in pairs))


def _kept(shown: Sequence[Shown]) -> Figure:
    """Share of the past's words that were kept."""
    return average(one.kept / one.words for one in shown if one.words)
