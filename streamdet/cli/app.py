"""The command `streamdet`: assembles its verbs, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from streamdet import __version__
from streamdet.cli.bays import bays_app
from streamdet.cli.bench import bench
from streamdet.cli.check import check
from streamdet.cli.convert import convert
from streamdet.cli.data import data_app
from streamdet.cli.draw import draw
from streamdet.cli.eval import evaluate_model
from streamdet.cli.probe import probe
from streamdet.cli.quantize import quantize
from streamdet.cli.redacting import (
    RedactingGroup,
    hide_from_process_list,
    redacted_threads,
    secrets_of,
    show_traceback,
)
from streamdet.cli.report import report
from streamdet.cli.run import run
from streamdet.cli.train import train
from streamdet.cli.zones import zones
from streamdet.errors import StreamdetError
from streamdet.video.base import printable
from streamdet.video.redaction import redact

app = typer.Typer(
    name="streamdet",
    cls=RedactingGroup,
    help="Detect objects in camera feeds with RetinaNet: every frame accounted for, at its true time.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(probe)
app.command()(draw)
app.command()(convert)
app.command()(check)
app.command()(train)
app.command("eval")(evaluate_model)
app.command()(report)
app.command()(bench)
app.command()(quantize)
app.command()(zones)
app.add_typer(bays_app, name="bays")
app.add_typer(data_app, name="data")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"streamdet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Detect objects in camera feeds with RetinaNet: every frame accounted for, at its true time."""


def main() -> None:
    """Entry point: exit code 0 done, 1 failed, 2 usage, 3 source, 4 model, 5 partial output, 130 interrupted."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    secrets = secrets_of(arguments, os.environ)
    hide_from_process_list(sys.argv[1:], secrets)
    with redacted_threads(secrets):
        _run(arguments, secrets, debug=debug)


def _run(arguments: list[str], secrets: Sequence[str], *, debug: bool) -> None:
    try:
        app(arguments, prog_name="streamdet", obj=secrets)
    except StreamdetError as error:
        if debug:
            show_traceback(error, secrets)
        fail(str(error), error.exit_code, secrets)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail("the reader of standard output went away", 1)
    except Exception as error:
        if debug:
            show_traceback(error, secrets)
        sentence = f"unexpected {type(error).__name__}: {error}; run again with --debug and report what it shows"
        fail(sentence, 1, secrets)


def fail(sentence: str, exit_code: int, secrets: Sequence[str] = ()) -> None:
    """Show one sentence on standard error and exit.

    Passwords in it are left out, and control characters in names are shown escaped.
    """
    typer.echo(f"streamdet: {printable(redact(sentence, secrets))}", err=True)
    sys.exit(exit_code)
