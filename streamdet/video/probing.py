"""Looks at a source for some seconds: what it is, how regular it is, and what its decoding costs here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.video.stream import VideoStream

from streamdet.video.live.connection import WITHOUT_CLOCK
from streamdet.video.live.packets import MAX_THREADS, VideoPacket
from streamdet.video.orientation import Turner, orientation_of
from streamdet.video.rhythm import PacketNote, Rhythm, rhythm_of

MOST_BYTES = 256 << 20
"""Most bytes of packets that are kept."""
DECODING_S = 4.0
"""Longest time that decoding is measured for."""
PICTURES_KEPT = 8
"""Pictures that are kept for trying the detector."""
WITHOUT_PICTURE_S = 10.0
"""How long to wait for a first picture where other data come."""
HIGHEST_RATE = 1000
"""Frames per second above which a declared rate is taken for nonsense."""


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a stream says about itself and its first picture."""

    container: str
    codec: str
    """FFmpeg's name: h264, hevc, mjpeg, ..."""
    profile: str | None
    width: int
    """Upright, in pixels."""
    height: int
    pixel_format: str
    rotation: int
    """Degrees clockwise by which its pictures are turned to come out upright."""
    is_interlaced: bool
    declared_fps: float | None
    audio: tuple[str, ...]
    """Each sound track in words."""
    has_times: bool = True
    """False when the stream carries no times of its own: those of arrival are taken."""


@dataclass(frozen=True, slots=True)
class DecodingCost:
    """What decoding the packets took on this machine."""

    pictures: int
    damaged: int
    """Pictures that the decoder flagged."""
    lost: int
    """Packets from which no picture came, those before the first key frame left out."""
    before_key_frame: int
    """Packets before the first key frame: none of them can be decoded."""
    wall_s: float
    processor_s: float
    """Processor time of all cores together."""

    @property
    def fps(self) -> float | None:
        """Pictures per second, with the threads that decode a stream here."""
        return self.pictures / self.wall_s if self.pictures and self.wall_s > 0 else None

    @property
    def processor_s_per_picture(self) -> float | None:
        """Seconds of one core for each picture."""
        return self.processor_s / self.pictures if self.pictures else None


@dataclass(frozen=True, slots=True)
class Probe:
    """All that was found out about a source."""

    facts: StreamFacts
    rhythm: Rhythm
    decoding: DecodingCost
    pictures: list[av.VideoFrame] = field(repr=False)
    """Some of its pictures, upright."""


def probe_stream(
    container: InputContainer,
    stream: VideoStream,
    *,
    seconds: float,
    at_own_pace: bool,
    tick: Callable[[float], None] | None = None,
) -> Probe | None:
    """Look at a stream that was opened and not read yet; None when no picture came out of it.

    `seconds`: how long to listen, or of a file how much to read. `at_own_pace`: the source is live; else it is read as
    fast as it goes. `tick` is told the share that is done, 0 to 1, now and then.

    Raises FFmpeg's errors when the source breaks before its first packet.
    """
    packets, taken = [], []
    for packet, note in _listen(container, stream, seconds, at_own_pace):
        packets.append(packet)
        taken.append(note)
        if tick is not None:
            passed = note.arrival_s - taken[0].arrival_s if at_own_pace else _media_s(taken[0], note)
            tick(min(passed / seconds, 1.0))
    cost, pictures = decode_all(stream, packets)
    if not pictures:
        return None
    facts = _facts(container, stream, pictures[0], tells_times(container, at_own_pace))
    turn = Turner()
    upright = [turn(picture, turn.orientation(picture)) for picture in pictures]
    return Probe(facts, rhythm_of(taken, at_own_pace=at_own_pace), cost, upright)


