"""How a command ends: one readable line for an error, and the exit code that goes with it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, cast

import typer

from ..errors import InputError, MPVGError

FAILED, WRONG_INPUT, CANCELLED = 1, 2, 130

_Parameters = ParamSpec("_Parameters")
_TRACEBACKS = "mpvg tracebacks"  # key among what the contexts of one run of the program share


def show_tracebacks(context: typer.Context, wanted: bool) -> None:
    """Whether errors come with the place in the program where they arose."""
    context.meta[_TRACEBACKS] = wanted


def with_exit_codes(command: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
    """Let a command end with 2 and all problems for wrong input, 130 for Ctrl-C, 1 and one line for all else.

    The command must have a parameter `context: typer.Context`, which says whether tracebacks are shown.
    """

    @wraps(command)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
        context = cast(typer.Context, kwargs["context"])

        def ended(code: int, *lines: str) -> typer.Exit:
            if context.meta.get(_TRACEBACKS):
                traceback.print_exc()
            for line in lines:
                typer.echo(line, err=True)
            return typer.Exit(code)

        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except InputError as error:
            raise ended(WRONG_INPUT, *(str(problem) for problem in error.problems)) from None
        except KeyboardInterrupt:
            raise ended(CANCELLED, "stopped; finished takes are kept, the same command goes on from here") from None
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output is gone, as in `mpvg plan | head`
            raise typer.Exit(FAILED) from None
        except MPVGError as error:
            raise ended(FAILED, str(error)) from None
        except Exception as error:  # noqa: BLE001 - the last line of defence; --debug shows where it arose
            said = " ".join(str(error).split()) or "no message"
            raise ended(FAILED, f"{type(error).__name__}: {said} (run with --debug to see where)") from None

    return run
