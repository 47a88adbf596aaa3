"""What happened in a live run: each camera's frames accounted for, their age, and the verdict. Nothing is printed.

decoded  = skipped + detected + dropped, by reason
detected = written + left out of the recording, by reason
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from streamdet import __version__
from streamdet.report import SCHEMA, StageTimes, Verdict, exit_code_of, write_json
from streamdet.results.tally import Tally
from streamdet.video.base import SourceInfo
from streamdet.video.blur import BlurAccount
from streamdet.video.live.status import NOT_CONNECTED_YET, LiveCounts, SourceState, SourceStatus
from streamdet.video.redaction import redact


class LiveInput(Protocol):
    """A live source as the pipeline and the report see it."""

    name: str
    counts: LiveCounts

    @property
    def info(self) -> SourceInfo | None:
        """Of the present or last connection."""

    @property
    def status(self) -> SourceStatus:
        """What it is doing."""


@dataclass
class CameraReport:
    """The account of one camera. Each number is written by one thread; others may read."""

    source: LiveInput
    skipped: int = 0
    """Left out as asked (`--every`)."""
    detected: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Decoded and not detected, by reason."""
    written: int | None = None
    """Frames in the recording or the pushed stream; None when neither was asked for."""
    unwritten: Counter[str] = field(default_factory=Counter)
    """Detected and not in the recording, by reason."""
    age_detected: StageTimes = field(default_factory=StageTimes)
    """From the arrival of a frame's packet to its detections."""
    age_written: StageTimes = field(default_factory=StageTimes)
    """From the arrival of a frame's packet to its end in the output."""
    stages: dict[str, StageTimes] = field(default_factory=dict)
    """Times of its own outputs: draw, encode."""
    outputs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tally: Tally | None = None
    """What was followed and counted; None where nothing was."""
    blurred: BlurAccount | None = None
    """What was made unrecognisable; None where nobody asked."""

    @property
    def name(self) -> str:
        """Of the source; printable."""
        return self.source.name

    @property
    def status(self) -> SourceStatus:
        """Of the source."""
        return self.source.status

    @property
    def counts(self) -> LiveCounts:
        """Of the source."""
        return self.source.counts

    def discrepancies(self) -> list[str]:
        """A sentence for each sum that does not add up, at the end of the run."""
        found = []
        given = self.skipped + self.detected + sum(self.dropped.values())
        if self.counts.decoded != given:
            found.append(f"{self.name}: {self.counts.decoded} frames decoded, but {given} accounted for")
        if self.written is not None:
            told = self.written + sum(self.unwritten.values())
            if told != self.detected:
                found.append(f"{self.name}: {self.detected} frames detected, but {told} accounted for in the output")
        return found

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        counts, info, status = self.counts, self.source.info, self.status
        return {
            "name": self.name,
            "state": status.state.value,
            "problem": status.problem,
            "codec": info.codec if info else None,
            "width": info.width if info else None,
            "height": info.height if info else None,
            "frames": {
                "packets": counts.packets,
                "bytes": counts.bytes,
                "decoded": counts.decoded,
                "lost": counts.lost,
                "damaged": counts.damaged,
                "skipped": self.skipped,
                "detected": self.detected,
                "dropped": dict(self.dropped),
                "written": self.written,
                "unwritten": dict(self.unwritten),
            },
            "sessions": counts.sessions,
            "attempts": counts.attempts,
            "stalls": dict(counts.stalls),
            "failures": dict(counts.failures),
            "outages": counts.outages.to_dict(),
            "age_detected": self.age_detected.to_dict(),
            "age_written": self.age_written.to_dict(),
            "stages": {name: times.to_dict() for name, times in self.stages.items() if times.calls},
            **({} if self.tally is None else {"places": self.tally.to_dict()}),
            **({} if self.blurred is None else {"blurred": self.blurred.as_dict()}),
            "outputs": list(self.outputs),
            "notes": list(self.notes),
        }


