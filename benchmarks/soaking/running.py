"""Runs `streamdet run` over cameras as a user would, and looks at its process from outside, second by second."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ENDS_WITHIN_S = 60.0
STARTS_WITHIN_S = 60.0


@dataclass
class Samples:
    """Of a process and its children: one entry a second."""

    time_s: list[float] = field(default_factory=list)
    """After the first frame was detected."""
    rss_mb: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def take(self, pid: int, time_s: float) -> None:
        """Add what /proc says now of the process and all that it started."""
        rss_mb, threads, descriptors = 0.0, 0, 0
        for each in _family(pid):
            try:
                fields = dict(line.split(":", 1) for line in Path(f"/proc/{each}/status").read_text().splitlines())
                descriptors += sum(1 for _ in Path(f"/proc/{each}/fd").iterdir())
            except OSError:
                continue  # it has ended
            rss_mb += int(fields.get("VmRSS", "0 kB").split()[0]) / 1024
            threads += int(fields["Threads"])
        if rss_mb:
            self.time_s.append(time_s)
            self.rss_mb.append(rss_mb)
            self.threads.append(threads)
            self.descriptors.append(descriptors)

    def slope_mb_per_min(self, after_s: float) -> float | None:
        """Of a straight line through the memory from `after_s` on; None with less than a minute of samples."""
        time_s, rss_mb = np.array(self.time_s), np.array(self.rss_mb)
        late = time_s >= after_s
        if late.sum() < 60:
            return None
        return float(np.polyfit(time_s[late], rss_mb[late], 1)[0] * 60)

    def window(self, values: Sequence[int], begin_s: float, end_s: float) -> list[int]:
        """Those of `values` between two times."""
        return [value for time_s, value in zip(self.time_s, values, strict=True) if begin_s <= time_s < end_s]


@dataclass
class Run:
    """A run that has ended."""

    folder: Path
    exit_code: int
    ended_well: bool
    """It ran until Ctrl-C, and then ended within a minute."""
    samples: Samples


def run_product(
    urls: Sequence[str],
    folder: Path,
    seconds: float,
    options: Sequence[str],
    work: Callable[[float], None] = lambda since_start_s: None,
) -> Run:
    """Run it for so many seconds after the first detections; `work` is called all the time with the seconds since.

    Leaves in `folder`: rec/ (segments), boxes*.jsonl, run.json, output.txt (what it printed).
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "streamdet", "run", *urls, "--jsonl", str(folder / "boxes.jsonl")]
    command += ["--report", str(folder / "run.json"), *options]
    samples, started_s, launched_s = Samples(), None, time.monotonic()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                now_s = time.monotonic()
                if started_s is None and _has_frames(folder):
                    started_s = now_s
                if started_s is None and now_s - launched_s > STARTS_WITHIN_S:
                    break
                if started_s is not None:
                    work(now_s - started_s)
                    if not samples.time_s or now_s - started_s >= samples.time_s[-1] + 1:
                        samples.take(process.pid, now_s - started_s)
                    if now_s - started_s >= seconds:
                        break
                time.sleep(0.05)
            died_early = process.poll() is not None
            process.send_signal(signal.SIGINT)
            try:
                process.wait(ENDS_WITHIN_S)
                return Run(folder, process.returncode, not died_early, samples)
            except subprocess.TimeoutExpired:
                return Run(folder, -1, False, samples)
        finally:
            process.kill()
            process.wait()


def _family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(path.parent.name)] = int(after_name[1])
    family: set[int] = set()
    children = {pid}
    while children:
        family |= children
        children = {child for child, parent in parents.items() if parent in children}
    return family


def _has_frames(folder: Path) -> bool:
    return any(path.stat().st_size > 4096 for path in folder.glob("boxes*.jsonl"))
