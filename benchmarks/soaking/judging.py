"""Reads what a run left behind, and holds it against what was promised."""

from __future__ import annotations

import json
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from benchmarks.soaking.faults import Fault
from benchmarks.soaking.running import Run, Samples

SETTLED_S = 120.0
FIRST_WINDOW_S = 150.0
MOST_MB_PER_MIN = 1.0
MEDIAN_RETURN_S, WORST_RETURN_S = 3.0, 10.0


@dataclass
class Verdict:
    """Findings, good and bad, printed as they come."""

    missed: list[str] = field(default_factory=list)

    def check(self, holds: bool, sentence: str) -> None:
        """Print a finding, and keep it when it doesn't hold."""
        print(f"  {'ok    ' if holds else 'MISSED'} {sentence}")
        if not holds:
            self.missed.append(sentence)


@dataclass(frozen=True)
class Line:
    """A frame of the JSON lines."""

    utc_s: float
    """Arrival."""
    age_s: float
    damaged: bool

    @property
    def out_utc_s(self) -> float:
        """When the line was written."""
        return self.utc_s + self.age_s


def read_lines(folder: Path) -> dict[str, list[Line]]:
    """Frames by camera, in the order of their arrival."""
    found: dict[str, list[Line]] = {}
    for path in sorted(folder.glob("boxes*.jsonl")):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            if line["type"] == "frame":
                entry = Line(line["utc_s"], line["age_ms"] / 1000, line["damaged"])
                found.setdefault(line["stream"], []).append(entry)
    return {stream: sorted(lines, key=lambda line: line.utc_s) for stream, lines in found.items()}


def read_report(folder: Path) -> dict[str, Any]:
    """The receipt; empty where there is none."""
    path = folder / "run.json"
    report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return report


def percentile(values: Sequence[float], percent: float) -> float:
    """0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def judge_end(run: Run, report: dict[str, Any], verdict: Verdict) -> None:
    """It ran until it was told to stop, and stopped as it should."""
    print("\nThe end")
    verdict.check(run.ended_well, "it ran until Ctrl-C and then ended")
    if not run.ended_well:
        print((run.folder / "output.txt").read_text(errors="replace")[-2000:])
    verdict.check(run.exit_code in (0, 130), f"exit code {run.exit_code}, verdict {report.get('verdict')}")
    print(f"         {report.get('reason')}")


def judge_accounts(
    report: dict[str, Any],
    lines: dict[str, list[Line]],
    max_age_s: float,
    verdict: Verdict,
    *,
    sent: Sequence[int] = (),
) -> None:
    """In = detected + dropped by reason, the lines agree, and what was detected was young."""
    print("\nFrames and ages")
    for number, camera in enumerate(report.get("cameras", [])):
        name, frames = camera["name"], camera["frames"]
        told = " + ".join(f"{count} {reason}" for reason, count in frames["dropped"].items()) or "0"
        accounted = frames["detected"] + frames["skipped"] + sum(frames["dropped"].values())
        verdict.check(
            frames["decoded"] == accounted,
            f"{name}: {frames['decoded']} in = {frames['detected']} detected + dropped ({told})",
        )
        print(
            f"         {frames['lost']} lost, {frames['damaged']} damaged, {camera['sessions']} sessions, "
            f"{camera['attempts']} attempts, stalls {camera['stalls']}, failures {camera['failures']}"
        )
        written = len(lines.get(name, []))
        verdict.check(written == frames["detected"], f"{name}: {written} JSON lines for {frames['detected']} detected")
        if sent:
            verdict.check(frames["decoded"] <= sent[number], f"{name}: {sent[number]} frames were sent by the camera")
        ages = camera["age_detected"]
        verdict.check(
            ages["p95_s"] is not None and ages["p95_s"] <= max_age_s,
            f"{name}: age at detection p50 {_ms(ages['p50_s'])}, p95 {_ms(ages['p95_s'])}, "
            f"longest {_ms(ages['longest_s'])}",
        )


def judge_recovery(faults: Sequence[Fault], streams: Sequence[str], lines: dict[str, list[Line]], v: Verdict) -> None:
    """From each camera's return to its first new detection."""
    print("\nFrom the camera's return to the first new detection")
    waits: list[float] = []
    by_kind: dict[str, list[str]] = {}
    for fault in faults:
        own = lines.get(streams[fault.camera], [])
        place = bisect_left([line.utc_s for line in own], fault.over_utc_s)
        if not fault.over_utc_s or place == len(own):
            v.check(False, f"camera {fault.camera} never came back after {fault.kind}")
            continue
        waits.append(own[place].out_utc_s - fault.over_utc_s)
        lasted_s = fault.over_utc_s - fault.began_utc_s
        by_kind.setdefault(fault.kind, []).append(f"{waits[-1]:.2f} s (after {lasted_s:.0f} s)")
    for kind, told in sorted(by_kind.items()):
        print(f"         {kind}: {', '.join(told)}")
    if waits:
        median_s, worst_s = statistics.median(waits), max(waits)
        v.check(median_s <= MEDIAN_RETURN_S, f"median of {len(waits)} {median_s:.2f} s (at most {MEDIAN_RETURN_S:g} s)")
        v.check(worst_s <= WORST_RETURN_S, f"worst {worst_s:.2f} s (at most {WORST_RETURN_S:g} s)")


