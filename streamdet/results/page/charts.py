"""Charts over time as SVG that stretches with the page, with labels in HTML that keep their size.

All charts of a view share its time axis. Where no frame was there is a hatched band, never a zero.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from streamdet.results.page.clock import Clock
from streamdet.results.page.coverage import Gap
from streamdet.results.page.series import Series

WIDE, HIGH = 1000, 100
"""Units of a chart's drawing; it is stretched to the size on the page."""
MOST_POINTS = 720
MOST_BARS = 60
MOST_TICKS = 7
TOPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80)


@dataclass(frozen=True, slots=True)
class Axis:
    """The time that the charts of a view share."""

    begin_s: float
    end_s: float
    clock: Clock
    gaps: Sequence[Gap] = ()

    @property
    def span_s(self) -> float:
        """Seconds."""
        return max(self.end_s - self.begin_s, 1e-9)

    def share(self, time_s: float) -> float:
        """Place of a moment, 0 to 1."""
        return min(1.0, max(0.0, (time_s - self.begin_s) / self.span_s))

    def x(self, time_s: float) -> float:
        """Place of a moment in a drawing."""
        return round(self.share(time_s) * WIDE, 1)


@dataclass(frozen=True, slots=True)
class Point:
    """What a chart shows of one span of time."""

    first_s: float
    last_s: float
    mean: float
    most: float

    @property
    def middle_s(self) -> float:
        """Its place on the axis."""
        return (self.first_s + self.last_s) / 2


def points_of(series: Series, column: int | None, usual_interval_s: float) -> tuple[float, list[Point]]:
    """Width of the bins in seconds, and mean and most of a column (None: of all together) in each."""
    width_s, bins = series.bins(least_width_s=usual_interval_s, most=MOST_POINTS)
    if column is None:
        rows = [(one, one.sums.sum(), one.peak_count) for _, one in bins]
    else:
        rows = [(one, one.sums[column], one.most[column]) for _, one in bins]
    return width_s, [
        Point(one.first_s, one.last_s, float(total) / one.frames, float(most)) for one, total, most in rows
    ]


def count_chart(
    axis: Axis, width_s: float, points: Sequence[Point], name: str, kind: str, note: str = "", top: float = 0
) -> str:
    """A row: name and numbers, and below them the mean as a line over the most as a pale area.

    `kind` is a class of the style that gives the colour; `note` stands right of the name; `top` is the upper edge (0:
    a round number that is high enough).
    """
    top = top or nice_top(max((point.most for point in points), default=0.0))
    dot = '<i class="dot"></i>' if kind else ""
    paths = []
    for part in _parts(axis, width_s, points):
        mean = [(axis.x(part[0].first_s), part[0].mean), *((axis.x(p.middle_s), p.mean) for p in part)]
        mean.append((axis.x(part[-1].last_s), part[-1].mean))
        most = [(axis.x(part[0].first_s), part[0].most), *((axis.x(p.middle_s), p.most) for p in part)]
        most.append((axis.x(part[-1].last_s), part[-1].most))
        paths += [f'<path class="most" d="{_area(most, top)}"/>', f'<path class="mean" d="{_area(mean, top)}"/>']
        paths.append(f'<path class="line" d="{_polyline(mean, top)}"/>')
    label = f"{name} over time; {note}" if note else f"{name} over time"
    values = json.dumps([_short(point.mean) for point in points], separators=(",", ":"))
    return (
        f'<div class="row {kind}"><div class="row-head"><span class="name">{dot}{escape(name)}</span>'
        f'<span class="note">{escape(note)}</span><output></output></div>\n'
        f'<div class="plot" role="img" aria-label="{escape(label)}" data-values="{escape(values)}">'
        f"{_svg(''.join(paths))}{bands(axis)}"
        f'<span class="top">{top:g}</span></div></div>'
    )


