"""Follows each camera of a live run over the last seconds: its rates, its age, its last problem, told in lines."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from streamdet.cli.figures import cut_middle, drops_of, duration
from streamdet.cli.receipt import clock, cut
from streamdet.report import StageTimes
from streamdet.video.base import printable
from streamdet.video.live.status import SourceState, SourceStatus

if TYPE_CHECKING:
    from streamdet.live.report import CameraReport

WINDOW_S = 5.0
"""Rates and ages are those of this long."""
LINE_COLUMNS = 110
"""Most columns of a line without a terminal."""
NEWS_APART_S = 1.0
"""Without a terminal a change of state is told at once, but not oftener than this for each camera."""
REMEMBERED_S = 300.0
"""A problem that is over is shown for this long."""
NAME_SHARE = 0.25
"""Most of the width that a name may take in front of its problem."""
GONE = (SourceState.CONNECTING, SourceState.WAITING)


@dataclass(frozen=True, slots=True)
class _Sample:
    """The counts of a camera at a moment."""

    at_s: float
    decoded: int
    detected: int
    written: int
    ages: StageTimes


@dataclass(frozen=True, slots=True)
class Trouble:
    """A camera's problem, to be told below the table."""

    name: str
    told: str
    is_present: bool
    style: str

    def lines(self, console: Console, columns: int) -> list[Text]:
        """The problem, on as many lines as it takes."""
        name = cut_middle(self.name, max(int(columns * NAME_SHARE), 12))
        told = Text.assemble((f"{name}: ", "bold" if self.is_present else "dim"), (self.told, self.style))
        return list(told.wrap(console, columns))


class CameraTrack:
    """One camera over the last seconds: what rates are made of, and the last problem."""

    def __init__(self, camera: CameraReport) -> None:
        self.camera = camera
        self.name = printable(camera.name)
        self.status: SourceStatus = camera.status
        self.rates: tuple[float, float, float] = (0.0, 0.0, 0.0)
        """Frames per second that came in, were detected, were written."""
        self.age_p95_s: float | None = None
        """From arrival to detections; None when nothing was detected."""
        self._samples: deque[_Sample] = deque()
        self._problem: tuple[str, float] | None = None
        self._gone_since_s: float | None = None
        self._told: tuple[bool, str] | None = None
        self._told_s = float("-inf")

    def sample(self, now_s: float) -> None:
        """Take the camera's counts as they are now."""
        camera = self.camera
        self.status = camera.status
        if self.status.problem:
            self._problem = self.status.problem, now_s
        if self.status.state in GONE:
            self._gone_since_s = now_s if self._gone_since_s is None else self._gone_since_s
        else:
            self._gone_since_s = None
        ages = camera.age_detected.copy()
        new = _Sample(now_s, camera.counts.decoded, camera.detected, camera.written or 0, ages)
        self._samples.append(new)
        while len(self._samples) > 2 and self._samples[1].at_s <= now_s - WINDOW_S:
            self._samples.popleft()
        old = self._samples[0]
        seconds = new.at_s - old.at_s
        if seconds > 0:
            grown = new.decoded - old.decoded, new.detected - old.detected, new.written - old.written
            into, detected, written = (n / seconds for n in grown)
            self.rates = into, detected, written
            recent = ages.since(old.ages)
            self.age_p95_s = recent.percentile_s(95) if recent.calls else None

    def has_news(self, now_s: float) -> bool:
        """True when its state or problem is another than was told last."""
        return self._told != self._news() and now_s - self._told_s >= NEWS_APART_S

    def tell(self, now_s: float) -> None:
        """Remember what is told now."""
        self._told, self._told_s = self._news(), now_s

    def trouble(self, now_s: float) -> Trouble | None:
        """Its problem now, or one that is over since a short while."""
        if self._problem is None:
            return None
        sentence, at_s = printable(self._problem[0]), self._problem[1]
        if self._gone_since_s is not None:
            return Trouble(self.name, f"gone for {clock(now_s - self._gone_since_s)}: {sentence}", True, "red")
        if self.status.problem:
            return Trouble(self.name, sentence, True, "yellow")
        if now_s - at_s > REMEMBERED_S:
            return None
        return Trouble(self.name, f"{clock(now_s - at_s)} ago: {sentence}", False, "dim")

    def gone_for_s(self, now_s: float) -> float:
        """Seconds since it last was live, or since the beginning."""
        return 0.0 if self._gone_since_s is None else now_s - self._gone_since_s

    def _news(self) -> tuple[bool, str]:
        return self.status.state is SourceState.LIVE, self.status.kind


def state_of(status: SourceStatus, now_s: float) -> Text:
    """A camera's state in a word or three; while it is gone the kind of problem, and when it is tried again."""
    kind = printable(status.kind)
    if status.state is SourceState.LIVE:
        return Text(f"live: {kind}", style="yellow") if kind else Text("live", style="green")
    if status.state is SourceState.WAITING:
        return Text(f"{kind or 'gone'}{_retry(status, now_s, ', in ')}", style="not dim red")
    if status.state is SourceState.CONNECTING:
        return Text("connecting", style="not dim cyan")
    return Text(status.state.value)


def plain_line(track: CameraTrack, now_s: float) -> str:
    """The state of a camera on one line of at most 110 columns."""
    camera, status = track.camera, track.status
    if status.state is SourceState.LIVE:
        into, detected, written = (f"{per_s:.1f}" for per_s in track.rates)
        parts = [f"{into} fps in", f"{detected} detected"]
        parts += [f"{written} written"] * (camera.written is not None)
        parts += [f"age p95 {duration(track.age_p95_s)}"] * (track.age_p95_s is not None)
        parts += [f"reconnects {camera.counts.reconnects}"] * bool(camera.counts.reconnects)
        dropped = dict(camera.dropped)
        parts += [f"dropped {drops_of(dropped, True)}"] * bool(dropped)
        told = f"live; {printable(status.problem)}; " if status.problem else "live, "
        told += ", ".join(parts)
    else:
        told = status.state.value
        told += f", gone for {clock(track.gone_for_s(now_s))}" * (track.gone_for_s(now_s) >= 1)
        told += _retry(status, now_s, ", next attempt in ")
        told += f": {printable(status.problem)}" * bool(status.problem)
    name = cut_middle(track.name, max(LINE_COLUMNS - cell_len(told) - 2, 24))
    return cut(f"{name}: {told}", LINE_COLUMNS)


def _retry(status: SourceStatus, now_s: float, words: str) -> str:
    return "" if status.retry_at_s is None else f"{words}{max(0.0, status.retry_at_s - now_s):.0f} s"
