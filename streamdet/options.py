"""What a user may choose for a run, and the checks that need more than one choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from streamdet.errors import UsageError

Quality = Literal["small", "balanced", "high"]
"""File size of the annotated video against its fidelity."""

Processor = Literal["cpu", "gpu"]
"""What decodes or encodes."""

Transport = Literal["tcp", "udp"]


OTHERS = "*"
"""Stands for every class that has no least score of its own."""


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """What is made of the detections: tracks, places, and who is made unrecognisable."""

    track: bool = False
    """Follow objects. Lines, zones, bays, events and blurring do so without being asked."""
    kept_score: float | None = None
    """Least score that the JSON lines keep; None: what is shown, or what tracking needs."""
    lines: tuple[str, ...] = ()
    """As typed: NAME:x1,y1,x2,y2."""
    zones: tuple[str, ...] = ()
    """As typed: NAME:x,y,x,y,x,y,..."""
    bays: Path | None = None
    """File of parking bays."""
    places: Path | None = None
    """TOML file of lines, zones and bays."""
    blur: tuple[str, ...] = ()
    """Classes that are made unrecognisable in all that is written or shown."""
    blur_only: bool = False
    """Nothing is written that needs a clear picture of those classes."""

    def __post_init__(self) -> None:
        if self.kept_score is not None and not 0 < self.kept_score < 1:
            raise UsageError(f"--keep is {self.kept_score:g}; give a score between 0 and 1, such as 0.05")
        if self.blur_only and not self.blur:
            raise UsageError("--blur-only needs the classes to blur: add --blur person")

    @property
    def has_places(self) -> bool:
        """Something is counted."""
        return bool(self.lines or self.zones or self.bays or self.places)

    @property
    def tracks(self) -> bool:
        """Objects are followed, asked for or needed."""
        return self.track or self.has_places or bool(self.blur)


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """The choices of `streamdet run` that mean the same for files and for cameras."""

    jsonl: str | None = None
    """File of detections as JSON lines, "-" for standard output."""
    report: Path | None = None
    """File of the receipt as JSON."""
    counts: Path | None = None
    """CSV file with a row for all that happens at lines, zones and bays."""
    events: Path | None = None
    """TOML file of rules for events."""
    model: str = "street"
    """A model's name or file."""
    conf: Mapping[str, float] = field(default_factory=dict)
    """Least score shown by class, "*" for all others; where nothing is said the model's own."""
    classes: tuple[str, ...] | None = None
    """Show only these class names."""
    end_s: float | None = None
    """Files: seconds after the first frame to stop at; cameras: stop after so many seconds."""
    every: int = 1
    """Take every so many frames."""
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    """What computes the network: auto, torch, winograd, openvino or openvino-int8."""
    batch: int | None = None
    """Most frames in one pass of the network; None: on a GPU measured, of cameras 8; on a CPU 2, of cameras 1."""
    size: tuple[int, int] | None = None
    """Short and long side in pixels that frames are scaled to; None: the model's own."""
    quality: Quality = "balanced"
    overwrite: bool = False
    strict: bool = False
    """Damage inside the source makes the run partial (exit code 5)."""
    analysis: AnalysisOptions = field(default_factory=AnalysisOptions)

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"--batch is {self.batch}; give 1 or more")
        if self.every < 1:
            raise UsageError(f"--every is {self.every}; give 1 (every picture) or more")
        for name, score in self.conf.items():
            if not 0 < score < 1:
                whose = "" if name == OTHERS else f"{name}="
                raise UsageError(f"--conf is {whose}{score:g}; give a number between 0 and 1, such as 0.4")

    @property
    def tracks(self) -> bool:
        """Objects are followed, asked for or needed."""
        return self.analysis.tracks or self.events is not None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The choices of `streamdet run` for a file."""

    source: str
    """A video file, an image, or a folder of images."""
    out: Path | None = None
    """Annotated video; None: NAME.annotated.mp4 in the current folder."""
    video: bool = True
    """False: no annotated video (--no-video)."""
    start_s: float | None = None
    """Seconds after the first frame to begin at."""
    resume: bool = False
    """Go on where a run with the same options was stopped or killed."""
    decode: Processor = "cpu"
    encode: Processor = "cpu"
    common: CommonOptions = field(default_factory=CommonOptions)

    def __post_init__(self) -> None:
        common = self.common
        if not self.video and self.out is not None:
            raise UsageError(f"--out {self.out} and --no-video contradict each other; leave one out")
        written = (common.jsonl, common.report, common.counts, common.events)
        if not self.video and all(target is None for target in written):
            raise UsageError("--no-video leaves nothing to write; add --jsonl FILE or --report FILE")
        targets = [str(path.resolve()) for path in (self.video_path, common.report, common.counts) if path is not None]
        targets += [str(Path(common.jsonl).resolve())] if common.jsonl not in (None, "-") else []
        if len(set(targets)) < len(targets):
            raise UsageError("--out, --jsonl, --counts and --report name the same file; give each its own")
        if self.resume and common.jsonl in (None, "-"):
            raise UsageError("--resume goes on from the JSON lines of the run before: name their file with --jsonl")

    @property
    def video_path(self) -> Path | None:
        """Where the annotated video goes; None without one."""
        if not self.video:
            return None
        return self.out or Path(f"{Path(self.source).stem or Path(self.source).resolve().name}.annotated.mp4")


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How live sources are read. The defaults' reasons: docs/decisions_video.md."""

    transport: Transport = "tcp"
    """Of RTSP."""
    open_timeout_s: float = 5.0
    """A source that doesn't answer within this time is given up and tried again."""
    read_timeout_s: float = 10.0
    """No packet for this long is a stall: the connection is made anew."""
    max_age_s: float = 0.5
    """Frames older than this, counted from the arrival of their packet, are dropped before detection."""
    every_frame: bool = False
    """Queue frames (up to `queue_frames`) instead of taking the newest only; nothing is dropped for its age."""
    queue_frames: int = 64
    """Most frames that wait with `every_frame`; the oldest is dropped, and counted, when there are more."""
    backoff_first_s: float = 0.5
    backoff_most_s: float = 30.0
    settled_after_s: float = 10.0
    """Seconds of good frames after which the next back-off begins from the first step again."""
    frozen_warn_s: float = 15.0
    """An unchanging picture for this long is a warning, ..."""
    frozen_reconnect_s: float = 30.0
    """... for this long a reason to connect anew."""

    def __post_init__(self) -> None:
        for name in ("open_timeout_s", "read_timeout_s", "max_age_s", "backoff_first_s"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                option = f"--{name.removesuffix('_s').replace('_', '-')}"
                raise UsageError(f"{option} is {value:g} s; give a time above 0")


DISK_RESERVE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class LiveRunOptions:
    """The choices of `streamdet run` for cameras and streams."""

    sources: tuple[str, ...] = ()
    """As typed: they may hold passwords."""
    config: Path | None = None
    """File of cameras, instead of `sources`."""
    netrc: Path | None = None
    """File to look passwords up in."""
    out: str | None = None
    """A folder for recordings, a file (one source), or an address to push to; may hold a password."""
    video: bool = True
    segment_s: float | None = None
    """Length of a recording's segments; None: one file."""
    keep_s: float | None = None
    """Finished segments older than this are deleted."""
    max_bytes: int | None = None
    """The oldest finished segments are deleted when all together are larger."""
    reserve_bytes: int = DISK_RESERVE_BYTES
    """With less room on the disk recording stops, until there is room again."""
    show: bool = False
    """A window."""
    require_all: bool = False
    """Fail when one of the sources doesn't answer at the start."""
    live: LiveOptions = field(default_factory=LiveOptions)
    common: CommonOptions = field(default_factory=CommonOptions)

    def __post_init__(self) -> None:
        common = self.common
        if self.config is not None and self.sources:
            raise UsageError("--config names the sources: leave them out of the command, or put them into the file")
        if not self.video and self.out is not None:
            raise UsageError("--out and --no-video contradict each other; leave one out")
        written = (common.jsonl, common.counts, common.events)
        if not self.video and not self.show and all(target is None for target in written):
            raise UsageError("--no-video leaves nothing to write; add --jsonl FILE or --show")


def parse_size(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """Short and long side from "480x800" or "480" (long side: 5/3 of it). Raises UsageError naming the `option`."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isascii() and part.isdecimal() for part in parts) or len(parts) > 2:
        raise UsageError(f"{option} is {text!r}; give the short and the long side in pixels, such as 480x800")
    sides = sorted(int(part) for part in parts)
    if sides[0] < 32 or sides[-1] > 8192:
        raise UsageError(f"{option} is {text!r}; each side must be between 32 and 8192 pixels")
    return (sides[0], sides[1]) if len(sides) == 2 else (sides[0], sides[0] * 5 // 3)


def parse_classes(text: str | None, option: str = "--classes") -> tuple[str, ...] | None:
    """Class names from "car,person". Raises UsageError naming the `option`."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f"{option} is {text!r}; give names such as car,person")
    return names
