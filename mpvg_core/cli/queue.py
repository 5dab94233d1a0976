"""`mpvg queue`: storyboards filmed by running ComfyUI servers, and the films brought home."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..batch.graph import packaged_graph, read_graph
from ..batch.job import Job
from ..errors import InputError, MPVGError, Problem
from ..film.scratch import Scratch, require_writable
from ..storyboard.model import Storyboard
from ..storyboard.slug import slug_of
from .board import read_board
from .outcome import CANCELLED, FAILED, with_exit_codes

if TYPE_CHECKING:
    from ..batch.job import Outcome

_HERE = ["http://127.0.0.1:8188"]


@with_exit_codes
def queue(
    context: typer.Context,
    boards: Annotated[list[str], typer.Argument(metavar="BOARD...", help="Storyboard files, or - for one from stdin.")],
    server: Annotated[
        list[str], typer.Option(metavar="URL", help="A running ComfyUI with this pack; give it again for more.")
    ] = _HERE,
    workflow: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A graph in API format with one Storyboard node, in place of our own."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where a folder is made for each film.")] = Path("out"),
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds without an answer until a server is gone.")] = 60.0,
    tries: Annotated[int, typer.Option(min=1, help="Servers a board may lose before it is given up.")] = 3,
) -> None:
    """Film storyboards on running ComfyUI servers, the least busy first, and bring the films home."""
    jobs = _jobs(boards, workflow, out)
    try:
        import aiohttp

        from ..batch.dispatch import Dispatch
        from ..batch.server import Server, server_url
        from .queue_news import NewsDesk, table
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "yarl"):
            raise
        raise MPVGError(
            f"mpvg queue needs {error.name}: install the extra 'queue' (pip install 'mpvg[queue]')"
        ) from None
    addresses = list({server_url(address): address for address in server}.values())
    scratch = Scratch(out)
    scratch.sweep()
    outcomes: tuple[Outcome, ...] = ()
    stopped = False

    async def film(news: NewsDesk) -> None:
        nonlocal outcomes
        _cancel_at_ctrl_c()
        async with aiohttp.ClientSession() as session:
            servers = [Server(address, session, timeout) for address in addresses]
            dispatch = Dispatch(
                jobs, servers, out, scratch.folder, tries=tries, timeout=timeout, pause=min(2.0, timeout), on_news=news
            )
            try:
                await dispatch.run()
            finally:
                outcomes = dispatch.outcomes

    try:
        with NewsDesk() as news:
            asyncio.run(film(news))
    except (KeyboardInterrupt, asyncio.CancelledError):
        stopped = True
    finally:
        scratch.close()
    typer.echo(table(outcomes))
    if stopped:
        kept = f"stopped; films that were done are kept in {out}, and finished takes on the servers"
        typer.echo(f"{kept}: the same command goes on from there", err=True)
        raise typer.Exit(CANCELLED)
    if any(outcome.end != "filmed" for outcome in outcomes):
        raise typer.Exit(FAILED)


def _cancel_at_ctrl_c() -> None:
    """Ctrl-C cancels the task that runs now, and it alone: what it does on its way out is not cut short."""
    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError):  # Windows, where asyncio does about the same from Python 3.11 on
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)


def _jobs(boards: list[str], workflow: Path | None, out: Path) -> list[Job]:
    """A job for each board. Raises InputError with the problems of all boards and of the workflow together."""
    problems: list[Problem] = []
    read: dict[str, tuple[Storyboard, str]] = {}
    for board in boards:
        try:
            storyboard, source = read_board(board)
            slug = slug_of(storyboard.title)
            if slug in read:
                same = f"the film is called {storyboard.title!r}, and so is that of {read[slug][1]}"
                raise InputError(Problem(source, same, f"another folder than {out / slug}", "give one another title"))
            require_writable(out / slug)
            read[slug] = storyboard, source
        except InputError as error:
            problems.extend(error.problems)
    try:
        graph = packaged_graph() if workflow is None else read_graph(workflow)
    except InputError as error:
        problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    return [Job(storyboard.title, slug, graph.filled(storyboard)) for slug, (storyboard, _) in read.items()]
