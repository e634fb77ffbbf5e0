"""The `alexnet` command: its verbs, and errors as three lines with an exit code.

The verbs' modules import the stages inside their functions, so that help and mistyped commands
answer at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import Annotated, NoReturn

import typer

from alexnet import __version__
from alexnet.base import ranks
from alexnet.base.errors import AlexNetError, EnvironmentProblem, Stopped, UsageError
from alexnet.base.names import printable
from alexnet.base.signals import stop_request
from alexnet.cli import (
    benchmark,
    data,
    doctor,
    evaluate,
    exchange,
    export,
    features,
    quickstart,
    reproduce,
    summary,
    train,
)

INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 1  # as Typer has it

# What the processes of `torchrun` do together; anything else the first does alone.
_SHARED = ("train ", "resume ", "data prepare ", "evaluate ", "predict ", "features ")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in half the time
)

app.command()(quickstart.quickstart)
app.command()(doctor.doctor)
app.add_typer(data.app, name="data")
app.command()(train.train)
app.command()(train.resume)
app.command()(train.runs)
app.command()(evaluate.evaluate)
app.command()(evaluate.predict)
app.command()(evaluate.report)
app.command()(features.features)
app.command()(features.rdm)
app.command()(summary.summary)
app.command("import")(exchange.import_)
app.command()(export.export)
app.add_typer(reproduce.app, name="reproduce")
app.add_typer(benchmark.app, name="benchmark")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"alexnet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """The system of the 2012 AlexNet paper, from a folder of images to top-1 and top-5 error."""


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; returns the exit code, having explained errors on stderr.

    `--debug` is understood at any place.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    number, processes = ranks.started()
    alone = processes == 1 or not " ".join(arguments).startswith(_SHARED)
    if alone and number > 0:
        return 0
    try:
        with (
            stop_request(at_once=True) as stop,
            nullcontext() if alone else ranks.joined(),
            nullcontext() if number == 0 else _silence(),
        ):
            code = app(arguments, prog_name="alexnet", standalone_mode=False)
            sys.stdout.flush()
            if code == INTERRUPTED and not alone:
                raise KeyboardInterrupt  # before the others are waited for
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (AlexNetError, typer.TyperException, OSError) as error:
        if debug:
            raise
        explained = _explained(error)
        if ranks.first_to_say(str(explained)):
            for line in str(explained).split("\n"):
                print(printable(line), file=sys.stderr)
        return stop.exit_code if isinstance(error, Stopped) and stop else explained.exit_code
    if code == INTERRUPTED:
        if number == 0:
            print("Interrupted.", file=sys.stderr)
        return stop.exit_code if stop else INTERRUPTED
    return code if isinstance(code, int) else 0


@contextmanager
def _silence() -> Iterator[None]:
    """Only the first of several processes talks; errors are printed outside of this."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _explained(error: AlexNetError | typer.TyperException | OSError) -> AlexNetError:
    """What is wrong, where, and what to do next, whoever raised it."""
    if isinstance(error, AlexNetError):
        return error
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return EnvironmentProblem(f"{what[:1].upper()}{what[1:]}.", where=error.filename or "")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "alexnet"
    return UsageError(error.format_message(), remedy=f"Help: {command} --help")
