"""What the files cover and what they do not: the verdict at the head of a page, and the account at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from streamdet import html
from streamdet.results.page.charts import Axis
from streamdet.results.page.clock import length
from streamdet.results.page.coverage import MOST_GAPS, Gap
from streamdet.results.page.gather import Gathered, View
from streamdet.results.page.words import many, percent

FEW_GAPS = 12
"""A longer list is folded."""


def verdict(gathered: Gathered) -> str:
    """One line: whether anything is missing."""
    flaws, views = gathered.flaws, gathered.views
    gaps = sum(len(view.coverage.gaps) for view in views)
    gone_s = sum(gap.length_s for view in views for gap in view.coverage.gaps)
    missing = sum(view.coverage.missing for view in views)
    damaged = sum(view.coverage.damaged for view in views)
    parts = []
    if flaws:
        parts.append("covers only a part" if len(flaws) == 1 else f"{len(flaws)} files cover only a part")
    if gaps:
        parts.append(f"{many(gaps, 'gap')}, {length(gone_s)} without frames")
    if missing:
        parts.append(f"{many(missing, 'frame')} not looked at")
    if damaged:
        parts.append(f"{many(damaged, 'damaged frame')}")
    if not any(view.coverage.frames for view in views):
        return _pill("bad", "no frames")
    if not parts:
        return _pill("good", "✓ covered in full")
    text = " · ".join(parts)
    return _pill("warn", text[0].upper() + text[1:])


def _pill(kind: str, text: str) -> str:
    return f'<p class="verdict {kind}">{escape(text)}</p>'


def account(gathered: Gathered, axes: Sequence[Axis], run: Mapping[str, Any] | None) -> list[str]:
    """The section at the end of a page; `run`: the receipt of the run (run.json), where it is at hand."""
    views = gathered.views
    parts = [html.heading("What was covered, and what was not")]
    parts.append(_sentences(gathered.flaws) if gathered.flaws else "")
    heads = ["", *(view.name for view in views)] if len(views) > 1 else ["", ""]
    rows = [[name, *cells] for name, cells in _rows(views, axes) if any(cell not in ("", "0") for cell in cells)]
    parts.append(html.table(heads, rows))
    for view, axis in zip(views, axes, strict=True):
        gaps = view.coverage.gaps
        if gaps:
            whose = f" of {view.name}" if len(views) > 1 else ""
            shown = html.table(["no frames from", "to", "for"], [_gap(gap, axis) for gap in gaps])
            more = f" (the {MOST_GAPS:,} longest)" if len(gaps) >= MOST_GAPS else ""
            title = f"{many(len(gaps), 'gap')}{whose}{more}"
            parts.append(html.folded(title, shown) if len(gaps) > FEW_GAPS else html.heading(title, 3) + shown)
    if any(view.coverage.gaps for view in views):
        parts.append(
            '<p class="hint">A gap is unknown time, not empty time: charts show it hatched, and no mean counts it.</p>'
        )
    if run is not None:
        parts += _of_run(run)
    return [part for part in parts if part]


def _rows(views: Sequence[View], axes: Sequence[Axis]) -> list[tuple[str, list[str]]]:
    covers = [view.coverage for view in views]
    clocks = [axis.clock for axis in axes]
    gone = [sum(gap.length_s for gap in cover.gaps) for cover in covers]
    return [
        ("frames", [f"{cover.frames:,}" for cover in covers]),
        (
            "from",
            [clock.moment(cover.first_s) if cover.frames else "" for cover, clock in zip(covers, clocks, strict=True)],
        ),
        (
            "to",
            [clock.moment(cover.last_s) if cover.frames else "" for cover, clock in zip(covers, clocks, strict=True)],
        ),
        ("length", ["" if view.pictures else length(view.coverage.span_s) for view in views]),
        ("frames per second", ["" if view.pictures else _rate(view.coverage.mean_interval_s) for view in views]),
        ("every so many frames", [str(cover.every) if cover.every > 1 else "" for cover in covers]),
        ("gaps", [f"{len(cover.gaps):,}" for cover in covers]),
        ("time without frames", [length(s) if s else "" for s in gone]),
        (
            "time covered",
            [percent(1 - s / cover.span_s) if cover.span_s else "" for s, cover in zip(gone, covers, strict=True)],
        ),
        ("frames not looked at", [f"{cover.missing:,}" for cover in covers]),
        ("damaged frames", [f"{cover.damaged:,}" for cover in covers]),
        (
            "connections to the camera",
            [f"{cover.sessions:,}" if view.live else "" for view, cover in zip(views, covers, strict=True)],
        ),
        ("times the clock was set back", [f"{cover.set_back:,}" for cover in covers]),
        ("boxes that count", [f"{cover.boxes:,}" for cover in covers]),
        ("of these not seen, bridged by tracking", [f"{cover.bridged:,}" for cover in covers]),
        ("weaker boxes kept in the file", [f"{cover.hidden:,}" for cover in covers]),
    ]


def _rate(interval_s: float) -> str:
    if not interval_s:
        return ""
    return f"{1 / interval_s:.3g}" if interval_s < 2 else f"one every {length(interval_s)}"


def _gap(gap: Gap, axis: Axis) -> list[str]:
    return [axis.clock.moment(gap.begin_s), axis.clock.moment(gap.end_s), length(gap.length_s)]


def _of_run(run: Mapping[str, Any]) -> list[str]:
    """The run's own receipt."""
    parts = [html.heading("The run's receipt", 3)]
    parts.append(html.paragraph(f"{str(run.get('verdict', 'no verdict')).capitalize()}: {run.get('reason', '')}."))
    frames = run.get("frames")
    if isinstance(frames, dict):
        rows = [
            [str(key).replace("_", " "), f"{value:,}"]
            for key, value in frames.items()
            if isinstance(value, int) and value
        ]
        parts.append(html.table(["frames", ""], rows))
    lost = run.get("lost_at_s")
    if isinstance(lost, list) and lost:
        moments = ", ".join(f"{float(moment):.2f} s" for moment in lost[:FEW_GAPS])
        more = f" and {len(lost) - FEW_GAPS} more" if len(lost) > FEW_GAPS else ""
        parts.append(html.paragraph(f"Lost at {moments}{more}."))
    notes = run.get("notes")
    if isinstance(notes, list) and notes:
        parts.append(_sentences([str(note) for note in notes]))
    return parts


def _sentences(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"
