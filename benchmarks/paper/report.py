"""From the results of the runs to a page of tables, in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ablations import Claim, Row, Table

POOLED = "all"
SIZES = ("AP_small", "AP_medium", "AP_large")
Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""By name of configuration: what each seed's run gave (see `run.py`)."""


def write_page(tables: Sequence[Table], results: Results, set_names: Sequence[str], about: str) -> str:
    """The page: a table for each ablation, and what it says about the paper's findings."""
    parts = ["# The paper's ablations, in small", about]
    for table in tables:
        parts += [f"## {table.title}", _table(table, results, set_names)]
        parts += ["\n".join(f"- {claim.sentence}: **{verdict(claim, results)}**" for claim in table.claims)]
    return "\n\n".join(parts) + "\n"


def _table(table: Table, results: Results, set_names: Sequence[str]) -> str:
    sizes = ["S", "M", "L", "ms per image"] if table.has_sizes else []
    header = ["", "paper: AP / AP50 / AP75", "AP", "AP50", "AP75", *sizes, *(f"AP50 {name}" for name in set_names)]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    lines += [_row(row, results.get(row.configuration.name, ()), table.has_sizes, set_names) for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(row: Row, runs: Sequence[Mapping[str, Any]], has_sizes: bool, set_names: Sequence[str]) -> list[str]:
    metrics = ["AP", "AP50", "AP75", *(SIZES if has_sizes else ())]
    cells = [spread(values_of(runs, metric), 100) for metric in metrics]
    if has_sizes:
        cells.append(spread([run["ms_per_image"] for run in runs if not run["diverged"]], 1))
    cells += [spread(values_of(runs, "AP50", name), 100) for name in set_names]
    diverged = sum(bool(run["diverged"]) for run in runs)
    if diverged:
        cells[0] = f"diverged ({diverged} of {len(runs)})" + (f", else {cells[0]}" if diverged < len(runs) else "")
    return [row.label, row.paper, *cells]


def values_of(runs: Sequence[Mapping[str, Any]], metric: str, set_name: str = POOLED) -> list[float]:
    """A metric, in 0-1, of the runs that came to their end and could measure it."""
    scores = [run["scores"][set_name][metric] for run in runs if not run["diverged"]]
    return [value for value in scores if value is not None]


def spread(values: Sequence[float], factor: float) -> str:
    """Mean and standard deviation: "34.0 ± 0.4"; a single value alone, "-" for none."""
    if not values:
        return "–"
    mean = f"{factor * statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {factor * statistics.stdev(values):.1f}"


def verdict(claim: Claim, results: Results) -> str:
    """Whether the paper's finding shows: the difference of the means against its own standard error."""
    first, second = (values_of(results.get(each.name, ()), claim.metric) for each in (claim.first, claim.second))
    if not first or not second:
        return "not measured"
    difference = 100 * (statistics.mean(first) - statistics.mean(second))
    if min(len(first), len(second)) == 1:
        return f"{difference:+.1f} {claim.metric} with one seed: the noise is not known"
    error = 100 * math.sqrt(statistics.variance(first) / len(first) + statistics.variance(second) / len(second))
    number = f"{difference:+.1f} ± {error:.1f} {claim.metric}"
    if claim.equal:
        return f"shows ({number})" if abs(difference) <= max(2 * error, 1.0) else f"does not show ({number})"
    if abs(difference) <= 2 * error:
        return f"is lost in the noise ({number})"
    return f"shows ({number})" if difference > 0 else f"does not show ({number})"