def _listen(
    container: InputContainer, stream: VideoStream, seconds: float, at_own_pace: bool
) -> Iterator[tuple[VideoPacket, PacketNote]]:
    """Packets with what is known of them, until `seconds` have passed."""
    time_base = stream.time_base or Fraction(1, 1000)
    has_clock = tells_times(container, at_own_pace)
    began_s: float | None = None
    first: PacketNote | None = None
    nbytes = 0
    # all streams are asked for: else sound that goes on without pictures would never end
    packets = container.demux()
    while nbytes < MOST_BYTES:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError):
            if first is None:
                raise
            return  # what came until then is enough to tell of
        arrival_s = time.monotonic()
        began_s = arrival_s if began_s is None else began_s
        if at_own_pace and arrival_s - began_s > seconds + WITHOUT_PICTURE_S * (first is None):
            return
        if packet.stream_index != stream.index or not packet.size:
            continue
        moments = (packet.pts, packet.dts)
        time_s, decode_s = (None if moment is None else float(moment * time_base) for moment in moments)
        if not has_clock:
            time_s = decode_s = arrival_s
        note = PacketNote(time_s, decode_s, packet.size, packet.is_keyframe, arrival_s)
        first = first or note
        if not at_own_pace and _media_s(first, note) > seconds:
            return
        nbytes += packet.size
        yield cast(VideoPacket, packet), note


def tells_times(container: InputContainer, at_own_pace: bool) -> bool:
    """False for a live stream whose format carries no times: FFmpeg makes some up."""
    return not at_own_pace or container.format.name not in WITHOUT_CLOCK


def _media_s(first: PacketNote, note: PacketNote) -> float:
    """Seconds of the source between two packets; by the clock where they have no times."""
    began_s, now_s = (each.time_s if each.decode_s is None else each.decode_s for each in (first, note))
    return note.arrival_s - first.arrival_s if began_s is None or now_s is None else now_s - began_s


def decode_all(stream: VideoStream, packets: Sequence[VideoPacket]) -> tuple[DecodingCost, list[av.VideoFrame]]:
    """Decode as a run would, and measure it; some of the pictures, spread over the time."""
    decoder = stream.codec_context
    if not decoder.is_open:
        decoder.flags |= Flags.output_corrupt
        decoder.thread_type = "SLICE"  # as for live sources: threads over whole frames hold pictures back
        decoder.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
    first_key = next((place for place, packet in enumerate(packets) if packet.is_keyframe), 0)
    pictures: list[av.VideoFrame] = []
    every = max((len(packets) - first_key) // PICTURES_KEPT, 1)
    decoded = damaged = sent = 0
    started, processor_started = time.perf_counter(), time.process_time()
    for packet in [*packets[first_key:], None]:
        if packet is not None and time.perf_counter() - started > DECODING_S and decoded:
            continue
        sent += packet is not None
        try:
            given = decoder.decode(packet)
        except av.error.FFmpegError:
            continue
        for picture in given:
            damaged += picture.is_corrupt
            if decoded % every == 0 and len(pictures) < PICTURES_KEPT:
                pictures.append(picture)
            decoded += 1
    cost = DecodingCost(
        pictures=decoded,
        damaged=damaged,
        lost=max(sent - decoded, 0),
        before_key_frame=first_key,
        wall_s=time.perf_counter() - started,
        processor_s=time.process_time() - processor_started,
    )
    return cost, pictures


def _facts(container: InputContainer, stream: VideoStream, picture: av.VideoFrame, has_times: bool) -> StreamFacts:
    orientation = orientation_of(picture)
    width, height = picture.width, picture.height
    if orientation.swaps_sides:
        width, height = height, width
    # not what FFmpeg guesses: that is 25 where nothing is known, and of H.264 often the number of fields
    rates = (stream.average_rate, stream.codec_context.framerate) if has_times else ()
    declared = next((rate for rate in rates if rate and 0 < rate <= HIGHEST_RATE), None)
    return StreamFacts(
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        profile=stream.codec_context.profile,
        width=width,
        height=height,
        pixel_format=picture.format.name,
        rotation=orientation.rotation,
        is_interlaced=bool(picture.interlaced_frame),
        declared_fps=None if declared is None else float(declared),
        audio=tuple(
            f"{audio.codec_context.name}, {audio.sample_rate} Hz, {audio.layout.name}"
            for audio in container.streams.audio
            if audio.codec_context is not None
        ),
        has_times=has_times,
    )
