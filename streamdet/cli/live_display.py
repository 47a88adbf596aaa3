"""What a live run shows while it goes on: a table with a row per camera, or lines where there is no terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamdet.cli.figures import NOTHING, cut_middle, drops_of, duration, rate, short_count
from streamdet.cli.live_tracks import CameraTrack, plain_line, state_of
from streamdet.cli.receipt import PLAIN_LINE_EVERY_S, clock
from streamdet.video.base import printable
from streamdet.video.live.status import SourceState

if TYPE_CHECKING:
    from streamdet.live.report import LiveReport

REFRESH_EVERY_S = 0.5
REASONS_FROM_COLUMNS = 120
"""From this width on the reasons of drops are shown beside their number."""
HEADINGS = ("camera", "state", "in", "det", "out", "age p95", "dropped", "reconn")


class LiveDisplay:
    """Shows the state of all cameras. Call `update` often; it draws about twice a second.

    Without a terminal: a line per camera every 10 s, and one whenever a camera comes, goes or has another problem.
    """

    def __init__(
        self, report: LiveReport, *, console: Console | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`now_s`: the monotonic clock that the cameras' states are told in."""
        self._report = report
        self._console = console or Console(stderr=True)
        self._now_s = now_s
        self._started_s = now_s()
        self._drawn_s = float("-inf")
        self._told_s = self._started_s
        self._tracks: dict[int, CameraTrack] = {}
        self._notes_told: Counter[int] = Counter()
        # standard output may carry JSON lines: leave it alone
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def wait_for_detector(self) -> None:
        """Say, on a terminal, that the detector is made ready before there is a camera to show."""
        if self._console.is_terminal:
            text = f"making {self._report.model} ready on {self._report.device}; the first time that takes some seconds"
            self._live.update(Text(text, style="dim"), refresh=True)

    def update(self) -> None:
        """Show the cameras as the report has them now."""
        now_s = self._now_s()
        if now_s - self._drawn_s < REFRESH_EVERY_S:
            return
        self._drawn_s = now_s
        tracks = self._take_samples(now_s)
        self._tell_notes()
        if self._console.is_terminal:
            self._live.update(self._screen(tracks, now_s), refresh=True)
            return
        is_time = now_s - self._told_s >= PLAIN_LINE_EVERY_S
        for track in tracks:
            if is_time or track.has_news(now_s):
                track.tell(now_s)
                line = plain_line(track, now_s)
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        if is_time:
            self._told_s = now_s

    def _tell_notes(self) -> None:
        """What is new among the notes, once, above the table: a disk that is full must not be told only at the end."""
        places = [("", self._report.notes), *((f"{camera.name}: ", camera.notes) for camera in self._report.cameras)]
        for whose, notes in places:
            new = notes[self._notes_told[id(notes)] :]
            self._notes_told[id(notes)] += len(new)
            for note in new:
                text = Text(f"note: {printable(whose + note)}", style="yellow")
                self._console.print(text, highlight=False, soft_wrap=True)

    def _take_samples(self, now_s: float) -> list[CameraTrack]:
        """A track per camera that takes part; one that was taken out of the run (stopped) is left out."""
        cameras = list(self._report.cameras)
        taking_part = [camera for camera in cameras if camera.status.state is not SourceState.STOPPED] or cameras
        self._tracks = {id(camera): self._tracks.get(id(camera)) or CameraTrack(camera) for camera in taking_part}
        for track in self._tracks.values():
            track.sample(now_s)
        return list(self._tracks.values())

    def _screen(self, tracks: list[CameraTrack], now_s: float) -> Group:
        columns, room = self._console.width, max(self._console.height - 1, 5)
        troubles = [trouble for track in tracks if (trouble := track.trouble(now_s)) is not None]
        troubles.sort(key=lambda trouble: not trouble.is_present)
        most_rows = max(room - 4, 1)  # header, headings, total, and a line of air
        shown = tracks
        if len(tracks) > most_rows:  # those with a problem first
            shown = sorted(tracks, key=lambda track: track.status.state is SourceState.LIVE)[: most_rows - 1]
            shown = [track for track in tracks if track in shown]
        parts: list[RenderableType] = [
            self._header(tracks, now_s, columns),
            camera_table(shown, tracks, now_s, columns),
        ]
        left = max(room - 3 - len(shown), 0)
        lines_each = min(max(left // max(len(troubles), 1), 1), 3)
        lines = [line for trouble in troubles for line in trouble.lines(self._console, columns)[:lines_each]]
        return Group(*parts, *lines[:left])

    def _header(self, tracks: list[CameraTrack], now_s: float, columns: int) -> Text:
        live = sum(track.status.state is SourceState.LIVE for track in tracks)
        report = self._report
        model = f"{report.precision} on {report.device}" if report.device else ""
        parts = [
            Text(printable(report.model), style="bold"),
            Text(model),
            Text(f"{live} of {len(tracks)} live", style="green" if live == len(tracks) else "yellow"),
            Text(clock(now_s - self._started_s)),
        ]
        header = Text(" · ", style="dim").join(part for part in parts if part.plain)
        header.no_wrap, header.overflow = True, "ellipsis"
        return header


def camera_table(shown: list[CameraTrack], tracks: list[CameraTrack], now_s: float, columns: int) -> Table:
    """A row for each track in `shown`, and the sum of all `tracks`."""
    with_reasons = columns >= REASONS_FROM_COLUMNS
    states = [state_of(track.status, now_s) for track in shown]
    state_columns = max(min(max(cell_len(state.plain) for state in states), columns // 4), 10)
    drop_columns = columns // 4 if with_reasons else 7
    name_columns = max(columns - state_columns - drop_columns - 41, 8)  # the others, and the gaps
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_footer=len(tracks) > 1, footer_style="bold")
    for heading, footer in zip(HEADINGS, _sums(tracks, with_reasons), strict=True):
        most = {"camera": name_columns, "state": state_columns, "dropped": drop_columns}.get(heading)
        is_text = heading in ("camera", "state") or (with_reasons and heading == "dropped")
        table.add_column(
            heading,
            footer,
            justify="left" if is_text else "right",
            no_wrap=True,
            overflow="ellipsis",
            min_width=4,
            max_width=most,
        )
    for track, state in zip(shown, states, strict=True):
        camera = track.camera
        into, detected, written = track.rates
        table.add_row(
            Text(cut_middle(track.name, name_columns)),
            state,
            rate(into),
            rate(detected),
            NOTHING if camera.written is None else rate(written),
            duration(track.age_p95_s),
            Text(drops_of(dict(camera.dropped), with_reasons)),
            short_count(camera.counts.reconnects),
            style="dim" if track.status.state in (SourceState.ENDED, SourceState.STOPPED) else "",
        )
    return table


def _sums(tracks: list[CameraTrack], with_reasons: bool) -> list[str | Text]:
    """The last row: rates and counts in all, and the greatest age."""
    cameras = [track.camera for track in tracks]
    dropped: Counter[str] = Counter()
    for camera in cameras:
        dropped.update(dict(camera.dropped))
    into, detected, written = (sum(track.rates[place] for track in tracks) for place in range(3))
    return [
        f"all {len(tracks)}",
        "",
        rate(into),
        rate(detected),
        rate(written) if any(camera.written is not None for camera in cameras) else NOTHING,
        duration(max((track.age_p95_s for track in tracks if track.age_p95_s is not None), default=None)),
        Text(drops_of(dropped, with_reasons)),
        short_count(sum(camera.counts.reconnects for camera in cameras)),
    ]
