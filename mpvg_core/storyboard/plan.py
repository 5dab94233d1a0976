"""The plan of a film: every shot with all that is needed to make it, checked before anything is loaded on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import InputError, Problem
from .box import Box
from .continuity import continuous_takes, settled_method
from .lengths import Length, TooLong, longest_length, resolve_length
from .method import Method
from .model import MAX_FRAMES, MAX_SEED, Named, Shot, Storyboard
from .seeds import shot_seed
from .slug import slug_of
from .spelling import closest
from .wording import Wording, expand_looks, full_prompt
from .words import shot_label, shown

_OF_ONE_CLIP = ("regions", "edit", "ends", "control", "same_background", "moving_noise")
"""Methods that speak of the places and times of one clip."""
DEFAULT_CROSSFADE = 0.5
"""Seconds of a crossfade that names no length."""


@dataclass(frozen=True)
class ModelLimits:
    """What a model can film, without the model.

    max_frames, frame_step: a legal length is 1 + frame_step·k <= max_frames (8 for CogVideoX: latent counts stay odd).
    fps: the rate it was trained at; width, height: its own size in pixels, whose sides are multiples of size_step.
    max_tokens: of a prompt, as `count_tokens` counts them.
    unknown_words: the words of a text that the model cannot mean, None = it knows all; known_words: those it knows, if
    they can be listed.
    """

    model: str
    max_frames: int
    frame_step: int
    fps: int
    width: int
    height: int
    size_step: int
    max_tokens: int
    count_tokens: Callable[[str], int]
    unknown_words: Callable[[str], tuple[str, ...]] | None = None
    known_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacedBox:
    """A line of a shot's layout (see `model.Placement`); `words` is the entity with its look, as a prompt says it."""

    entity: str
    words: str
    box: Box
    at: float


@dataclass(frozen=True)
class ShotPlan:
    """A shot with everything resolved.

    `index` counts from 0; `looks_back` names the earlier shots that it may remember, in their order. With the
    transition `smooth` it goes on from the shot before in one take, and `frames` are those that it adds. `method`: how
    the take is made.
    `where` says where it was written, for errors found later: it is no part of what is filmed.
    """

    index: int
    name: str
    prompt: str
    full_prompt: str
    negative: str
    frames: int
    seconds: float
    fps: int
    width: int
    height: int
    seed: int
    tokens: int
    looks_back: tuple[str, ...]
    transition: str
    transition_seconds: float
    notes: tuple[str, ...]
    layout: tuple[PlacedBox, ...] = ()
    method: Method = field(default_factory=Method)
    where: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain data: every field but `where`."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "where"}
        values["layout"], values["method"] = self.layout_json(), self.method.to_json()
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def layout_json(self) -> list[dict[str, Any]]:
        """The layout as plain data."""
        return [{**asdict(line), "box": list(line.box)} for line in self.layout]


