"""The whole page: its head, a part for each view, and the account of what was covered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from html import escape
from typing import Any

import numpy as np

from streamdet import html
from streamdet.results.page.answers import bays_section, lines_section, objects_section, zones_section
from streamdet.results.page.charts import Axis, count_chart, group, points_of
from streamdet.results.page.clock import Clock, length
from streamdet.results.page.gather import Gathered, View
from streamdet.results.page.moments import MINUTE_S, busiest
from streamdet.results.page.receipt import account, verdict
from streamdet.results.page.scenes import Still, background_style, heat_map, place_map, shots, ways
from streamdet.results.page.style import Rgb, colour_style, page_script, page_style
from streamdet.results.page.words import amount, listed, many

MOST_CHARTS = 8
"""Classes with a chart of their own that is open from the start."""
DAY_S = 86400.0
TILE_CLASSES = 3


def build_page(
    gathered: Gathered,
    *,
    colours: Callable[[int], Sequence[Rgb]],
    still: Still,
    zone: tzinfo | None = None,
    run: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML, self-contained.

    Args:
        gathered: what the files tell.
        colours: gives so many colours, those of the boxes in annotated videos.
        still: gives the picture of a frame, where there is one.
        zone: of the time of day; None: that of this machine.
        run: the run's own receipt (run.json).
    """
    views = gathered.views
    axes = [_axis(view, zone) for view in views]
    title = f"Detection report: {views[0].name if len(views) == 1 else many(len(views), 'view')}"
    parts = [html.heading(title, 1), *_lead(gathered, axes), verdict(gathered)]
    if len(views) > 1:
        links = "".join(f'<a href="#view-{n}">{escape(view.name)}</a>' for n, view in enumerate(views, 1))
        parts.append(f"<nav>{links}</nav>")
    for number, (view, axis) in enumerate(zip(views, axes, strict=True), 1):
        if len(views) > 1:
            parts.append(f'<h2 class="view" id="view-{number}">{escape(view.name)}</h2>')
        parts += _view(view, axis, number, still, level=2 if len(views) == 1 else 3)
    parts += account(gathered, axes, run)
    parts += _made_with(gathered)
    style = page_style() + colour_style(colours(len(gathered.class_names)))
    for number, view in enumerate(views, 1):
        style += background_style(number, None if view.quietest is None else still(view, view.quietest))
    return html.page(title, [part for part in parts if part], style=style, script=page_script())


def _axis(view: View, zone: tzinfo | None) -> Axis:
    cover = view.coverage
    begin_s, end_s = (cover.first_s, cover.last_s) if cover.frames else (0.0, 1.0)
    clock = Clock(view.live, zone, with_day=end_s - begin_s > DAY_S, order=view.pictures)
    return Axis(begin_s, end_s, clock, cover.gaps)


def _lead(gathered: Gathered, axes: Sequence[Axis]) -> list[str]:
    frames = sum(view.coverage.frames for view in gathered.views)
    spans = [(axis, view) for axis, view in zip(axes, gathered.views, strict=True) if view.coverage.frames]
    text = many(frames, "frame")
    if len(spans) == 1:
        axis, _ = spans[0]
        text += f", {axis.clock.span(axis.begin_s, axis.end_s)}"
    live = [(axis, view) for axis, view in spans if view.live]
    if len(live) > 1:
        begin_s, end_s = min(axis.begin_s for axis, _ in live), max(axis.end_s for axis, _ in live)
        text += f", {live[0][0].clock.span(begin_s, end_s)}"
    if live:
        text += f". Times are {live[0][0].clock.zone_name(live[0][0].begin_s)}"
    return [f'<p class="lead">{escape(text)}.</p>']


def _view(view: View, axis: Axis, number: int, still: Still, level: int) -> list[str]:
    """All about one view."""
    if not view.coverage.frames:
        return [html.paragraph("There is no frame of it, so nothing is known.")]
    parts = [_tiles(view, axis)]
    if view.places:
        parts += [html.heading("Lines, zones and bays", level)] if level == 2 else []
        drawn = place_map(view, number)
        parts.append(f"<figure>{drawn}</figure>" if drawn else "")
        parts += lines_section(view, axis) + zones_section(view, axis) + bays_section(view, axis)
    parts += _counts(view, axis, level)
    width_s, moments = busiest(view)
    if moments:
        kind = "pictures" if view.pictures else "minutes" if width_s == MINUTE_S else "moments"
        parts.append(html.heading(f"Busiest {kind}", level))
        parts.append(shots(view, axis, moments, still))
        parts.append(html.heading("Where objects were", level))
        parts.append(heat_map(view, number))
    drawn = ways(view, number, view.objects.ways) if view.objects.ways else ""
    parts += objects_section(view, axis, drawn, level)
    return parts


