"""The part of a receipt about what was followed and counted: tracks, lines, zones and bays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from streamdet.cli.figures import NOTHING, duration
from streamdet.video.base import printable

BAYS_SHOWN = 12
"""Most bays with a row of their own; run.json has all."""


def place_rows(told: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
    """Heading and content for each kind there is; `told` as `streamdet.results.tally` has it."""
    rows: list[tuple[str, RenderableType]] = []
    if "tracks" in told:
        rows.append(("tracks", Text(counts(told["tracks"]))))
    if lines := told.get("lines"):
        table = _table("line", "in", "out")
        for name, line in lines.items():
            table.add_row(printable(name), counts(line["in"]), counts(line["out"]))
        rows.append(("lines", table))
    if zones := told.get("zones"):
        table = _table("zone", "entered", "inside now", "most", "mean stay")
        for name, zone in zones.items():
            stay = duration(zone["mean_stay_s"])
            table.add_row(printable(name), counts(zone["entered"]), counts(zone["now"]), str(zone["most"]), stay)
        rows.append(("zones", table))
    if bays := told.get("bays"):
        states = [bay["occupied"] for bay in bays.values()]
        free, unknown = states.count(False), states.count(None)
        rest = f", {unknown} not known" * bool(unknown)
        rows.append(("bays", Text(f"{states.count(True)} of {len(states)} occupied, {free} free{rest}")))
        rows.append(("", _bay_table(bays)))
    return rows


def event_line(told: Mapping[str, Any]) -> str:
    """How many events there were, and who has got them; `told` as `streamdet.cli.eventing` has it."""
    parts = [f"{told['told']} told"]
    for receiver, delivered in told["delivered"].items():
        refused = told["refused"][receiver]
        parts.append(f"{delivered} delivered to {receiver}" + f" ({refused} refused)" * bool(refused))
    return printable(" · ".join(parts))


def counts(by_class: Mapping[str, int]) -> str:
    """Such as "3 car, 1 truck"; the most first."""
    most_first = sorted(by_class.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {printable(name)}" for name, count in most_first if count) or NOTHING


def _bay_table(bays: Mapping[str, Any]) -> Table:
    """Those that changed most first, where there are many."""
    table = _table("bay", "now", "occupied", "changes")
    shown = list(bays)
    if len(shown) > BAYS_SHOWN:
        most = set(sorted(shown, key=lambda name: -bays[name]["changes"])[: BAYS_SHOWN - 1])
        shown = [name for name in shown if name in most]
    for name in shown:
        bay = bays[name]
        state = {True: "occupied", False: "free", None: "not known"}[bay["occupied"]]
        share = NOTHING if bay["occupied_share"] is None else f"{bay['occupied_share']:.0%}"
        table.add_row(printable(name), state, share, str(bay["changes"]))
    if len(shown) < len(bays):
        table.add_row(f"and {len(bays) - len(shown)} more", "", "", "")
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading)
    return table
