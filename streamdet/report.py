"""What happened in a run: frames accounted for, time per stage, and the verdict. Data only; nothing is printed.

The frames must add up, or the run is not called complete:

    in_container = decoded + lost
    decoded      = skipped + dropped + detected
    written      = detected (when a video is written)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

from streamdet import __version__
from streamdet.errors import OutputError

SCHEMA = 1
"""Version of the form of run.json; grows when a field changes its meaning or goes away."""

Verdict = Literal["complete", "partial", "interrupted", "failed"]

EXIT_COMPLETE = 0
EXIT_PARTIAL = 5
EXIT_INTERRUPTED = 130

# Bins of StageTimes: each is 2 % wider than the one before, from 1 µs to about 18 minutes.
_SHORTEST_S = 1e-6
_RATIO = 1.02
_BINS = 1050


@dataclass
class StageTimes:
    """How long the calls of one stage took. A histogram: constant memory, percentiles exact to 1 %.

    Written by one thread; others may read `busy_s` while it runs.
    """

    busy_s: float = 0.0
    """Sum of all calls, in seconds."""
    calls: int = 0
    frames: int = 0
    """Frames that the calls handled: more than `calls` where a stage works in batches."""
    longest_s: float = 0.0
    _bins: list[int] = field(default_factory=lambda: [0] * _BINS, repr=False)

    def record(self, seconds: float, frames: int = 1) -> None:
        """Add one call that took `seconds` and handled `frames` frames."""
        place = int(math.log(seconds / _SHORTEST_S) / math.log(_RATIO)) if seconds > _SHORTEST_S else 0
        self._bins[min(place, _BINS - 1)] += 1
        self.busy_s += seconds
        self.calls += 1
        self.frames += frames
        self.longest_s = max(self.longest_s, seconds)

    def copy(self) -> StageTimes:
        """These times as they are now."""
        return replace(self, _bins=self._bins.copy())

    def since(self, earlier: StageTimes) -> StageTimes:
        """Only the calls after `earlier`, which is a copy of these times; `longest_s` is that of all calls."""
        return StageTimes(
            self.busy_s - earlier.busy_s,
            self.calls - earlier.calls,
            self.frames - earlier.frames,
            self.longest_s,
            [now - before for now, before in zip(self._bins, earlier._bins, strict=True)],
        )

    def percentile_s(self, percent: float) -> float:
        """Seconds that `percent` of 100 calls did not exceed, to 1 %; 0 when there was no call."""
        rank = max(1, math.ceil(percent / 100 * self.calls))
        for place, calls_up_to_here in enumerate(accumulate(self._bins)):
            if calls_up_to_here >= rank:
                middle: float = _SHORTEST_S * _RATIO ** (place + 0.5)
                return min(middle, self.longest_s)
        return 0.0

    def to_dict(self) -> dict[str, object]:
        """Counts, and times in seconds, ready for JSON."""
        percentiles = {f"p{percent}_s": _rounded(self.percentile_s(percent)) for percent in (50, 95, 99)}
        return {
            "calls": self.calls,
            "frames": self.frames,
            "busy_s": _rounded(self.busy_s),
            **percentiles,
            "longest_s": _rounded(self.longest_s),
        }


@dataclass
class FrameCounts:
    """Where each frame of the source went."""

    in_container: int | None = None
    """Frames that the source held in the asked-for span; None when it can't be known (a live camera)."""
    decoded: int = 0
    lost: int = 0
    """Held by the source but beyond decoding: no picture came out."""
    damaged: int = 0
    """Decoded with damage concealed: the picture may be wrong in parts."""
    skipped: int = 0
    """Decoded and left out as asked (`--every`, `--start`, `--end`)."""
    dropped: int = 0
    """Decoded and given up: the run was stopped, or the machine is slower than a live source."""
    detected: int = 0
    written: int | None = None
    """Frames in the output video; None when no video was asked for."""
    times_repaired: int = 0
    """Frames whose time was missing or went backwards in the source and had to be mended."""

    def discrepancies(self) -> list[str]:
        """A sentence for each sum that does not add up; empty when every frame is accounted for."""
        found: list[str] = []

        def compare(expected: int, accounted: int, sums: str) -> None:
            if expected > accounted:
                found.append(f"{_frames(expected - accounted)} unaccounted for ({sums})")
            elif expected < accounted:
                found.append(f"{_frames(accounted - expected)} counted twice ({sums})")

        if self.in_container is not None:
            sums = f"{self.in_container} in the container, {self.decoded} decoded, {self.lost} lost"
            compare(self.in_container, self.decoded + self.lost, sums)
        sums = f"{self.decoded} decoded, {self.skipped} skipped, {self.dropped} dropped, {self.detected} detected"
        compare(self.decoded, self.skipped + self.dropped + self.detected, sums)
        if self.written is not None:
            compare(self.detected, self.written, f"{self.detected} detected, {self.written} written")
        return found