def _tiles(view: View, axis: Axis) -> str:
    """The numbers that one asks for first."""
    cover, total = view.coverage, view.counts.totals()
    tiles: list[tuple[str, str, str]] = []
    if view.pictures:
        tiles.append((f"{cover.frames:,}", "pictures", ""))
    else:
        tiles.append((length(cover.span_s), f"{many(cover.frames, 'frame')}", ""))
    order = [int(k) for k in np.argsort(-total.sums, kind="stable") if total.sums[k]]
    for k in order[:TILE_CLASSES]:
        mean, most = total.sums[k] / total.frames, int(total.most[k])
        if view.objects.seen:
            text = f"seen; {amount(mean)} at once on average, {most:,} at most"
            tiles.append((f"{view.objects.seen[k]:,}", text, _name(view, k)))
        else:
            tiles.append((amount(mean), f"at once on average, {most:,} at most", _name(view, k)))
    if not order:
        tiles.append(("0", "objects in any frame", ""))
    peak = max(view.counts, key=lambda one: one.peak_count)
    if peak.peak_count > 0:
        tiles.append((f"{peak.peak_count:,}", f"most at once, at {axis.clock.moment(peak.peak_s)}", ""))
    places = view.places
    for name, line in list(places.lines.items())[:2]:
        tiles.append((f"{line.in_counts.total():,} / {line.out_counts.total():,}", f"in / out over {name}", ""))
    if places.bays:
        taken = sum(bay.state is True for bay in places.bays.values())
        tiles.append((f"{taken:,} of {len(places.bays):,}", "bays occupied at the end", ""))
    cells = "".join(
        f'<div class="tile">{name}<b>{escape(value)}</b><span>{escape(text)}</span></div>'
        for value, text, name in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _name(view: View, class_id: int) -> str:
    return f'<span class="name k{class_id}"><i class="dot"></i>{escape(view.class_names[class_id])}</span>'


def _counts(view: View, axis: Axis, level: int) -> list[str]:
    """Counts over time per class, the most frequent first."""
    total = view.counts.totals()
    order = [int(k) for k in np.argsort(-total.sums, kind="stable") if total.sums[k]]
    parts = [html.heading("Objects by picture" if view.pictures else "Objects over time", level)]
    interval_s = 0.0 if view.pictures else view.coverage.usual_interval_s
    width_s, points = points_of(view.counts, None, interval_s)
    never = [name for k, name in enumerate(view.class_names) if not total.sums[k]]
    if not order:
        parts.append(html.paragraph(f"No object of {listed(view.class_names, 12)} was found in any frame."))
        parts.append(group(axis, points, [count_chart(axis, width_s, points, "objects", "", "none")]))
        return parts
    span = many(max(1, round(width_s)), "picture") if view.pictures else length(width_s)
    parts.append(
        f'<p class="hint">Line: how many at once on average over {escape(span)}. Pale: the most in one frame.</p>'
    )
    charts = []
    for k in order:
        mean = total.sums[k] / total.frames
        note = f"{amount(mean)} on average · {int(total.most[k]):,} at most"
        charts.append(
            count_chart(axis, width_s, points_of(view.counts, k, interval_s)[1], view.class_names[k], f"k{k}", note)
        )
    parts.append(group(axis, points, charts[:MOST_CHARTS]))
    if charts[MOST_CHARTS:]:
        more = group(axis, points, charts[MOST_CHARTS:])
        parts.append(html.folded(f"{many(len(charts) - MOST_CHARTS, 'rarer class', 'rarer classes')}", more))
    if never:
        parts.append(f'<p class="hint">Never found: {escape(listed(never, 12))}.</p>')
    return parts


def _made_with(gathered: Gathered) -> list[str]:
    """Model, thresholds and files."""
    header = gathered.header
    rows = [["files", ", ".join(path.name for path in gathered.paths)]]
    for key, name in (
        ("model", "model"),
        ("model_sha256", "its SHA-256"),
        ("streamdet", "streamdet"),
        ("kept", "least score kept"),
    ):
        if header.get(key) not in (None, ""):
            rows.append([name, str(header[key])])
    thresholds = header.get("thresholds")
    if isinstance(thresholds, dict):
        for name, value in thresholds.items():
            rows.append([f"threshold of {name}", str(value) if not isinstance(value, dict) else _levels(value)])
    if isinstance(header.get("tracking"), dict):
        rows += [[f"tracking: {str(key).replace('_', ' ')}", str(value)] for key, value in header["tracking"].items()]
    return [html.folded("How it was made", html.table(["", ""], rows))]


def _levels(levels: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in levels.items())
