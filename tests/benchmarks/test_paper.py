from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

PAPER = Path(__file__).parents[2] / "benchmarks" / "paper"


@pytest.fixture(autouse=True)
def scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PAPER))


def run(ap: float | None, diverged: str = "") -> dict[str, Any]:
    scores = {"AP": ap, "AP50": ap, "AP75": ap, "AP_small": ap, "AP_medium": None, "AP_large": ap}
    return {"diverged": diverged, "ms_per_image": 20.0, "scores": {"all": scores, "val": scores}}


@pytest.mark.parametrize(
    ("first", "second", "equal", "said"),
    [
        ((0.30, 0.32), (0.20, 0.22), False, "shows (+10.0 ± 1.4 AP)"),
        ((0.20, 0.22), (0.30, 0.32), False, "does not show (-10.0 ± 1.4 AP)"),
        ((0.30, 0.34), (0.29, 0.31), False, "is lost in the noise (+2.0 ± 2.2 AP)"),
        ((0.30, 0.34), (0.29, 0.31), True, "shows (+2.0 ± 2.2 AP)"),
        ((0.30, 0.32), (0.20, 0.22), True, "does not show (+10.0 ± 1.4 AP)"),
        ((0.30,), (0.20, 0.22), False, "+9.0 AP with one seed: the noise is not known"),
        ((), (0.20,), False, "not measured"),
    ],
)
def test_a_finding_shows_only_beyond_the_noise(
    first: tuple[float, ...], second: tuple[float, ...], equal: bool, said: str
) -> None:
    from ablations import Claim, Configuration
    from report import verdict

    claim = Claim("a is above b", Configuration("a"), Configuration("b"), equal=equal)
    results = {"a": [run(ap) for ap in first], "b": [run(ap) for ap in second]}
    assert verdict(claim, results) == said


def test_the_page_tells_of_runs_that_diverged_and_of_those_that_are_missing() -> None:
    from ablations import TABLES
    from report import write_page

    results = {"focal": [run(0.31), run(0.33)], "ce-plain-noprior": [{"diverged": "the loss has grown", "scores": {}}]}
    page = write_page([table for table in TABLES if table.key in ("loss", "scale")], results, ["val"], "About.")
    lines = page.splitlines()
    assert "| CE without the prior, unprotected | diverges | diverged (1 of 1) | – | – | – |" in lines
    focal = "| focal, gamma 2, alpha 0.25 | 34.0 / 52.5 / 36.5 | 32.0 ± 1.4 | 32.0 ± 1.4 | 32.0 ± 1.4 | 32.0 ± 1.4 |"
    assert focal in lines
    assert "| CE | 30.2 | – | – | – | – |" in lines
    assert "- focal loss is above balanced CE: **not measured**" in lines
    (large,) = (line for line in lines if line.startswith("| 256 x 352 |"))
    assert large.count("|") == 11
    assert "| 32.0 ± 1.4 | – | 32.0 ± 1.4 | 20.0 ± 0.0 |" in large


def test_each_configuration_is_trained_once_and_has_a_folder_of_its_own() -> None:
    from ablations import TABLES, chosen_tables, configurations_of

    tables = chosen_tables([])
    assert tables == list(TABLES)
    configurations = configurations_of(tables)
    assert len(configurations) == 25
    assert len({replace(each, name="") for each in configurations}) == 25  # none is another one under a new name
    rows = [row.configuration for table in TABLES for row in table.rows]
    assert {row.name: row for row in rows} == {row.name: row for row in reversed(rows)}
    for table in TABLES:
        shown = {row.configuration for row in table.rows}
        assert all({claim.first, claim.second} <= shown for claim in table.claims)
    with pytest.raises(SystemExit, match="--only names los; choose among loss, gamma"):
        chosen_tables(["los"])