@dataclass
class RunReport:
    """The receipt of a run. Until `conclude` is called its verdict is "failed"."""

    source: Mapping[str, object]
    """What is known of the source: printable name, container, codec, size, rate, declared length."""
    model: str = ""
    model_sha256: str = ""
    device: str = ""
    precision: str = ""
    engine: str = ""
    """What computed the network; empty before the first frame."""
    batch: int = 1
    """Most frames in one pass of the network."""
    input_size_wh: tuple[int, int] | None = None
    """Width and height of the network's input in pixels; None before the first frame."""
    frames: FrameCounts = field(default_factory=FrameCounts)
    lost_at_s: list[float] = field(default_factory=list)
    """Times of the lost frames in seconds, as far as the source tells them."""
    stages: dict[str, StageTimes] = field(default_factory=dict)
    """Times by the stage's name, in the order of the trip: decode, detect, draw, encode."""
    places: Mapping[str, object] = field(default_factory=dict)
    """What was followed and counted: see `streamdet.results.tally`."""
    blurring: Mapping[str, object] = field(default_factory=dict)
    """What was made unrecognisable; empty where nobody asked."""
    blurred: str = ""
    """The same in a line."""
    events: Mapping[str, object] = field(default_factory=dict)
    """How many there were, and who has got them; empty where nobody asked."""
    media_s: float = 0.0
    """Seconds of the source that the detections cover."""
    wall_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    """What the user should know: a halved batch, a repaired clock, a time range cut short."""
    outputs: list[str] = field(default_factory=list)
    """Paths of the files written."""
    verdict: Verdict = "failed"
    reason: str = "the run did not come to its end"
    failed_exit_code: int = 1

    @property
    def fps(self) -> float:
        """Detected frames per second of wall time."""
        return self.frames.detected / self.wall_s if self.wall_s > 0 else 0.0

    def stage(self, name: str) -> StageTimes:
        """Times of the stage called `name`; made when first asked for."""
        return self.stages.setdefault(name, StageTimes())

    def conclude(
        self,
        *,
        error: BaseException | None = None,
        interrupted_by: str | None = None,
        ended_early: str | None = None,
    ) -> None:
        """Reach the verdict, once, after the last frame; the first of these that holds decides.

        `error` ended the run; `interrupted_by` names what stopped it ("SIGTERM", "Ctrl-C"); `ended_early` is a
        sentence about a source that ended before its declared length. Sums that don't add up are noted; in a run
        that came to its end they make it partial.
        """
        discrepancies = self.frames.discrepancies()
        self.notes.extend(discrepancies)
        if error is not None:
            self.verdict = "failed"
            self.reason = str(error) or type(error).__name__
            self.failed_exit_code = getattr(error, "exit_code", 1)
        elif interrupted_by is not None:
            self.verdict = "interrupted"
            self.reason = f"stopped by {interrupted_by} after {_frames(self.frames.detected)}"
        elif ended_early is not None or discrepancies:
            self.verdict = "partial"
            self.reason = ended_early or discrepancies[0]
        else:
            self.verdict = "complete"
            self.reason = f"{_frames(self.frames.detected)} detected, every frame accounted for"

    def exit_code(self, strict: bool = False) -> int:
        """What the process should exit with; with `strict`, frames lost, damaged or dropped make a run partial."""
        flawed = self.frames.lost or self.frames.damaged or self.frames.dropped
        return exit_code_of(self.verdict, self.failed_exit_code, flawed=strict and bool(flawed))

    def to_dict(self) -> dict[str, object]:
        """The content of run.json."""
        return {
            "schema": SCHEMA,
            "streamdet": __version__,
            "verdict": self.verdict,
            "reason": self.reason,
            "source": dict(self.source),
            "model": {"name": self.model, "sha256": self.model_sha256},
            "device": self.device,
            "precision": self.precision,
            "engine": self.engine,
            "batch": self.batch,
            "input_size_wh": self.input_size_wh,
            "frames": asdict(self.frames),
            "lost_at_s": [_rounded(moment_s) for moment_s in self.lost_at_s],
            **({"places": dict(self.places)} if self.places else {}),
            **({"blurred": dict(self.blurring)} if self.blurring else {}),
            **({"events": dict(self.events)} if self.events else {}),
            "media_s": _rounded(self.media_s),
            "wall_s": _rounded(self.wall_s),
            "fps": _rounded(self.fps),
            "stages": {name: times.to_dict() for name, times in self.stages.items()},
            "notes": self.notes,
            "outputs": self.outputs,
        }

    def write(self, path: Path) -> None:
        """Write run.json, aside first and then renamed, so that a half-written one is never seen.

        Raises:
            OutputError: the file can't be written.
        """
        write_json(path, self.to_dict())


def exit_code_of(verdict: Verdict, failed_exit_code: int, *, flawed: bool) -> int:
    """What the process should exit with; `flawed`: something is missing inside, and the user doesn't accept that."""
    if verdict == "failed":
        return failed_exit_code
    if verdict == "interrupted":
        return EXIT_INTERRUPTED
    return EXIT_PARTIAL if verdict == "partial" or flawed else EXIT_COMPLETE


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a report, aside first and then renamed. Raises OutputError when the file can't be written."""
    # str() for what a source's description may hold: a Path, a Fraction.
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
    aside = path.with_name(path.name + ".part")
    try:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")  # JSON's own escapes
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise OutputError(
            f"cannot write the report {path}: {error.strerror or error}; choose another place for --report"
        ) from error


def _frames(n: int) -> str:
    return "1 frame" if n == 1 else f"{n} frames"


def _rounded(seconds: float) -> float:
    return round(seconds, 6)
