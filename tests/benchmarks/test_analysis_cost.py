from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("scripts")


def test_all_that_is_measured_has_work_to_do(tmp_path: Path) -> None:
    from analysis_cost import CONDITIONS, measure, percentiles, places, traffic

    from streamdet.events.rules import Rule, check_rules

    rules = [Rule(f"{n}", condition) for n, condition in enumerate(CONDITIONS)]
    there = places()
    check_rules(  # each names a place that there is
        rules,
        lines=[line.name for line in there.lines],
        zones=[zone.name for zone in there.zones],
        bays=[bay.name for bay in there.bays],
    )
    assert 90 < np.mean([len(found) for found in traffic(100, 20)]) < 99
    costs = measure(30, 60, tmp_path)
    assert set(costs) == {"tracking", "places", "events", "whole", "told"}
    assert [len(costs[name]) for name in ("tracking", "places", "events", "whole")] == [30] * 4
    assert costs["told"][0] > 0
    assert sum(costs["whole"]) > sum(costs["tracking"]) + sum(costs["places"]) + sum(costs["events"])
    assert percentiles([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.9))


def test_a_row_stays_one_and_is_appended(tmp_path: Path) -> None:
    from history import append_row, history_row

    row = history_row("script", "machine", "a | b", "-", "1.00/2.00 ms", "-", "parts")
    assert row.count("|") == 10
    (tmp_path / "HISTORY.md").write_text("| date |\n")
    append_row(row, tmp_path / "HISTORY.md")
    assert (tmp_path / "HISTORY.md").read_text() == f"| date |\n{row}\n"
