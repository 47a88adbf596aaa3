"""One connection to a live source, opened and read with PyAV: its packets, and the pictures that come out of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import av
import av.error
from av.container import Flags, InputContainer
from av.video.stream import VideoStream

from streamdet.video.live.failures import Kind, failure, read_failure
from streamdet.video.live.packets import Decoder, Taken
from streamdet.video.live.pipes import PipeFile
from streamdet.video.live.tap import PacketTap
from streamdet.video.location import Location

HIGHEST_RATE = 240
"""Frames per second above which a declared rate is taken for nonsense: some cameras declare 90000."""
MICROSECONDS = Fraction(1, 1_000_000)
WITHOUT_CLOCK = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "image2pipe", "jpeg_pipe", "png_pipe"})
"""Formats whose packets carry no times: FFmpeg makes them up at 25 frames per second."""
LONGEST_PAUSE_S = 10.0
"""Of pacing; a larger jump of the times begins a new count."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a connection is, as far as its container tells."""

    codec: str
    container: str
    rate: Fraction | None
    time_base: Fraction
    has_audio: bool = False
    duration_s: float | None = None
    aspect: Fraction | None = None
    """Width of a stored pixel over its height; None when square or unknown."""
    finite: bool = False
    """True for what has an end, such as a video file on a web server."""
    patient: bool = False
    """True when it can be read as slowly as one likes without missing anything."""


class Step(NamedTuple):
    """What one packet brought."""

    arrival_s: float
    """Monotonic clock when it arrived."""
    pts: int | None
    size: int
    is_key: bool
    lost: int
    """Packets that turned out to give no picture, since the step before."""
    pictures: tuple[Taken, ...]


class Connection(Protocol):
    """What the supervisor reads. It is opened, read and closed in one thread, which may hang in it."""

    description: Description

    def steps(self) -> Iterator[Step]:
        """One step per packet; ends with the stream. Raises SourceGoneError when it breaks off."""

    def close(self) -> None:
        """Free everything."""


class StreamConnection:
    """A container opened by PyAV."""

    def __init__(
        self,
        container: InputContainer,
        location: Location,
        given_up: threading.Event,
        *,
        file: PipeFile | None = None,
        tap: PacketTap | None = None,
    ) -> None:
        """Take over a container.

        Args:
            container: freshly opened.
            location: what it was opened from.
            given_up: tells that nobody waits for it any more.
            file: what it reads from, if that must be closed.
            tap: is told of each packet.

        Raises:
            SourceGoneError: there is no picture in it, or its codec can't be decoded.
        """
        self._container = container
        self._location = location
        self._given_up = given_up
        self._file = file
        self._tap = tap
        # PyAV asks for made-up times, for which FFmpeg holds packets back; FrameClock makes them up without
        container.flags &= ~Flags.gen_pts.value  # type: ignore[operator]
        self._stream = _video_stream(container, location)
        self._by_arrival = False
        self.description = self._describe()
        self._paced = container.format.name == "hls" and not self.description.finite

    def steps(self) -> Iterator[Step]:
        """One step per packet of the video; packets of the sound give empty ones without size."""
        decoder = Decoder(self._stream)
        if self._tap is not None:
            self._tap.begin(self._stream)
        began_s: float | None = None
        pace = _Pace(self._given_up)
        # all streams are asked for: were only the picture's, a source whose picture has stopped and whose sound
        # goes on could never be given up
        packets = self._container.demux()
        while not self._given_up.is_set():
            broken = None
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                packet, broken = None, read_failure(self._location, error)
            if broken is not None:  # outside of `except`: nothing may refer to an error that holds the address
                yield Step(time.monotonic(), None, 0, False, *decoder.drain())
                raise broken
            if packet is None or self._given_up.is_set():
                break
            if packet.stream_index != self._stream.index:
                continue
            if not packet.size and packet.dts is None:
                continue  # PyAV's own mark of the end
            if self._paced and packet.dts is not None:
                pace.wait(float(packet.dts * self.description.time_base))
            now_s = time.monotonic()
            began_s = now_s if began_s is None else began_s
            pts = round((now_s - began_s) / MICROSECONDS) if self._by_arrival else packet.pts
            if self._tap is not None and packet.size:
                self._tap.add(packet, now_s, pts if self._by_arrival else None)  # type: ignore[arg-type]
            lost, pictures = decoder.decode(
                packet,  # type: ignore[arg-type]
                now_s,
                pts if self._by_arrival else None,
            )
            yield Step(now_s, pts, packet.size, packet.is_keyframe, lost, pictures)
        if not self._given_up.is_set():
            yield Step(time.monotonic(), None, 0, False, *decoder.drain())

    def close(self) -> None:
        """Free the container and what it reads from."""
        self._container.close()
        if self._file is not None:
            self._file.close()

    def _describe(self) -> Description:
        stream, container = self._stream, self._container
        # the one in the codec's parameters is better than FFmpeg's guesses, which may count fields
        rates = (stream.average_rate, stream.codec_context.framerate, stream.guessed_rate, stream.base_rate)
        name, scheme = container.format.name, self._location.scheme
        duration_s = container.duration / 1_000_000 if container.duration and container.duration > 0 else None
        web = scheme in ("http", "https")
        finite = web and (duration_s is not None or (name not in ("mpjpeg", "hls") and _size(container) > 0))
        self._by_arrival = self._location.kind in ("url", "camera") and not finite and name in WITHOUT_CLOCK
        aspect = stream.sample_aspect_ratio
        return Description(
            codec=stream.codec_context.codec.canonical_name,
            container=name,
            rate=None
            if self._by_arrival
            else next((rate for rate in rates if rate and 0 < rate <= HIGHEST_RATE), None),
            time_base=MICROSECONDS if self._by_arrival else stream.time_base or Fraction(1, 90_000),
            has_audio=bool(container.streams.audio),
            duration_s=duration_s,
            aspect=aspect if aspect and aspect != 1 else None,
            finite=finite or self._location.kind in ("pipe", "stdin"),
            patient=finite,
        )


class _Pace:
    """Holds packets back that arrive by the segment (HLS) until they are due, so that the newest is always due."""

    def __init__(self, given_up: threading.Event) -> None:
        self._given_up = given_up
        self._ahead_s: float | None = None

    def wait(self, time_s: float) -> None:
        now_s = time.monotonic()
        due_s = now_s if self._ahead_s is None else self._ahead_s + time_s
        if self._ahead_s is None or due_s < now_s or due_s > now_s + LONGEST_PAUSE_S:
            self._ahead_s = now_s - time_s  # the first one, or late: count from here
            return
        self._given_up.wait(due_s - now_s)


def _video_stream(container: InputContainer, location: Location) -> VideoStream:
    if not container.streams.video:
        raise failure(location, Kind.NOT_A_STREAM, detail="it sends no pictures, only sound or data")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) else container.streams.video[0]
    if stream.codec_context is None:
        raise failure(location, Kind.CODEC)
    return stream


def _size(container: InputContainer) -> int:
    try:
        return container.size
    except (av.error.FFmpegError, OSError):
        return -1
