"""Keeps the passwords of a command line out of what the command shows: its errors, tracebacks and process title."""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer
from setproctitle import setproctitle
from typer.core import TyperGroup
from typer.exceptions import TyperException

from streamdet.video.redaction import redact, secrets_in

PASSWORD_VARIABLE = "STREAMDET_PASSWORD"


def secrets_of(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """The passwords and tokens that a command was started with, to be taken out of whatever it shows."""
    found = [secret for argument in arguments for secret in secrets_in(argument)]
    return tuple(dict.fromkeys([*found, *filter(None, [environment.get(PASSWORD_VARIABLE)])]))


def hide_from_process_list(arguments: Sequence[str], secrets: Sequence[str]) -> None:
    """Give the process a title without credentials, for `ps` and /proc; without any, its title stays as it is."""
    shown = [redact(argument, secrets) for argument in arguments]
    if shown != list(arguments):
        setproctitle(" ".join(["streamdet", *shown]))


def show_traceback(error: BaseException, secrets: Sequence[str]) -> None:
    """Write the traceback of an error and of its causes, without the values of variables, to standard error."""
    lines = traceback.TracebackException.from_exception(error, capture_locals=False).format()
    typer.echo(redact("".join(lines), secrets), err=True, nl=False)


@contextlib.contextmanager
def redacted_threads(secrets: Sequence[str]) -> Iterator[None]:
    """What Python says about an error that ends a thread, or that nobody can catch, goes through the redaction too."""
    thread_hook, unraisable_hook = threading.excepthook, sys.unraisablehook

    def in_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
            show_traceback(arguments.exc_value, secrets)

    def unraisable(arguments: sys.UnraisableHookArgs) -> None:
        if arguments.exc_value is not None:
            show_traceback(arguments.exc_value, secrets)

    threading.excepthook, sys.unraisablehook = in_thread, unraisable
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = thread_hook, unraisable_hook


class RedactingGroup(TyperGroup):
    """A command whose messages about wrong arguments, which quote them, are redacted. Its `obj` are the secrets."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """See Typer."""
        with _redacted(extra.get("obj") or ()):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """See Typer."""
        with _redacted(ctx.obj or ()):
            return super().invoke(ctx)


@contextlib.contextmanager
def _redacted(secrets: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except TyperException as error:
        error.message = redact(error.message, secrets)
        raise
