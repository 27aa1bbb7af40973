"""The commands put together, and how every way of ending becomes an exit code and one line."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated, Any, TextIO

import typer

from warren.cli.audit import replay, retrace, verify
from warren.cli.backup import backup
from warren.cli.check import check
from warren.cli.compare import compare
from warren.cli.demo import demo
from warren.cli.look import report, schedule, status
from warren.cli.simulate import simulate
from warren.cli.strategies import strategies
from warren.cli.train import resume, run, worker
from warren.engines.say import say
from warren.errors import RunFailed, WarrenError

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
TRAINING = (["run"], ["worker"], ["resume"], ["demo"])


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command.

    Args:
        arguments: Without the program's name; default: those of this process.

    Returns:
        0 done, 1 the run failed, 2 the request was wrong, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = _carry_out(arguments)
    except BrokenPipeError:
        # Who looks on has seen enough. What trains has not come to its end.
        code = FAILED if arguments[:1] in TRAINING else DONE
    # Here and not at the interpreter's exit, where a closed pipe could only be complained about.
    wrong = _flush(sys.stdout)
    if wrong is not None:
        _complain(f"the output cannot be written: {wrong}")
    _flush(sys.stderr)
    return code if wrong is None else code or FAILED


def build() -> typer.Typer:
    """The command with its subcommands."""
    app = typer.Typer(
        name="warren",
        help="Population Based Training for the training loop that you already have.",
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
    )
    app.callback(invoke_without_command=True)(_first)
    app.command()(check)
    app.command()(run)
    app.command()(worker)
    app.command()(resume)
    app.command()(status)
    app.command()(report)
    app.command()(schedule)
    app.command()(verify)
    app.command()(replay)
    app.command()(retrace)
    app.command()(backup)
    app.command()(compare)
    app.command()(strategies)
    app.command()(simulate)
    # What follows the name belongs to the demo, its --help too.
    passed = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
    app.command(context_settings=passed)(demo)
    return app


def _first(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from warren import __version__

        typer.echo(f"warren {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def _carry_out(arguments: list[str]) -> int:
    usage = _usage_error()
    try:
        # Not through Typer's own main, which has other exit codes for a closed pipe and for Ctrl-C.
        command = typer.main.get_command(build())
        with command.make_context("warren", list(arguments)) as context:
            command.invoke(context)
        return DONE
    except typer.Exit as ended:
        return ended.exit_code
    except RunFailed as error:
        _complain(str(error))
        return FAILED
    except WarrenError as error:
        _complain(" ".join(str(error).split()))
        return WRONG
    except usage as error:
        _complain(_usage(error))
        return WRONG
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED


def _usage_error() -> type[Exception]:
    """Typer's base of usage errors: click's own in its older releases, a copy in newer ones, exported by neither."""
    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _usage(error: Any) -> str:
    path = "warren" if error.ctx is None else error.ctx.command_path
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]}; see {path} --help"


def _complain(message: str) -> None:
    """One line of warren's, then, indented, the traceback of user code where there is one."""
    first, *rest = message.strip().splitlines() or [""]
    say("\n".join([f"warren: {first}", *(f"    {line}" for line in rest)]))


def _flush(stream: TextIO | None) -> str | None:
    """Write what is left; where that cannot be, it and what the interpreter flushes at its exit goes nowhere.

    Returns:
        What was wrong; None where all is written, or its reader has gone (``| head``).
    """
    if stream is None:
        return None
    try:
        stream.flush()
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return None if isinstance(error, BrokenPipeError) else str(error)
    return None
