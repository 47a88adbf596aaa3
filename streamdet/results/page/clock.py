"""How moments are written on a page: as times of a recording, or as time of day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, tzinfo

STEPS_S = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800,
    604800,
)  # fmt: skip
"""Distances between marks of a time axis, in seconds."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Writes moments of one view."""

    live: bool
    """True: seconds since 1970; False: seconds of a recording."""
    zone: tzinfo | None = None
    """Of the time of day; None: that of this machine."""
    with_day: bool = False
    """The view spans more than a day."""
    order: bool = False
    """Pictures of a folder: a moment is a picture's place, not a time."""

    def moment(self, time_s: float, step_s: float = 1.0, *, with_day: bool = True) -> str:
        """`1:02:03`, `22:10:05`, `Wed 25 Nov 22:10`; with tenths where `step_s` is below a second."""
        if self.order:
            return f"no. {time_s:.0f}"
        tenths = step_s < 1
        if not self.live:
            return _media(time_s, tenths)
        # to a tenth first: 59.96 s must not become 59.10
        now = self._at(round(time_s, 1))
        text = now.strftime("%H:%M" if step_s >= 60 else "%H:%M:%S") + (f".{now.microsecond // 100_000}" * tenths)
        return f"{now:%a} {now.day} {now:%b} {text}" if self.with_day and with_day else text

    def span(self, begin_s: float, end_s: float) -> str:
        """From when to when, with the day where there is one."""
        if self.order:
            return f"pictures {begin_s:.0f} to {end_s:.0f}"
        if not self.live:
            return f"{_media(begin_s, False)} to {_media(end_s, False)}"
        begin, end = self._at(begin_s), self._at(end_s)
        first = f"{begin:%A}, {begin.day} {begin:%B} {begin:%Y}, {begin:%H:%M}"
        last = f"{end:%H:%M}" if begin.date() == end.date() else f"{end.day} {end:%B}, {end:%H:%M}"
        return f"{first} to {last}"

    def zone_name(self, time_s: float) -> str:
        """Such as `CET (UTC+01:00)`."""
        now = self._at(time_s)
        offset = now.strftime("%z")
        offset = f"UTC{offset[:3]}:{offset[3:5]}"
        name = now.tzname() or ""
        return "UTC" if offset == "UTC+00:00" and name == "UTC" else f"{name} ({offset})"

    def ticks(self, begin_s: float, end_s: float, most: int) -> list[tuple[float, str]]:
        """Round moments between the two, at most `most`, each with its name."""
        span_s = max(end_s - begin_s, 1e-9)
        step_s = next((step for step in STEPS_S if span_s / step <= most - 1), math.ceil(span_s / 604800) * 604800.0)
        if self.order:
            step_s = max(1, step_s)
        found = []
        # from the local midnight where there is one, so that marks stand at full hours of the day
        shift_s = self._offset_s(begin_s)
        number = math.ceil((begin_s + shift_s) / step_s - 1e-9)
        while (at_s := number * step_s - shift_s) <= end_s + 1e-9:
            found.append((at_s, self._tick(at_s, step_s)))
            number += 1
        return found

    def _tick(self, at_s: float, step_s: float) -> str:
        if self.live and self.with_day:
            now = self._at(at_s)
            midnight = now.hour == 0 and now.minute == 0
            return f"{now:%a} {now.day}" if midnight or step_s >= 86400 else f"{now:%H:%M}"
        if self.order:
            return f"{at_s:.0f}"
        return self.moment(at_s, step_s) if self.live else _media(at_s, step_s < 1)

    def _offset_s(self, time_s: float) -> float:
        offset = self._at(time_s).utcoffset() if self.live else None
        return offset.total_seconds() if offset else 0.0

    def _at(self, time_s: float) -> datetime:
        if self.zone is not None:
            return datetime.fromtimestamp(time_s, self.zone)
        return datetime.fromtimestamp(time_s).astimezone()


def _media(time_s: float, tenths: bool) -> str:
    """`0:07`, `12:07.5`, `1:02:03`."""
    sign = "−" if time_s < 0 else ""
    whole = round(abs(time_s) * 10) if tenths else int(abs(time_s) + 1e-6) * 10
    seconds, tenth = divmod(whole, 10)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return sign + text + (f".{tenth}" if tenths else "")


def length(seconds: float) -> str:
    """How long something took, as people say it: `0.4 s`, `13 s`, `4 min 5 s`, `10 h 2 min`, `3 days 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, name, part, part_name in ((86400, "day", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            many, rest = divmod(round(whole / part) * part, size)
            unit = f"{name}s" if name == "day" and many != 1 else name
            return f"{many} {unit}" + (f" {rest // part} {part_name}" if rest // part else "")
    return f"{whole} s"
