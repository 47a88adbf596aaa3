"""What is wrong with a label: where it stands, and in a sentence what it says and what it should say.

Readers of labels `complain` about each problem and go on with the next label. Training complains by raising the first
one; `streamdet data check` gathers them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamdet.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One fault of a data set."""

    path: Path
    """The label file (or the picture) that is at fault."""
    line: int | None
    """Line in it, from 1; None where lines mean nothing."""
    kind: str
    """What sort of fault, in a few words that a table can count: "zero area", "missing picture", ..."""
    sentence: str
    """What is wrong, with the value, and what to do."""
    is_error: bool = True
    """False: worth knowing, but training goes on."""

    def __str__(self) -> str:
        place = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.sentence}"


Complain = Callable[[Problem], None]


def raise_errors(problem: Problem) -> None:
    """Raise DataError for an error; pass over a warning."""
    if problem.is_error:
        raise DataError(str(problem))