@dataclass(frozen=True)
class FilmPlan:
    """What will be filmed. `slug` names the film's folder; `notes` hold for the whole film."""

    title: str
    slug: str
    fps: int
    width: int
    height: int
    shots: tuple[ShotPlan, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the film, and a list 'shots' of `ShotPlan.to_json`."""
        film: dict[str, Any] = {"title": self.title, "slug": self.slug, "fps": self.fps}
        film |= {"width": self.width, "height": self.height, "frames": sum(shot.frames for shot in self.shots)}
        return film | {"notes": list(self.notes), "shots": [shot.to_json() for shot in self.shots]}


def plan_film(
    board: Storyboard, limits: ModelLimits, *, seed: int | None = None, source: str | None = None
) -> FilmPlan:
    """The plan of `board` for a model; `seed` replaces the board's, `source` names it in problems.

    Raises `InputError` with every problem: lengths above the model's, sizes off its grid, prompts with too many tokens,
    crossfades longer than their shots.
    """
    return _Planning(board, limits, board.seed if seed is None else seed, source).film()


def require_known_words(plan: FilmPlan, limits: ModelLimits) -> None:
    """Raises `InputError` for every shot with words that the model cannot mean, in its prompt or in what it should not
    show; a model that knows all words passes.
    """
    problems: list[Problem] = []
    negatives: set[str] = set()
    for shot in plan.shots:
        where = shot.where or shot_label(shot.name)
        problems += _unknown_words(shot.full_prompt, limits, where)
        if shot.negative not in negatives:  # the board's own holds for many shots and is told once
            negatives.add(shot.negative)
            problems += _unknown_words(shot.negative, limits, f"{where}: negative")
    if problems:
        raise InputError(problems)


def require_possible_text(text: str, limits: ModelLimits, where: str) -> None:
    """Raises `InputError`, naming `where`, for a prompt that is too long or has words the model cannot mean."""
    problems = list(_unknown_words(text, limits, where))
    if (tokens := limits.count_tokens(text)) > limits.max_tokens:
        expected = f"at most {limits.max_tokens} for model '{limits.model}'"
        remedy = f"shorten it by {tokens - limits.max_tokens} tokens"
        problems.append(Problem(where, f"{tokens} tokens", expected, remedy))
    if problems:
        raise InputError(problems)


class _Planning:
    """One walk over the board that collects shots and problems."""

    def __init__(self, board: Storyboard, limits: ModelLimits, seed: int, source: str | None) -> None:
        self.board = board
        self.limits = limits
        self.seed = seed
        self.source = source or board.origin.source
        self.problems: list[Problem] = []
        self.fps = board.fps or limits.fps
        self.width, self.height = board.size or (limits.width, limits.height)
        self.takes = {index: take for take in continuous_takes(board.shots) for index in take}

    def film(self) -> FilmPlan:
        if not 0 <= self.seed <= MAX_SEED:
            remedy = f"choose one from 0 to {MAX_SEED}"
            self.problems.append(Problem("seed", f"the seed is {self.seed}", "a seed from 0 on", remedy))
        self._check_size()
        negatives = {self.board.negative: self._check_negative(("negative",), "", self.board.negative)}
        wordings = [full_prompt(self.board, shot.prompt) for shot in self.board.shots]
        shots: list[ShotPlan] = []
        for index, (shot, wording) in enumerate(zip(self.board.shots, wordings, strict=True)):
            if shot.negative is not None and shot.negative not in negatives:
                path = ("shots", index, "negative")
                negatives[shot.negative] = self._check_negative(path, shot_label(shot.name), shot.negative)
            shots.append(self._shot(index, shot, wording))
        self._check_crossfades(shots)
        self._check_takes(shots)
        if self.problems:
            raise InputError(self.problems)
        notes = tuple(self._film_notes(wordings))
        slug = slug_of(self.board.title)
        return FilmPlan(self.board.title or "Untitled", slug, self.fps, self.width, self.height, tuple(shots), notes)

    def _complain(self, path: tuple[int | str, ...], label: str, what: str, expected: str, remedy: str) -> None:
        where = self.board.origin.where(path, label)
        where = self.source + where.removeprefix(self.board.origin.source)
        self.problems.append(Problem(where, what, expected, remedy))

    def _shot(self, index: int, shot: Shot, wording: Wording) -> ShotPlan:
        label = shot_label(shot.name)
        length = self._length(index, shot, label)
        tokens = self.limits.count_tokens(wording.text)
        if tokens > self.limits.max_tokens:
            self._complain_of_tokens(index, shot, wording, tokens)
        where = self.board.origin.where(("shots", index), label)
        return ShotPlan(
            index=index,
            name=shot.name,
            prompt=shot.prompt,
            full_prompt=wording.text,
            negative=self.board.negative if shot.negative is None else shot.negative,
            frames=length.frames,
            seconds=length.frames / self.fps,
            fps=self.fps,
            width=self.width,
            height=self.height,
            seed=shot_seed(self.seed, shot.name) if shot.seed is None else shot.seed,
            tokens=tokens,
            looks_back=self._memory(index, shot),
            transition=shot.transition,
            transition_seconds=self._fade(shot),
            notes=tuple(self._shot_notes(shot, wording, length)),
            layout=self._layout(shot),
            method=settled_method(self.board.shots, self.takes[index], self.board.method),
            where=self.source + where.removeprefix(self.board.origin.source),
        )

    def _length(self, index: int, shot: Shot, label: str) -> Length:
        most, step = self.limits.max_frames, self.limits.frame_step
        try:
            length = resolve_length(shot.frames, shot.seconds, fps=self.fps, max_frames=most, step=step)
        except TooLong:
            length = resolve_length(shot.frames, shot.seconds, fps=self.fps, max_frames=MAX_FRAMES, step=step)
            longest = longest_length(most, step)
            note = f"longer than the {longest} frames of model '{self.limits.model}': made in overlapping windows"
            length = Length(length.frames, f"{length.note}; {note}" if length.note else note)
        if self.takes[index].start == index:
            return self._filled_in(index, length, label)
        if length.frames == 1:
            remedy = "give it more, or join it by a cut"
            self._complain(("shots", index), label, "a smooth transition to a shot of 1 frame", "more frames", remedy)
        return Length(length.frames - 1, length.note)  # its first frame is the last one of the shot before

    def _filled_in(self, index: int, clip: Length, label: str) -> Length:
        """The length of a shot whose clips have the length `clip`, if it is made coarse to fine."""
        how = settled_method(self.board.shots, self.takes[index], self.board.method).infill
        if not how:
            return clip
        apart = clip.frames - 1
        if not apart or apart % (how.keys - 1):
            fitting = ", ".join(str(n + 1) for n in range(1, apart + 1) if apart % n == 0)
            what = f"infill with {how.keys} keys of a clip of {clip.frames} frames"
            expected = f"one of {fitting}" if fitting else "a clip of more than 1 frame"
            self._complain(("shots", index, "method"), label, what, expected, "change the keys or the length")
            return clip
        frames = how.frames(clip.frames)
        note = f"{frames} frames, filled in between the key frames of a clip of {clip.frames}"
        return Length(frames, f"{clip.note}; {note}" if clip.note else note)

    def _memory(self, index: int, shot: Shot) -> tuple[str, ...]:
        # Shots of one continuous take are made together: there is nothing yet to look back on.
        earlier = tuple(other.name for other in self.board.shots[: self.takes[index].start])
        match shot.looks_back:
            case None | "all":
                return earlier
            case "none":
                return ()
            case int(count):
                return earlier[-count:]
            case names:
                return tuple(name for name in earlier if name in names)

    def _layout(self, shot: Shot) -> tuple[PlacedBox, ...]:
        people: tuple[Named, ...] = (*self.board.cast, *self.board.places)
        words = {line.entity: expand_looks(line.entity, people)[0] for line in shot.layout}
        return tuple(PlacedBox(line.entity, words[line.entity], line.box, line.at) for line in shot.layout)

    def _fade(self, shot: Shot) -> float:
        if shot.transition != "crossfade":
            return 0.0
        return DEFAULT_CROSSFADE if shot.transition_seconds is None else shot.transition_seconds

    def _check_crossfades(self, shots: list[ShotPlan]) -> None:
        fades = [shot.transition_seconds for shot in shots] + [0.0]
        for index, shot in enumerate(shots):
            taken = fades[index] + fades[index + 1]
            if taken and taken >= shot.seconds:
                at = index if fades[index] else index + 1
                label = shot_label(shots[at].name)
                what = f"crossfades take {taken:g} of the {shot.seconds:.4g} seconds of {shown(shot.name)}"
                remedy = "shorten transition_seconds or film longer shots"
                self._complain(("shots", at, "transition_seconds"), label, what, "less than the shot itself", remedy)

    def _check_takes(self, shots: list[ShotPlan]) -> None:
        """What shots of one continuous take must share."""
        for index, (shot, written) in enumerate(zip(shots, self.board.shots, strict=True)):
            first, label = shots[self.takes[index].start], shot_label(shot.name)
            for name in shot.method.of_layout if not shot.layout else ():
                remedy = "give it a layout, or switch the method off"
                self._complain(("shots", index), label, f"method {name} without a layout", "boxes", remedy)
            for name in _OF_ONE_CLIP if shot.method.infill else ():
                if name in shot.method.chosen:
                    what = f"method {name} in a shot that infill makes of several clips"
                    self._complain(("shots", index, "method"), label, what, "", "leave one of the two out")
            if shot is first:
                for does, names in shot.method.rivals.items():
                    what = f"methods {' and '.join(names)}, which each {does}"
                    self._complain(("shots", index, "method"), label, what, "one of them", "leave the rest out")
                self._check_lengths(index, shot, shots)
                continue
            goes_on = f"it goes on from {shot_label(first.name)}"
            if written.method.chosen:
                what = f"{', '.join(written.method.chosen)} for a part of a take"
                self._complain(("shots", index, "method"), label, what, goes_on, "say it there, or join it by a cut")
            if shot.negative != first.negative:
                what = "another negative prompt"
                self._complain(("shots", index, "negative"), label, what, goes_on, "give both the same")
            for name in (*_OF_ONE_CLIP, "infill", "history_parts"):
                if name in shot.method.chosen:
                    remedy = f"join it by a cut, or switch it off in {shot_label(first.name)}"
                    self._complain(("shots", index), label, f"method {name} in a take of several shots", "", remedy)

    def _check_lengths(self, index: int, shot: ShotPlan, shots: list[ShotPlan]) -> None:
        """What is taken over from an earlier shot place by place and frame by frame wants one as long."""
        for name in ("edit", "same_background"):
            settings = shot.method.chosen.get(name)
            if name == "same_background" and getattr(settings, "strength", 0.0) == 0.0:
                continue
            for at, model in enumerate(shots):
                # What is kept of a shot is its latent: of a later part of a take with the frame before it, of a shot
                # made coarse to fine the coarse clip's.
                infill, later = model.method.infill, at != self.takes[at].start
                frames = infill.clip_length(model.frames) if infill else model.frames + later
                if settings is not None and model.name in settings.shots and frames != shot.frames:
                    what = f"method {name} with {shot_label(model.name)} of {frames} frames"
                    remedy = "give both one length, or switch the method off"
                    expected = f"{shot.frames}, as the shot has"
                    self._complain(("shots", index), shot_label(shot.name), what, expected, remedy)

    def _check_size(self) -> None:
        step = self.limits.size_step
        if self.width % step or self.height % step:
            near = "x".join(str(max(round(side / step), 1) * step) for side in (self.width, self.height))
            what = f"the size is {self.width}x{self.height}"
            expected = f"multiples of {step} for model '{self.limits.model}'"
            self._complain(("size",), "", what, expected, f"for example {near}")

    def _check_negative(self, path: tuple[int | str, ...], label: str, text: str) -> int:
        tokens = self.limits.count_tokens(text) if text else 0
        over = tokens - self.limits.max_tokens
        if over > 0:
            what = f"the negative prompt has {tokens} tokens"
            self._complain(path, label, what, f"at most {self.limits.max_tokens}", f"shorten it by {over} tokens")
        return tokens

    def _complain_of_tokens(self, index: int, shot: Shot, wording: Wording, tokens: int) -> None:
        count, most = self.limits.count_tokens, self.limits.max_tokens
        own, said = count(shot.prompt), count(wording.without_style)
        parts = {"the prompt itself": own, "the looks of cast and places": said - own, "the style": tokens - said}
        shares = ", ".join(f"{part} {share}" for part, share in parts.items() if share > 0)
        longest = max(parts, key=lambda part: parts[part])
        remedy = f"shorten by {tokens - most} tokens ({shares}), best {longest}"
        what = f"the full prompt has {tokens} tokens"
        expected = f"at most {most} for model '{self.limits.model}'"
        self._complain(("shots", index, "prompt"), shot_label(shot.name), what, expected, remedy)

    def _shot_notes(self, shot: Shot, wording: Wording, length: Length) -> Iterator[str]:
        if length.note:
            yield length.note
        if shot.continues and shot.transition != "smooth":
            yield "meant to go on where the shot before it ends; joined by a cut: with transition smooth it would"
        for written, name in wording.miswritten:
            yield f"'{written}' is not taken for '{name}' of the cast: write it with the same capitals"
        placed = dict.fromkeys(line.entity for line in shot.layout)
        for entity in placed:
            if entity not in wording.mentioned and entity.casefold() not in shot.prompt.casefold():
                yield f"the layout places '{entity}', whom the prompt does not name"
        if self.limits.unknown_words and (unknown := self.limits.unknown_words(wording.text)):
            yield f"words that model '{self.limits.model}' does not know: {', '.join(unknown)}"

    def _film_notes(self, wordings: list[Wording]) -> Iterator[str]:
        own_size = (self.limits.width, self.limits.height)
        if (self.width, self.height) != own_size:
            yield f"the size {self.width}x{self.height} is not the model's own, {own_size[0]}x{own_size[1]}"
        if self.fps != self.limits.fps:
            yield f"{self.fps} frames a second; the model learned motion at {self.limits.fps}"
        mentioned = {name for wording in wordings for name in wording.mentioned}
        parts: tuple[Named, ...] = (*self.board.cast, *self.board.places)
        for part in parts:
            if part.name not in mentioned:
                yield f"'{part.name}' is named in no shot"


def _unknown_words(text: str, limits: ModelLimits, where: str) -> Iterator[Problem]:
    unknown = limits.unknown_words(text) if limits.unknown_words else ()
    if not unknown:
        return
    guesses: Mapping[str, str | None] = {word: closest(word, limits.known_words) for word in unknown}
    hints = ", ".join(f"'{guess}' for '{word}'" for word, guess in guesses.items() if guess)
    known = ", ".join(limits.known_words)
    what = f"model '{limits.model}' does not know {', '.join(shown(word) for word in unknown)}"
    remedy = f"did you mean {hints}?" if hints else "use its words, or choose a larger model"
    yield Problem(where, what, f"its own words: {known}" if known else "", remedy)
