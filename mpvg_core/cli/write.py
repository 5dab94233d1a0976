"""`mpvg write`: from an idea to a storyboard, by a language model or by the template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import InputError, MPVGError, Problem
from ..film.durable import write_whole
from ..storyboard.dump import dump_storyboard
from ..storyboard.writer import Ask, Brief, ReplyRefused, write_by_model, write_by_template
from .outcome import with_exit_codes

Provider = Literal["template", "openai", "local"]
KEY = "OPENAI_API_KEY"


@with_exit_codes
def write(
    context: typer.Context,
    idea: Annotated[str, typer.Argument(metavar="IDEA", help="What the film is about, in a sentence or two.")],
    shots: Annotated[int | None, typer.Option(help="How many shots; by default as the story needs.")] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            metavar="template|openai|local",
            help="template: no model, the same board for the same idea and seed. openai: any OpenAI-compatible "
            "--endpoint. local: a language model's folder, --llm. By default what the other options say, or template.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="The API's base, as http://localhost:11434/v1.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The endpoint's model.")] = None,
    key_env: Annotated[
        str,
        typer.Option(metavar="NAME", help="The environment variable that holds the endpoint's key, if it wants one."),
    ] = KEY,
    timeout: Annotated[float, typer.Option(help="Seconds that the endpoint may take for an answer.")] = 300.0,
    llm: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A chat model's folder in transformers' layout (safetensors).")
    ] = None,
    film_model: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="pocket|PATH",
            help="Keep to what this film model can film: its lengths, prompts and words.",
        ),
    ] = None,
    layout: Annotated[bool, typer.Option("--layout", help="Say with boxes where in the picture everyone is.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed, another board; also the board's own seed.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The storyboard to write (YAML).")] = Path("board.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a storyboard from an idea.

    A model's reply is checked as any storyboard is; what is wrong is sent back to it once. When that does not help, no
    board is written, and its replies are kept beside --out for you to mend.
    """
    chosen = _provider(provider, endpoint, model, llm)
    limits = None
    if film_model is not None:
        from ..backbone.load import model_limits

        limits = model_limits(film_model)
    brief = Brief(idea, shots, layout, seed, limits)
    _require_free(out, force)
    if chosen == "template":
        board = write_by_template(brief)
    else:
        ask = _ask_local(llm, seed) if chosen == "local" else _ask_endpoint(endpoint, model, key_env, timeout)
        try:
            board = write_by_model(brief, ask, on_repair=_say_repair)
        except ReplyRefused as refused:
            kept = out.with_suffix(".reply.txt")
            write_whole(kept, _both(refused.replies), out.parent)
            raise MPVGError(f"{refused}\nNo board was written; what the model said is in {kept}.") from None
    write_whole(out, dump_storyboard(board).encode(), out.parent)
    typer.echo(str(out))


def _provider(provider: str | None, endpoint: str | None, model: str | None, llm: Path | None) -> Provider:
    """The provider that the options mean. Raises InputError, for all at once, where they disagree or one is missing."""
    needs: dict[str, dict[str, object]] = {
        "openai": {"--endpoint": endpoint, "--model": model},
        "local": {"--llm": llm},
        "template": {},
    }
    if provider is None:
        if llm is not None and endpoint is not None:
            raise InputError(Problem("--llm", "given together with --endpoint", "one of them", "say --provider"))
        provider = "local" if llm is not None else "openai" if endpoint or model else "template"
    if provider not in needs:
        raise InputError(Problem("--provider", f"{provider!r} is unknown", f"one of {', '.join(needs)}"))
    problems = [
        Problem(option, "is missing", f"it with --provider {provider}")
        for option, value in needs[provider].items()
        if value is None
    ]
    for other, options in needs.items():
        for option, value in options.items():
            if other != provider and value is not None:
                problems.append(Problem(option, f"means nothing to --provider {provider}", remedy="leave one out"))
    if problems:
        raise InputError(problems)
    return provider  # type: ignore[return-value]


def _require_free(out: Path, force: bool) -> None:
    """Raises InputError before a model is asked when the board could not be written afterwards."""
    if out.is_dir():
        raise InputError(Problem("--out", f"{out} is a folder", "a file", f"for example {out / 'board.yaml'}"))
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(Problem("--out", f"{out} is no YAML file", "a name that ends in .yaml"))
    if out.exists() and not force:
        raise InputError(Problem("--out", f"{out} is there already", "a new file", "name another, or add --force"))
    if not out.parent.is_dir():
        raise InputError(Problem("--out", f"{out.parent} is no folder", "a folder that is there", "make it first"))


def _ask_endpoint(endpoint: str | None, model: str | None, key_env: str, timeout: float) -> Ask:
    from ..endpoint import chat

    assert endpoint is not None and model is not None
    return partial(chat, endpoint=endpoint, model=model, key_env=key_env, timeout=timeout)


def _ask_local(llm: Path | None, seed: int) -> Ask:
    from ..backbone.language_model import LanguageModel

    assert llm is not None
    return LanguageModel(llm, seed=seed).reply


def _say_repair(problems: Sequence[Problem]) -> None:
    typer.echo(f"the reply has {len(problems)} problem{'s' if len(problems) > 1 else ''}; asking once more", err=True)


def _both(replies: tuple[str, ...]) -> bytes:
    """The replies one after the other, each under a heading."""
    parts = [f"--- reply {number} of {len(replies)} ---\n{reply}\n" for number, reply in enumerate(replies, start=1)]
    return "\n".join(parts).encode("utf-8", "backslashreplace")