def judge_process(samples: Samples, quiet_last_s: float, verdict: Verdict) -> None:
    """Memory, threads and descriptors do not grow."""
    print("\nThe process")
    if not samples.time_s:
        verdict.check(False, "it never detected anything")
        return
    end_s = samples.time_s[-1]
    slope = samples.slope_mb_per_min(SETTLED_S)
    if slope is None:
        print("         too short a run for the slope of its memory (it is taken from 2 minutes on)")
    else:
        verdict.check(slope < MOST_MB_PER_MIN, f"memory {slope:+.2f} MB/min after the first 2 minutes")
    for name, values in (("threads", samples.threads), ("descriptors", samples.descriptors)):
        # The first window holds the end of a segment: some threads are made then, once for all.
        first, last = samples.window(values, 0, FIRST_WINDOW_S), samples.window(values, end_s - quiet_last_s, end_s + 1)
        at_last = round(statistics.median(last))
        verdict.check(at_last <= max(first), f"{name}: up to {max(first)} at first, {at_last} at last")
    for part in range(11):
        at = min(len(samples.time_s) - 1, part * len(samples.time_s) // 10)
        print(
            f"         {samples.time_s[at]:7.0f} s  {samples.rss_mb[at]:7.0f} MB  {samples.threads[at]} threads  "
            f"{samples.descriptors[at]} descriptors"
        )


def judge_segments(folder: Path, report: dict[str, Any], verdict: Verdict) -> None:
    """Every file of the recording plays to its end, and together they hold at least the frames that were written."""
    print("\nThe recording")
    paths = sorted((folder / "rec").glob("*.*"))
    pictures, broken = 0, []
    for path in paths:
        try:
            with av.open(str(path)) as container:
                times = [frame.pts for frame in container.decode(video=0)]
            pictures += len(times)
            if not times or any(b is None or a is None or b <= a for a, b in pairwise(times)):
                broken.append(path.name)
        except av.FFmpegError as error:
            broken.append(f"{path.name} ({error})")
    told = f": {', '.join(broken)}" if broken else ""
    verdict.check(bool(paths) and not broken, f"{len(paths)} segments, {len(broken)} do not play{told}")
    written = sum(camera["frames"]["written"] or 0 for camera in report.get("cameras", []))
    verdict.check(pictures >= written > 0, f"{pictures} pictures in them for {written} frames written")


def judge_gaps(streams: Sequence[str], lines: dict[str, list[Line]], most_s: float, verdict: Verdict) -> None:
    """No camera is without detections for longer than `most_s`."""
    for stream in streams:
        gaps = [b.utc_s - a.utc_s for a, b in pairwise(lines.get(stream, []))]
        verdict.check(bool(gaps) and max(gaps) <= most_s, f"{stream}: longest gap {max(gaps, default=0):.2f} s")


def _ms(time_s: float | None) -> str:
    return "-" if time_s is None else f"{1000 * time_s:.0f} ms"
