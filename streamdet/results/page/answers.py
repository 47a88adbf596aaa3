"""Sections about lines, zones, bays and followed objects: numbers first, then how they went over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from streamdet import html
from streamdet.results.page.charts import Axis, Point, bar_chart, count_chart, group, points_of, strip, ticks
from streamdet.results.page.clock import length
from streamdet.results.page.gather import View
from streamdet.results.page.places import Bay
from streamdet.results.page.words import amount, listed, many, percent

NOTHING = "–"
FEW_BAYS = 24
"""A longer table is folded."""


def lines_section(view: View, axis: Axis) -> list[str]:
    """Who crossed which line, and when."""
    lines = view.places.lines
    if not lines:
        return []
    rows = []
    for name, line in lines.items():
        classes = [c for c, _ in (line.in_counts + line.out_counts).most_common()] or [""]
        speed_sum, number = line.speeds_m_per_s
        speed = f"{speed_sum / number * 3.6:.0f} km/h" if number else NOTHING
        if len(classes) > 1:
            rows.append([name, "all", f"{line.in_counts.total():,}", f"{line.out_counts.total():,}", speed])
        rows += [
            [name if len(classes) == 1 else "", c or NOTHING, f"{line.in_counts[c]:,}", f"{line.out_counts[c]:,}", ""]
            for c in classes
        ]
        if len(classes) == 1:
            rows[-1][-1] = speed
    heads = ["line", "class", "in", "out", "mean speed"]
    if all(not line.speeds_m_per_s[1] for line in lines.values()):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    charts = [
        bar_chart(axis, line.over_time, name, f"{line.in_counts.total():,} in · {line.out_counts.total():,} out")
        for name, line in lines.items()
        if line.in_counts or line.out_counts
    ]
    key = '<div class="key"><span><i class="in"></i>in (up)</span><span><i class="out"></i>out (down)</span></div>'
    parts = [html.heading("Lines", 3), html.table(heads, rows, words=2)]
    return [*parts, key, group(axis, [], charts)] if charts else parts


def zones_section(view: View, axis: Axis) -> list[str]:
    """Who was in which zone, and for how long."""
    zones = view.places.zones
    if not zones:
        return []
    rows: list[list[str]] = []
    charts: list[str] = []
    points: list[Point] = []
    followed = any(zone.entered for zone in zones.values())
    for name, zone in zones.items():
        total = zone.over_time.totals()
        mean = float(total.sums[0]) / total.frames if total.frames else 0.0
        row = [name, amount(mean), f"{int(total.most[0]):,}"]
        if followed:
            stay = length(zone.stays_s / zone.stays) if zone.stays else NOTHING
            longest = length(zone.longest_s) if zone.stays else NOTHING
            row[1:1] = [_by_class(zone.entered)]
            row += [stay, longest]
        rows.append(row)
        width_s, points = points_of(zone.over_time, 0, view.coverage.usual_interval_s)
        note = f"{amount(mean)} on average · {int(total.most[0]):,} at most"
        charts.append(count_chart(axis, width_s, points, name, "", note))
    heads = ["zone"] + ["came in"] * followed + ["on average", "at most"] + ["mean stay", "longest"] * followed
    return [html.heading("Zones", 3), html.table(heads, rows, words=1 + followed), group(axis, points, charts)]


def bays_section(view: View, axis: Axis) -> list[str]:
    """Which bays were occupied when."""
    bays = view.places.bays
    if not bays:
        return []
    states = Counter(bay.state for bay in bays.values())
    now = f"At the end {states[True]:,} of {many(len(bays), 'bay')} {'was' if states[True] == 1 else 'were'} occupied"
    now += f", {states[False]:,} free" + (f", {states[None]:,} unknown" if states[None] else "") + "."
    total = view.places.occupied.totals()
    mean = float(total.sums[0]) / total.frames if total.frames else 0.0
    width_s, points = points_of(view.places.occupied, 0, view.coverage.usual_interval_s)
    note = f"{amount(mean)} on average · {int(total.most[0]):,} at most, of {len(bays):,}"
    chart = count_chart(axis, width_s, points, "occupied bays", "", note, top=len(bays))
    key = "".join(f'<span><i class="{kind}"></i>{kind}</span>' for kind in ("occupied", "free", "unknown"))
    body = "".join(
        f"<tr><td>{escape(name)}</td><td class=wide>{strip(axis, bay.changes)}</td>"
        f"<td>{_occupied(bay, axis)}</td><td>{bay.changed:,}</td></tr>"
        for name, bay in bays.items()
    )
    head = "<tr><th>bay</th><th class=text>over time</th><th>occupied</th><th>changes</th></tr>"
    foot = f"<tr class=foot><td></td><td class=wide>{ticks(axis)}</td><td></td><td></td></tr>"
    table = f'<div class="key">{key}</div><div class="scroll"><table class="full">{head}{body}{foot}</table></div>'
    return [
        html.heading("Parking bays", 3),
        html.paragraph(now),
        group(axis, points, [chart]),
        table if len(bays) <= FEW_BAYS else html.folded(f"The {len(bays):,} bays over time", table),
    ]


def objects_section(view: View, axis: Axis, ways: str, level: int) -> list[str]:
    """Followed objects: how many, for how long, and those that stayed longest."""
    objects = view.objects
    if not objects.seen:
        return []
    rows = [[view.class_names[k], f"{count:,}", length(objects.median_s(k))] for k, count in objects.seen.most_common()]
    longest = [
        [
            f"{view.class_names[track.class_id]} {track.track_id}",
            axis.clock.moment(track.first_s),
            axis.clock.moment(track.last_s),
            length(track.lasted_s),
            percent(track.bridged / track.frames),
        ]
        for track in objects.longest
    ]
    heads = ["object", "from", "to", "for", "not seen, bridged"]
    return [
        html.heading("Followed objects", level),
        '<p class="hint">Each object is counted once, from where it came into view to where it was lost.</p>',
        html.table(["class", "objects", "followed for (median)"], rows),
        f"<figure>{ways}<figcaption>The ways of {_ways(len(objects.ways), objects.moved)}.</figcaption></figure>"
        if ways
        else "",
        html.folded(f"The {many(len(longest), 'object')} followed longest", html.table(heads, longest)),
    ]


def _ways(drawn: int, moved: int) -> str:
    return f"{drawn:,} of {moved:,} objects that moved" if drawn < moved else f"{many(moved, 'object')} that moved"


def _occupied(bay: Bay, axis: Axis) -> str:
    seconds = bay.seconds(axis.gaps, axis.end_s)
    known_s = seconds[True] + seconds[False]
    return percent(seconds[True] / known_s) if known_s else NOTHING


def _by_class(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    if len(counts) < 2:
        return f"{total:,}" + "".join(f" {name}" for name in counts)
    ranked: Sequence[tuple[str, int]] = Counter(counts).most_common()
    return f"{total:,}: {listed(f'{count:,} {name}' for name, count in ranked)}"
