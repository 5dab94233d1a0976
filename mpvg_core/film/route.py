"""Which shots are to be filmed and which have their take already: known before the first denoising step.

A take's id needs only texts: what a shot remembers is chosen by comparing prompts, and an earlier shot enters by its
own take's id. So the ids of all takes, and with them the work to do, follow from the plan alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError, Problem
from ..storyboard.continuity import continuous_takes
from ..storyboard.words import shot_label
from .asked import words_of
from .durable import sha256_file
from .recall import recall
from .record import Memory, takes_in_use
from .takes import Take, TakeStore, take_id

if TYPE_CHECKING:
    from pathlib import Path

    from ..backbone.interface import Backbone, TextEmbedding
    from ..history.adapter import HistoryAdapter
    from ..history.select import SelectionSettings, TokenSelection
    from ..history.space import TokenSpace
    from ..storyboard.plan import FilmPlan, ShotPlan
    from .settings import FilmSettings

Action = Literal["reused", "locked", "kept", "left out", "film"]


@dataclass(frozen=True)
class Errand:
    """A shot and what is to be done about it.

    id: of the take it should have. asked: False when it is filmed only because another shot needs it.
    """

    number: int
    id: str
    shot: ShotPlan
    text: TextEmbedding  # of the prompt that the take shows, or will show
    action: Action
    take: Take | None
    asked: bool
    inputs: Mapping[str, Any]
    memories: tuple[Memory, ...]
    remembered: tuple[int, ...]  # indices of the errands remembered, oldest first
    selection: TokenSelection | None
    built_on: tuple[int, ...] = ()  # indices of the errands that its methods name
    together: range = range(0)  # indices of the errands made in one continuous take with it, its own among them


@dataclass(frozen=True)
class _Wish:
    inputs: Mapping[str, Any]
    id: str
    memories: tuple[Memory, ...] = ()
    remembered: tuple[int, ...] = ()
    selection: TokenSelection | None = None
    built_on: tuple[int, ...] = ()

    @property
    def needs(self) -> tuple[int, ...]:
        """The earlier shots whose takes it is made from."""
        return (*self.remembered, *self.built_on)


@dataclass(frozen=True)
class _Remembering:
    adapter: str  # its fingerprint
    selection: SelectionSettings
    space: TokenSpace | None


def plan_route(
    plan: FilmPlan,
    backbone: Backbone,
    adapter: HistoryAdapter | None,
    settings: FilmSettings,
    store: TakeStore,
    only: Collection[int] | None = None,
    keep: Mapping[str, str] | None = None,
    files: Mapping[str, Path] | None = None,
) -> tuple[list[Errand], dict[str, TextEmbedding]]:
    """The errands of a film in order, and the embedding of every prompt and negative prompt, each encoded once.

    only: numbers (from 1) of the shots to film, None = all; with them go later shots that remember them, and earlier
    ones that they need, as far as their takes are missing.
    keep: ids of takes, by name of their shots, that count as locked in this film.
    files: where each file lies that methods name; what it holds is part of the takes.

    Raises InputError for numbers of shots that are not there, and for locked takes that cannot stand in this film.
    """
    locked = _locked_takes(plan, store, {**store.locked(), **(keep or {})})
    prompts = [take.inputs["prompt"] if (take := locked.get(shot.name)) else shot.full_prompt for shot in plan.shots]
    beside = [words for shot in plan.shots for words in (shot.negative, *words_of(shot.method, shot.layout))]
    texts = _encode_once(backbone, [*prompts, *beside])
    current = [texts[prompt] for prompt in prompts]

    remembering = None
    if adapter is not None:
        # The fingerprint hashes all weights: once is enough.
        remembering = _Remembering(adapter.fingerprint, settings.selection or adapter.selection, adapter.space)
    wishes: list[_Wish] = []
    contents = {name: sha256_file(path) for name, path in (files or {}).items()}
    groups = {index: group for group in continuous_takes(plan.shots) for index in group}
    for group in dict.fromkeys(groups.values()):
        parts: list[_Wish] = []
        for shot in plan.shots[group.start : group.stop]:
            if take := locked.get(shot.name):
                parts.append(_Wish(take.inputs, take.id))
            else:
                parts.append(_wish(plan, shot, current, wishes, backbone, remembering, settings, contents))
        wishes += _made_together(parts)
    there = {wish.id: store.get(wish.id) for wish in wishes}
    asked, filmed = _chosen_work(wishes, groups, {id for id, take in there.items() if take}, only)
    _require_whole_takes(plan, groups, filmed, locked)
    _require_same_model(plan, wishes, filmed, locked, backbone.fingerprint)

    last = takes_in_use(store.folder) if only is not None else {}
    errands = []
    for index, (shot, wish) in enumerate(zip(plan.shots, wishes, strict=True)):
        take = there[wish.id]
        action: Action = "locked" if shot.name in locked else "reused" if take else "film"
        if action == "film" and index not in filmed:
            take = store.get(last.get(shot.name, ""))
            action = "kept" if take and not _misfits(plan, take) else "left out"
        errands.append(
            Errand(
                number=index + 1,
                id=wish.id,
                shot=shot,
                text=current[index],
                action=action,
                take=take if action != "left out" else None,
                asked=index in asked,
                inputs=wish.inputs,
                memories=wish.memories,
                remembered=wish.remembered,
                selection=wish.selection,
                built_on=wish.built_on,
                together=groups[index],
            )
        )
    return errands, texts


def departures(errand: Errand) -> list[str]:
    """In what a locked take differs from its shot on the board: "its take shows 'a boat', the board says 'a ship'"."""
    if errand.action != "locked" or errand.take is None:
        return []
    made, shot = errand.take.inputs, errand.shot
    found = []
    if made["prompt"] != shot.full_prompt:
        found.append(f"its take shows {made['prompt']!r}, the board says {shot.full_prompt!r}")
    for key, wanted in (("negative", shot.negative), ("seed", shot.seed), ("frames", shot.frames)):
        if made[key] != wanted:
            found.append(f"its take has {key} {made[key]!r}, the board says {wanted!r}")
    return found


def _wish(
    plan: FilmPlan,
    shot: ShotPlan,
    texts: Sequence[TextEmbedding],
    earlier: Sequence[_Wish],
    backbone: Backbone,
    remembering: _Remembering | None,
    settings: FilmSettings,
    contents: Mapping[str, str],
) -> _Wish:
    """All that goes into a shot's take; `earlier`: the shots before its continuous take.

    History enters only by the shots of which words were chosen.
    """
    inputs: dict[str, Any] = {
        "format": 1,
        "model": backbone.fingerprint,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "prompt": shot.full_prompt,
        "negative": shot.negative,
        "seed": shot.seed,
        "frames": shot.frames,
        "fps": shot.fps,
        "width": shot.width,
        "height": shot.height,
        **settings.text_inputs(),
        "history": None,
    }
    if shot.layout:  # other takes keep the ids they had before there were layouts
        inputs["layout"] = shot.layout_json()
    named = {*shot.method.shots, *(shot.looks_back if shot.method.cross_shot else ())}
    built_on = tuple(i for i in range(len(earlier)) if plan.shots[i].name in named)
    if shot.method.chosen:
        inputs["method"] = {
            **shot.method.to_json(),
            "takes": [earlier[i].id for i in built_on],
            "files": [contents[file] for file in shot.method.files],
        }
    index = shot.index
    past = [i for i in range(len(earlier)) if plan.shots[i].name in shot.looks_back]
    if remembering is None or not past:
        return _Wish(inputs, take_id(inputs), built_on=built_on)
    found = recall([texts[i] for i in past], texts[index], remembering.selection, remembering.space)
    if not found.kept:
        return _Wish(inputs, take_id(inputs), built_on=built_on)
    memories = tuple(
        Memory(
            shot=plan.shots[past[kept.position]].name,
            take=earlier[past[kept.position]].id,
            age=index - past[kept.position],
            tokens=kept.tokens,
            pieces=kept.pieces,
            serves=kept.serves,
        )
        for kept in found.kept
    )
    remembered = [{"take": memory.take, "age": memory.age, "tokens": [*memory.tokens]} for memory in memories]
    inputs["history"] = {**settings.history_inputs(), "adapter": remembering.adapter, "shots": remembered}
    kept_shots = tuple(past[kept.position] for kept in found.kept)
    return _Wish(inputs, take_id(inputs), memories, kept_shots, found.selection, built_on)


def _made_together(parts: Sequence[_Wish]) -> list[_Wish]:
    """The wishes of a continuous take: each is made from the inputs of all, and of its place among them."""
    if len(parts) == 1:
        return list(parts)
    whole = [part.id for part in parts]
    made = []
    for at, part in enumerate(parts):
        inputs = {**part.inputs, "together": {"at": at, "shots": whole}}
        made.append(replace(part, inputs=inputs, id=take_id(inputs)))
    return made


def _locked_takes(plan: FilmPlan, store: TakeStore, locks: Mapping[str, str]) -> dict[str, Take]:
    takes, problems = {}, []
    for shot in plan.shots:
        if (id := locks.get(shot.name)) is None:
            continue
        fault = store.fault(id)
        take = None if fault else store.get(id)
        if take and not (fault := _misfits(plan, take)):
            takes[shot.name] = take
        else:
            problems.append(Problem(f"shot {shot.name!r}", f"its locked take {id} {fault}", remedy="unlock the shot"))
    if problems:
        raise InputError(problems)
    return takes


def _misfits(plan: FilmPlan, take: Take) -> str | None:
    """Why a take cannot stand in this film, or None."""
    found = (take.inputs["width"], take.inputs["height"], take.inputs["fps"])
    if found == (plan.width, plan.height, plan.fps):
        return None
    return "is {}x{} at {} fps, the film {}x{} at {} fps".format(*found, plan.width, plan.height, plan.fps)


def _encode_once(backbone: Backbone, texts: Sequence[str]) -> dict[str, TextEmbedding]:
    unique = [*dict.fromkeys(texts)]
    return dict(zip(unique, backbone.encode_text(unique), strict=True))


def _chosen_work(
    wishes: Sequence[_Wish], groups: Mapping[int, range], there: Collection[str], only: Collection[int] | None
) -> tuple[set[int], set[int]]:
    """Indices of the shots that were asked for (with those that follow from them), and of those that must be filmed."""
    everything = range(len(wishes))
    if only is None:
        return set(everything), {index for index in everything if wishes[index].id not in there}
    unknown = sorted(number for number in only if not 1 <= number <= len(wishes))
    if unknown:
        count = len(wishes)
        raise InputError(
            Problem("--shots", f"there is no shot {number}", f"numbers from 1 to {count}") for number in unknown
        )
    asked: set[int] = set()
    for index in everything:
        if index + 1 in only or asked.intersection(wishes[index].needs):
            asked.update(groups[index])
    filmed: set[int] = set()
    needed = set(asked)
    for group in reversed([*dict.fromkeys(groups.values())]):
        missing = {index for index in group if wishes[index].id not in there}
        if missing & needed:
            filmed |= missing
            needed.update(*(wishes[index].needs for index in group))
    return asked, filmed


def _require_whole_takes(
    plan: FilmPlan, groups: Mapping[int, range], filmed: Collection[int], locked: Mapping[str, Take]
) -> None:
    """A continuous take is filmed whole or not at all."""
    problems = []
    for index in sorted(filmed):
        for part in groups[index]:
            if plan.shots[part].name in locked:
                what = f"is locked, but {shot_label(plan.shots[index].name)} is made in one take with it"
                problems.append(Problem(shot_label(plan.shots[part].name), what, remedy="unlock it, or lock both"))
    if problems:
        raise InputError(dict.fromkeys(problems))


def _require_same_model(
    plan: FilmPlan, wishes: Sequence[_Wish], filmed: Collection[int], locked: Mapping[str, Take], model: str
) -> None:
    """A latent means something only to the model that made it, so only its takes can be remembered."""
    problems = []
    for index in sorted(filmed):
        for past in wishes[index].needs:
            take = locked.get(plan.shots[past].name)
            if take and take.inputs["model"] != model:
                problems.append(
                    Problem(
                        f"shot {plan.shots[index].name!r}",
                        f"remembers shot {plan.shots[past].name!r}, whose locked take {take.id} another model made",
                        remedy="unlock that shot, or leave it out of looks_back",
                    )
                )
    if problems:
        raise InputError(problems)
