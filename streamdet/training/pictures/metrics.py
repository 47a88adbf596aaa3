"""What a run logged: the columns of its `metrics.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamdet.training.pictures.style import FloatArray


@dataclass(frozen=True)
class Metrics:
    """Columns by name, each (R,); nan where a cell is empty or no number."""

    columns: dict[str, FloatArray]

    @property
    def validation_names(self) -> list[str]:
        """Names of the data sets whose average precision was measured at least once."""
        return [name[3:] for name in self.columns if name.startswith("AP ") and len(self.curve(name)[0])]

    def curve(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Steps and values of the column's finite numbers; empty when there is no such column."""
        steps, values = self.columns.get("step", np.zeros(0)), self.columns.get(name)
        if values is None:
            return np.zeros(0), np.zeros(0)
        finite = np.isfinite(values) & np.isfinite(steps)
        return steps[finite], values[finite]


def read_metrics(path: Path) -> Metrics:
    """The columns of a run's `metrics.csv`; none when there is no such file."""
    if not path.exists():
        return Metrics({})
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = [*csv.reader(file)] or [[]]
    # A run that was killed may have left half a row.
    return Metrics(
        {
            name: np.array([_number(row[place]) if place < len(row) else np.nan for row in rows], np.float64)
            for place, name in enumerate(header)
        }
    )


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
