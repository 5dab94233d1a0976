"""A language model writes a storyboard: it is asked, its reply checked as any board is, mended once, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template

from ...errors import InputError, MPVGError, Problem
from ..model import Storyboard
from ..plan import plan_film, require_known_words
from ..read import parse_storyboard
from ..wording import full_prompt
from ..words import shown
from .brief import Brief
from .reply import NoObject, json_object

Message = Mapping[str, str]
"""A role (system, user, assistant) and what is said."""

Ask = Callable[[Sequence[Message]], str]
"""A language model: the conversation so far to its reply."""

SOURCE = "<reply>"
_WORDS_A_TOKEN = 0.75
_LONGEST_REPLY = 20_000  # characters shown to the model again
_MOST_PROBLEMS = 20


class ReplyRefused(MPVGError):
    """No reply is a storyboard. `replies`: what the model said, first to last; `problems`: those of the last."""

    def __init__(self, replies: Sequence[str], problems: Sequence[Problem], reason: str) -> None:
        self.replies, self.problems = tuple(replies), tuple(problems)
        told = "\n".join(str(problem) for problem in problems)
        super().__init__(f"The model's storyboard cannot be used, {reason}:\n{told}")


def write_by_model(
    brief: Brief, ask: Ask, *, on_repair: Callable[[Sequence[Problem]], None] | None = None
) -> Storyboard:
    """The storyboard that the model writes; `on_repair` is told what is wrong with its first reply.

    Raises ReplyRefused when there is no second reply or it is wrong as well, and whatever `ask` raises the first time.
    """
    messages = conversation(brief)
    first = ask(messages)
    try:
        return board_of(first, brief)
    except InputError as error:
        problems = error.problems
    if on_repair is not None:
        on_repair(problems)
    listed = "\n".join(f"- {problem}" for problem in problems[:_MOST_PROBLEMS])
    again = [
        *messages,
        {"role": "assistant", "content": first[:_LONGEST_REPLY]},
        {"role": "user", "content": _part("repair", problems=listed)},
    ]
    try:
        second = ask(again)
    except MPVGError as error:
        raise ReplyRefused((first,), problems, f"and asking once more failed ({error})") from error
    try:
        return board_of(second, brief)
    except InputError as error:
        told = "even after the model was told what is wrong"
        raise ReplyRefused((first, second), error.problems, told) from None


def conversation(brief: Brief) -> list[Message]:
    """What the model is told and shown: the task, one example, the idea."""
    example = json.loads(_file("example.json"))
    board = example["storyboard"]
    if not brief.layout:
        board = {**board, "shots": [{k: v for k, v in shot.items() if k != "layout"} for shot in board["shots"]]}
    task = [_part("task")]
    if brief.layout:
        task.append(_part("layout"))
    if limits := brief.limits:
        words = int(limits.max_tokens * _WORDS_A_TOKEN)
        task.append(_part("model", model=limits.model, tokens=str(limits.max_tokens), words=str(words)))
        if limits.known_words:
            task.append(_part("vocabulary", known=" ".join(limits.known_words)))
    wish = [_part("idea", idea=brief.idea)]
    if brief.shots is not None:
        wish.append(_part("shots", shots=_counted(brief.shots)))
    return [
        {"role": "system", "content": "\n\n".join(task)},
        {"role": "user", "content": _part("idea", idea=example["idea"])},
        {"role": "assistant", "content": json.dumps(board, ensure_ascii=False)},
        {"role": "user", "content": "\n".join(wish)},
    ]


def board_of(reply: str, brief: Brief) -> Storyboard:
    """The storyboard in a reply. Raises InputError with every problem, in words that the model can mend it by."""
    try:
        text = json_object(reply)
    except NoObject as error:
        expected = "one JSON object with title, style, cast, places and shots"
        raise InputError(Problem(SOURCE, f"the reply holds no storyboard: {error}", expected)) from None
    board = parse_storyboard(text, SOURCE, "json")
    problems = list(_unmet(board, brief))
    if brief.limits is not None:
        try:
            require_known_words(plan_film(board, brief.limits), brief.limits)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    changes: dict[str, object] = {"seed": brief.seed}
    if not board.overview:
        changes["overview"] = brief.idea
    return board.model_copy(update=changes)


def _unmet(board: Storyboard, brief: Brief) -> Iterator[Problem]:
    """What the brief asks for and the board does not hold."""
    if brief.shots is not None and len(board.shots) != brief.shots:
        found = f"it has {_counted(len(board.shots))}"
        yield Problem(SOURCE, found, f"exactly {_counted(brief.shots)}", "split, join or leave out shots")
    named = {name for shot in board.shots for name in full_prompt(board, shot.prompt).mentioned}
    for actor in board.cast:
        where = f"{SOURCE}: actor {shown(actor.name)}"
        if not actor.look:
            yield Problem(where, "has no look", "what is always the same about the actor")
        if actor.name not in named:
            yield Problem(where, "is named in no prompt", "the name exactly as in the cast", "name or remove the actor")
    if brief.layout and not any(shot.layout for shot in board.shots):
        yield Problem(SOURCE, "no shot has a layout", "boxes for whom the shots show")


def _counted(shots: int) -> str:
    return f"{shots} shot{'s' if shots > 1 else ''}"


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")


def _part(name: str, **values: str) -> str:
    """A part of prompt.txt, which begins with ``=== name``, with its $values put in."""
    for part in _file("prompt.txt").split("=== ")[1:]:
        heading, _, text = part.partition("\n")
        if heading == name:
            return Template(text.strip()).substitute(values)
    raise KeyError(name)
