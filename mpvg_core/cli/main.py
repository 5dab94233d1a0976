"""The `mpvg` program: its commands, one a file."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from . import assemble, bench, dataset, evaluate, film, plan, queue, scenes, takes, train, write
from .outcome import show_tracebacks

app = typer.Typer(
    name="mpvg",
    help="Film storyboards: every shot is made from its prompt and from what the earlier shots showed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("film")(film.film)
app.command("write")(write.write)
app.command("plan")(plan.plan)
app.command("queue")(queue.queue)
app.command("assemble")(assemble.assemble)
app.command("evaluate")(evaluate.evaluate)
app.command("scenes")(scenes.scenes)
app.add_typer(takes.app, name="takes")
app.add_typer(dataset.app, name="dataset")
app.add_typer(bench.app, name="bench")
app.add_typer(train.app, name="train")
app.add_typer(bench.pocket, name="pocket")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mpvg {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an error arose.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Film storyboards: every shot is made from its prompt and from what the earlier shots showed."""
    show_tracebacks(context, debug)


def main() -> None:
    """Run the program. Exit codes: 0, 1 (failed), 2 (the input must be mended), 130 (stopped by Ctrl-C)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that cannot show a letter must not end a film
    app()