def group(axis: Axis, points: Sequence[Point], rows: Sequence[str]) -> str:
    """Charts below one another over a common axis; a pointer reads all of them at a time."""
    if not points:
        return '<div class="charts">\n' + "\n".join(rows) + f"\n{ticks(axis)}</div>"
    step_s = axis.span_s / max(1, len(points))
    data = {
        "at": [round(axis.share(point.middle_s), 4) for point in points],
        "when": [axis.clock.moment(point.middle_s, step_s) for point in points],
    }
    text = escape(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    return f'<div class="charts" data-times="{text}">\n' + "\n".join(rows) + f"\n{ticks(axis)}</div>"


def bar_chart(axis: Axis, series: Series, name: str, note: str) -> str:
    """Crossings in (up) and out (down) of each span of time; `series` has these two columns."""
    width_s, bins = series.bins(least_width_s=axis.span_s / MOST_BARS, most=MOST_BARS)
    top = nice_top(max((float(one.sums.max()) for _, one in bins), default=0.0))
    shapes = [f'<path class="grid" d="M0 {HIGH / 2}H{WIDE}"/>']
    for begin_s, one in bins:
        left, right = axis.x(begin_s), axis.x(begin_s + width_s)
        wide = max(1.0, (right - left) * 0.84)
        for column, kind in ((0, "in"), (1, "out")):
            high = round(float(one.sums[column]) / top * (HIGH / 2), 1)
            if high:
                y = HIGH / 2 - high if column == 0 else HIGH / 2
                shapes.append(f'<rect class="{kind}" x="{left:g}" y="{y:g}" width="{wide:.1f}" height="{high:g}"/>')
    return (
        f'<div class="row"><div class="row-head"><span class="name">{escape(name)}</span>'
        f'<span class="note">{escape(note)}</span></div>\n'
        f'<div class="plot bars" role="img" aria-label="{escape(f"Crossings of {name} over time; {note}")}">'
        f'{_svg("".join(shapes), grid=False)}{bands(axis)}<span class="top">{top:g} in</span>'
        f'<span class="low">{top:g} out</span></div></div>'
    )


def strip(axis: Axis, changes: Sequence[tuple[float, bool | None]]) -> str:
    """A bay's time: red where it was occupied, green where free, grey where unknown."""
    shapes = []
    kinds = {True: "occupied", False: "free", None: "unknown"}
    ends_s = [time_s for time_s, _ in changes[1:]] + [axis.end_s]
    for (begin_s, state), end_s in zip(changes, ends_s, strict=True):
        left, right = axis.x(begin_s), axis.x(end_s)
        shapes.append(f'<rect class="{kinds[state]}" x="{left:g}" y="0" width="{right - left:.1f}" height="{HIGH}"/>')
    return f'<div class="strip">{_svg("".join(shapes), grid=False)}{bands(axis)}</div>'


def bands(axis: Axis) -> str:
    """The times without frames."""
    found = []
    for gap in axis.gaps:
        left, wide = axis.share(gap.begin_s), axis.share(gap.end_s) - axis.share(gap.begin_s)
        title = f"no frames {axis.clock.moment(gap.begin_s)} – {axis.clock.moment(gap.end_s)}"
        found.append(f'<i class="gap" style="left:{left:.3%};width:{wide:.3%}" title="{escape(title)}"></i>')
    return "".join(found)


def ticks(axis: Axis) -> str:
    """Names of round moments below a chart; a narrow page hides every other one."""
    spans = []
    for number, (time_s, text) in enumerate(axis.clock.ticks(axis.begin_s, axis.end_s, MOST_TICKS)):
        share = axis.share(time_s)
        edge = " first" if share < 0.03 else " last" if share > 0.97 else ""
        spans.append(
            f'<span class="{"odd" if number % 2 else "even"}{edge}" style="left:{share:.3%}">{escape(text)}</span>'
        )
    return f'<div class="axis" aria-hidden="true">{"".join(spans)}</div>'


def nice_top(value: float) -> float:
    """A round number that is not below `value`."""
    scale = 1.0
    while value > TOPS[-1] * scale:
        scale *= 10
    return next(top * scale for top in TOPS if top * scale >= value - 1e-9)


def _parts(axis: Axis, width_s: float, points: Sequence[Point]) -> list[list[Point]]:
    """The points between gaps that are at least as wide as a bin: these begin at the last frame of one."""
    begins_s = {gap.begin_s for gap in axis.gaps if gap.length_s >= width_s}
    parts: list[list[Point]] = []
    for point in points:
        if parts and parts[-1][-1].last_s not in begins_s:
            parts[-1].append(point)
        else:
            parts.append([point])
    return parts


def _svg(shapes: str, *, grid: bool = True) -> str:
    lines = f'<path class="grid" d="M0 0H{WIDE}M0 {HIGH / 2}H{WIDE}M0 {HIGH}H{WIDE}"/>' if grid else ""
    return f'<svg viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" aria-hidden="true">{lines}{shapes}</svg>'


def _polyline(points: Sequence[tuple[float, float]], top: float) -> str:
    return "M" + "L".join(f"{x:g} {round(HIGH * (1 - y / top), 1):g}" for x, y in points)


def _area(points: Sequence[tuple[float, float]], top: float) -> str:
    return f"{_polyline(points, top)}L{points[-1][0]:g} {HIGH}L{points[0][0]:g} {HIGH}Z"


def _short(value: float) -> float:
    return round(value, 1 if value < 100 else 0)