@dataclass
class LiveReport:
    """The receipt of a live run; `to_dict` is the content of run.json."""

    model: str = ""
    model_sha256: str = ""
    device: str = ""
    precision: str = ""
    engine: str = ""
    """What computed the network; empty before the first frame."""
    batch: int = 1
    """Most frames in one pass of the network."""
    input_size_wh: tuple[int, int] | None = None
    cameras: list[CameraReport] = field(default_factory=list)
    stages: dict[str, StageTimes] = field(default_factory=dict)
    wall_s: float = 0.0
    started_utc_s: float = 0.0
    unlogged: int = 0
    """Detected frames that are missing in the JSON lines."""
    notes: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    events: Mapping[str, object] = field(default_factory=dict)
    """How many there were, and who has got them; empty where nobody asked."""
    verdict: Verdict = "failed"
    reason: str = "the run did not come to its end"
    failed_exit_code: int = 1

    def stage(self, name: str) -> StageTimes:
        """Times of the stage called `name`; made when first asked for."""
        return self.stages.setdefault(name, StageTimes())

    def conclude(self, *, error: BaseException | None = None, stopped_by: str | None, as_asked: bool) -> None:
        """Reach the verdict, once, after the last frame.

        `stopped_by`: what ended the run ("Ctrl-C", "SIGTERM", "--end"); `as_asked`: that is how this run should end.
        A run that never ended by itself is complete when it was stopped as asked and every frame is accounted for.
        """
        discrepancies = [sentence for camera in self.cameras for sentence in camera.discrepancies()]
        self.notes += discrepancies
        detected = sum(camera.detected for camera in self.cameras)
        silent = [camera.name for camera in self.cameras if not camera.counts.decoded]
        cut = [c.status.problem for c in self.cameras if c.status.state is SourceState.ENDED and c.status.problem]
        torn = [
            f"{sum(camera.unwritten.values())} detected frames of {camera.name} are not in its output ({reasons})"
            for camera in self.cameras
            # a receiver is only asked when there is a first picture: what comes until it has agreed is no fault
            if (reasons := ", ".join(camera.unwritten)) and (reasons != NOT_CONNECTED_YET or not camera.written)
        ]
        torn += [f"{self.unlogged} detected frames are missing in the JSON lines"] * (self.unlogged > 0)
        if error is not None:
            # an error that nobody expected may quote an address with its password
            self.verdict, self.reason = "failed", redact(str(error)) or type(error).__name__
            self.failed_exit_code = getattr(error, "exit_code", 1)
        elif stopped_by is not None and not as_asked:
            self.verdict, self.reason = "interrupted", f"stopped by {stopped_by} after {detected} frames"
        elif discrepancies or cut or torn:
            self.verdict, self.reason = "partial", (discrepancies or cut or torn)[0]
        elif silent:
            self.verdict, self.reason = "partial", f"no frame came from {', '.join(silent)}"
        else:
            self.verdict, self.reason = "complete", f"{detected} frames detected, every frame accounted for"

    def exit_code(self, strict: bool = False) -> int:
        """What the process should exit with; with `strict`, frames lost, damaged or dropped make a run partial."""
        flawed = any(c.counts.lost or c.counts.damaged or c.dropped or c.unwritten for c in self.cameras)
        return exit_code_of(self.verdict, self.failed_exit_code, flawed=strict and bool(flawed))

    def to_dict(self) -> dict[str, object]:
        """The content of run.json."""
        return {
            "schema": SCHEMA,
            "streamdet": __version__,
            "live": True,
            "verdict": self.verdict,
            "reason": self.reason,
            "model": {"name": self.model, "sha256": self.model_sha256},
            "device": self.device,
            "precision": self.precision,
            "engine": self.engine,
            "batch": self.batch,
            "input_size_wh": self.input_size_wh,
            "started_utc_s": round(self.started_utc_s, 3),
            "wall_s": round(self.wall_s, 6),
            "unlogged": self.unlogged,
            "notes": self.notes,
            "outputs": self.outputs,
            **({"events": dict(self.events)} if self.events else {}),
            "cameras": [camera.to_dict() for camera in self.cameras],
            "stages": {name: times.to_dict() for name, times in self.stages.items()},
        }

    def write(self, path: Path) -> None:
        """Write run.json, aside first and then renamed. Raises OutputError."""
        write_json(path, self.to_dict())
