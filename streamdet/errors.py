"""One tree of errors. Each message says what was wrong, with the value, and then what to do.

StreamdetError        1  something failed
├── UsageError        2  the command line or an argument is wrong
├── SourceError       3  a source can't be opened or read
├── ModelError        4  a model can't be found, fetched or loaded
├── OutputError       1  a result can't be written
└── DataError         1  labels or images of a dataset are wrong

The exit code 5 (the output covers only part of the source) and 130 (interrupted) are verdicts about a run, not
errors: see `streamdet.report`.
"""

from __future__ import annotations

from typing import ClassVar


class StreamdetError(Exception):
    """Base of all errors that streamdet raises on purpose; `str()` of it is one sentence for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(StreamdetError):
    """The command line or an argument is wrong."""

    exit_code = 2


class SourceError(StreamdetError):
    """A source can't be opened or read."""

    exit_code = 3


class ModelError(StreamdetError):
    """A model can't be found, fetched or loaded."""

    exit_code = 4


class OutputError(StreamdetError):
    """A result can't be written."""


class DataError(StreamdetError):
    """Labels or images of a dataset are wrong."""
