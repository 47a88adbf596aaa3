"""The rules of one source: looks at each of its frames, and at its silence, and says which events came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from streamdet.events.event import Event, Finding
from streamdet.events.rules import CameraDown, Rule
from streamdet.events.watchers import Watcher, watcher_for
from streamdet.results.analysis import clock_s
from streamdet.types import DetectedFrame, Frame
from streamdet.video.live.status import SourceState, SourceStatus


class EventEngine:
    """Makes the events of one source. The same frames give the same events with the same numbers.

    Attributes:
        number: of the last event; the next one gets the number that follows.
    """

    def __init__(self, rules: Sequence[Rule], source: str, number: int = 0) -> None:
        """`source`: its printable name, as the rules call it; `number`: of its last event before."""
        self.number = number
        self._source = source
        mine = [rule for rule in rules if rule.sources is None or source in rule.sources]
        self._watched: list[tuple[_Cooldown, Watcher]] = []
        self._outages: list[tuple[_Cooldown, _Outage]] = []
        for rule in mine:
            watcher = watcher_for(rule.condition)
            if watcher is not None:
                self._watched.append((_Cooldown(rule), watcher))
            elif isinstance(rule.condition, CameraDown):
                self._outages.append((_Cooldown(rule), _Outage(rule.condition.longer_than_s)))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those that hold for this source."""
        return tuple(cooldown.rule for cooldown, _ in (*self._watched, *self._outages))

    def update(self, detected: DetectedFrame) -> list[Event]:
        """The events of the next frame, in the order of the rules."""
        frame = detected.frame
        now_s = clock_s(frame)
        events = []
        for cooldown, outage in self._outages:
            lasted_s = outage.came_back(frame.arrival_s)
            if lasted_s is not None:
                # belongs to the event before, which no cooldown may leave without its end
                message = f"camera {self._source} is back after {lasted_s:.0f} s"
                finding = Finding("camera up", message, lasted_s=lasted_s)
                events.append(self._event(cooldown, finding, frame.utc_s, frame))
        for cooldown, watcher in self._watched:
            for finding in watcher.update(detected, now_s):
                if cooldown.allows(now_s, finding.place):
                    events.append(self._event(cooldown, finding, frame.utc_s, frame))
        return events

    def gone(self, status: SourceStatus, now_s: float) -> list[Event]:
        """The events of a camera that gives no frames; to be called now and then. `now_s`: monotonic clock."""
        if status.state in (SourceState.ENDED, SourceState.STOPPED):
            return []
        events = []
        for cooldown, outage in self._outages:
            lasted_s = outage.goes_on(now_s)
            if lasted_s is not None and cooldown.allows(now_s):
                outage.told = True
                why = f": {status.problem}" if status.problem else ""
                message = f"camera {self._source} gives no pictures for {lasted_s:.0f} s{why}"
                events.append(self._event(cooldown, Finding("camera down", message, lasted_s=lasted_s), time.time()))
        return events

    def _event(self, cooldown: _Cooldown, finding: Finding, utc_s: float | None, frame: Frame | None = None) -> Event:
        self.number += 1
        rule = cooldown.rule
        return Event(
            self._source,
            self.number,
            rule.name,
            finding,
            frame,
            utc_s,
            cooldown.take_suppressed(finding.place),
            send=rule.send,
        )


class _Cooldown:
    """Keeps back the events of a rule that come too soon after its last one at the same place, and counts them."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._until_s: dict[str | None, float] = {}
        self._suppressed: Counter[str | None] = Counter()

    def allows(self, now_s: float, place: str | None = None) -> bool:
        if now_s < self._until_s.get(place, now_s):
            self._suppressed[place] += 1
            return False
        self._until_s[place] = now_s + self.rule.cooldown_s
        return True

    def take_suppressed(self, place: str | None) -> int:
        return self._suppressed.pop(place, 0)


class _Outage:
    """How long a camera has given nothing, from its last frame on, or from the first time that it was missed."""

    def __init__(self, longer_than_s: float) -> None:
        self.told = False
        self._longer_than_s = longer_than_s
        self._since_s: float | None = None

    def came_back(self, now_s: float) -> float | None:
        """A frame is there: seconds of the outage before it, if somebody was told of that."""
        since_s, told = self._since_s, self.told
        self._since_s, self.told = now_s, False
        return now_s - since_s if told and since_s is not None else None

    def goes_on(self, now_s: float) -> float | None:
        """No frame: seconds of the outage when somebody should be told."""
        self._since_s = now_s if self._since_s is None else self._since_s
        lasted_s = now_s - self._since_s
        return lasted_s if not self.told and lasted_s >= self._longer_than_s else None
