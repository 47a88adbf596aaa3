"""Goes on with the annotated video of a run that was stopped or killed: what of it stays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

from streamdet.errors import OutputError
from streamdet.video.container import reason


@dataclass(frozen=True, slots=True)
class KeptVideo:
    """The beginning of a video, up to a key frame from which a new encoder takes over: as if it had never stopped."""

    path: Path
    """Where it is to be."""
    frames: int
    """Frames before that key frame."""
    first_s: Fraction
    """Time of the first frame in the source, in seconds."""
    begins_s: Fraction
    """Time of its first frame in the file."""
    at_s: Fraction
    """Time of that key frame in the file."""

    @property
    def aside(self) -> Path:
        """Where it waits while it is copied: when that is cut short, nothing is lost."""
        return _aside(self.path)

    def step_aside(self) -> None:
        """Make room for the new file. Raises OutputError."""
        try:
            if not self.aside.exists():
                self.path.rename(self.aside)
        except OSError as error:
            raise OutputError(f"{self.path} can't be moved aside: {reason(error)}; check its folder") from None

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Its packets, in the form in which an encoder gives them."""
        with av.open(f"file:{self.aside}") as container:
            stream = container.streams.video[0]
            plain = BitStreamFilterContext("h264_mp4toannexb", stream)
            left = self.frames
            for packet in container.demux(stream):
                if left == 0:
                    return
                if packet.size and packet.pts is not None:
                    left -= 1
                    yield from plain.filter(packet)

    def drop_aside(self) -> None:
        """All is in the new file."""
        with contextlib.suppress(OSError):
            self.aside.unlink()


def kept_video(path: Path, first_s: Fraction, *, at_most: int) -> KeptVideo | None:
    """What of the video at `path` may stay.

    Args:
        path: the annotated video.
        first_s: time of the source's first frame in seconds.
        at_most: place, from 0, of the last frame of which all is known.

    Returns:
        None where nothing may: no file, or no second key frame that is whole.
    """
    where = _aside(path) if _aside(path).exists() else path
    kept = 0
    begins_s = at_s = Fraction(0)
    # the end of a killed run's file may be torn: what was read before is good
    with contextlib.suppress(av.error.FFmpegError, OSError), av.open(f"file:{where}") as container:
        frames = 0
        for packet in container.demux(container.streams.video[0]):
            if not packet.size or packet.pts is None:
                continue
            if frames > at_most:
                break
            if packet.is_keyframe:
                kept, at_s = frames, packet.pts * packet.time_base
                begins_s = begins_s if frames else at_s
            frames += 1
    if not kept:
        _aside(path).unlink(missing_ok=True)
        return None
    return KeptVideo(path, kept, first_s, begins_s, at_s)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.before")
