"""The `alexnet` command: its verbs, and errors as three lines with an exit code.

The verbs' modules import the stages inside their functions, so that help and mistyped commands
answer at once.
"""

from __future__ import annotations

import io
import os
import re
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from typing import Annotated, NoReturn

import typer

from alexnet import __version__, aliases
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
    index,
    quickstart,
    reproduce,
    runs,
    summary,
    train,
)

INTERRUPTED = 130  # 128 + SIGINT
CUT_SHORT = 141  # 128 + SIGPIPE

# What the processes of `torchrun` do together; anything else the first does alone.
_SHARED = ("train ", "resume ", "data prepare ", "evaluate ", "predict ", "features ", "index ")
# What leaves files behind: cut short, it has not done its work.
_WORKING = (
    "train",
    "resume",
    "quickstart",
    "data prepare",
    "evaluate",
    "features",
    "index",
    "reproduce run",
)

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in half the time
)

app.command()(quickstart.quickstart)
app.command()(doctor.doctor)
app.add_typer(data.app, name="data")
app.command()(train.train)
app.command()(train.resume)
app.command()(runs.runs)
app.command()(evaluate.evaluate)
app.command()(evaluate.predict)
app.command()(evaluate.report)
app.command()(features.features)
app.command()(features.rdm)
app.command("index")(index.index)
app.command()(index.search)
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


@app.command("help")
def help_(
    verb: Annotated[list[str] | None, typer.Argument(help="For example: data prepare.")] = None,
) -> None:
    """Show what a verb does and takes, as VERB --help does."""
    app([*(verb or []), "--help"], prog_name="alexnet", standalone_mode=False)


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
    except (AlexNetError, typer.TyperException, OSError, SystemExit) as error:
        if isinstance(error, SystemExit):  # Typer's, of a pipe that broke
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            error = error.__context__
        if isinstance(error, BrokenPipeError) and (left := _readers_that_left()):
            return _ended_quietly(left, arguments)
        if debug:
            raise
        explained = _explained(error)
        if ranks.first_to_say(str(explained)):
            _say(str(explained).split("\n"))
        return stop.exit_code if isinstance(error, Stopped) and stop else explained.exit_code
    if code == INTERRUPTED:
        if number == 0:
            _say(["Interrupted."])
        return stop.exit_code if stop else INTERRUPTED
    return code if isinstance(code, int) else 0


def _say(lines: Sequence[str]) -> None:
    """Lines on standard error, if anybody reads them; the exit code says the same."""
    with suppress(BrokenPipeError):
        for line in lines:
            print(printable(line), file=sys.stderr)
        return
    _write_nowhere([2])


def _write_nowhere(numbers: Sequence[int]) -> None:
    """Let what is still buffered for standard output (1) or standard error (2) vanish."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in numbers:
        os.dup2(nowhere, number)


def _readers_that_left() -> list[int]:
    """Which of standard output (1) and standard error (2) are pipes that nobody reads any more."""
    if not hasattr(select, "poll"):  # on Windows
        return [1]
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    gone = select.POLLERR | select.POLLHUP
    return [number for number, found in poll.poll(0) if found & gone]


def _ended_quietly(left: Sequence[int], arguments: Sequence[str]) -> int:
    """The exit code where whoever read our output, say `head`, has seen enough; that is no error.

    Work whose progress nobody reads has ended before its end, and says so by its code.
    """
    _write_nowhere(left)
    is_work = " ".join(arguments).startswith(_WORKING)
    return CUT_SHORT if 2 in left and is_work else 0


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
    remedy = f"Help: {command} --help"
    option = str(getattr(error, "option_name", ""))  # as other programs have it: --lr
    if command == "alexnet train" and option and (answer := aliases.option_for(option)):
        return UsageError(f"No such option: {option}.", remedy=answer)
    said = error.format_message()
    usage = ""
    if context and said.startswith("Missing argument"):
        _, *wanted = context.command.collect_usage_pieces(context)  # the first is [OPTIONS]
        named = re.sub(r"[][{}]", "", " ".join(wanted)).upper().replace("......", "...")
        usage = f"{command} {named}"
    return UsageError(said, where=usage, remedy=remedy)
