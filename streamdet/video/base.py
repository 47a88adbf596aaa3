"""What every source of pictures offers: its description, its frames and an exact account of what became of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from streamdet.types import Frame

UNFINISHED_COMMENT = "streamdet: not finished"
"""Metadata comment of an output file whose run has not ended cleanly (yet)."""


def printable(text: str) -> str:
    """`text` on one line, with what a terminal would act on, or can't show, in Python's escapes."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source is, as far as its container and its first picture tell."""

    name: str
    """Printable name, on one line; never holds a password."""
    path: Path
    """The file or folder."""
    width: int
    """Width of the first picture, upright, in pixels."""
    height: int
    """Height of the first picture, upright, in pixels."""
    codec: str
    """Codec of the pictures, in FFmpeg's name: h264, hevc, vp9, png, ..."""
    container: str
    """Format of the file in FFmpeg's name, such as `mov,mp4,m4a,3gp,3g2,mj2`; `image` or `folder` for pictures."""
    pixel_format: str
    """Pixel format of the first picture as decoded: yuv420p, yuv420p10le, bgr24, ..."""
    average_rate: Fraction | None
    """Average frames per second, None where the source doesn't tell."""
    time_base: Fraction
    """Seconds per unit of a frame's `pts`."""
    origin_s: Fraction
    """Time of the first picture of the whole source in seconds: what `--start` and `--end` are counted from."""
    declared_frames: int | None = None
    """Pictures that the container says it holds, None where it doesn't say."""
    declared_duration_s: float | None = None
    """Length of the video in seconds that the container declares, None where it doesn't."""
    estimated_duration_s: float | None = None
    """Length in seconds to show progress with; may be a guess from the file's own times."""
    rotation: int = 0
    """Degrees clockwise by which the stored pictures are turned to come out upright: 0, 90, 180 or 270."""
    has_audio: bool = False
    """True when the file has at least one audio stream."""
    color_range: int = 0
    """AVColorRange of the first picture (0 unspecified, 1 limited, 2 full)."""
    color_space: int = 2
    """AVColorSpace, the YUV matrix (2 unspecified)."""
    color_primaries: int = 2
    """AVColorPrimaries (2 unspecified)."""
    color_trc: int = 2
    """AVColorTransferCharacteristic (2 unspecified)."""
    sample_aspect_ratio: Fraction | None = None
    """Width of a pixel over its height, upright; None when square or unknown."""
    start_s: float | None = None
    """Where reading starts, in seconds after `origin_s`; None = at the beginning."""
    end_s: float | None = None
    """Where reading ends (exclusive), in seconds after `origin_s`; None = at the end."""
    every: int = 1
    """Every how many pictures one is given out."""

    @property
    def window_s(self) -> tuple[Fraction | None, Fraction | None]:
        """Start and end of the window as times of the source, exact: 0.1 means a tenth; None = open."""
        start_s, end_s = (
            None if moment_s is None else self.origin_s + Fraction(repr(float(moment_s)))
            for moment_s in (self.start_s, self.end_s)
        )
        return start_s, end_s

    @property
    def frame_interval_s(self) -> Fraction | None:
        """Usual seconds between two frames that are given out, None where the rate is unknown."""
        return self.every / self.average_rate if self.average_rate else None

    @property
    def expected_frames(self) -> int | None:
        """About how many frames will be given out, for a progress bar; None when nothing is known."""
        total = self.declared_frames
        whole = self.start_s is None and self.end_s is None
        if (total is None or not whole) and self.estimated_duration_s is not None and self.average_rate:
            end_s = min(self.end_s or self.estimated_duration_s, self.estimated_duration_s)
            total = round(max(0.0, end_s - (self.start_s or 0.0)) * float(self.average_rate))
        return None if total is None else -(-total // self.every)


@dataclass(slots=True)
class SourceCounts:
    """What became of every packet and picture.

    Once the source is exhausted these hold exactly: `packets == decoded + lost + hidden` and
    `decoded == yielded + skipped`.
    While it is being read, packets that the decoder still holds are in none of the right-hand numbers.
    """

    packets: int = 0
    """Packets of the video stream that were read (of a folder: images)."""
    decoded: int = 0
    """Pictures that came out of the decoder."""
    lost_pts: list[int | None] = field(default_factory=list)
    """Times of the packets from which no picture came, in units of `SourceInfo.time_base`; None where untold."""
    hidden: int = 0
    """Packets that show no picture by design: outside the edit list, a hidden reference, a picture's second field."""
    damaged_marked: int = 0
    """Pictures given out although the decoder flagged them as damaged (part of `decoded`)."""
    yielded: int = 0
    """Frames given out."""
    skipped: int = 0
    """Pictures decoded but not given out because of --start, --end or --every."""
    times_repaired: int = 0
    """Frames whose time was missing, repeated or ran backwards, and was made up."""
    read_errors: int = 0
    """Times the demuxer met something it could not read and went on behind it."""
    unreadable: list[str] = field(default_factory=list)
    """File names of images that could not be read (part of `lost`)."""

    @property
    def lost(self) -> int:
        """Packets from which no picture came."""
        return len(self.lost_pts)


class Source(ABC):
    """A context manager and an iterable of `Frame`, to be read once, from beginning to end."""

    info: SourceInfo
    counts: SourceCounts
    notes: Sequence[str] = ()
    """What a user should know of how it is read, a sentence each."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames in presentation order.

        Raises:
            SourceError: there is no picture in the part asked for.
        """

    @abstractmethod
    def ended_early(self) -> str | None:
        """One sentence when the exhausted source ended before its declared length, else None."""

    @abstractmethod
    def close(self) -> None:
        """Free the file and the decoder; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
