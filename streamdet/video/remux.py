"""Turns the file of a running writer into a plain one: stream copy aside, to the disk, then rename."""

from __future__ import annotations

import errno
import math
import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamdet.errors import OutputError
from streamdet.video.audio import AudioCopy
from streamdet.video.container import reason

MOVIE_TIMESCALE = 1000
"""What movie headers usually count in, per second."""
MAX_MOVIE_TIMESCALE = 2**31 - 1


def finish_file(path: Path, muxer: str, audio: AudioCopy, last_duration_s: Fraction | None) -> str | None:
    """Replace the fragmented file at `path` by a plain one with the same pictures and all audio of `audio`.

    Args:
        path: the closed file of the writer.
        muxer: FFmpeg's name of its format.
        audio: copies the audio, from the source, into the new file.
        last_duration_s: how long the last frame is shown.

    Returns:
        None when done; else one sentence why it could not be done. The file at `path` is then as it was.
    """
    aside = path.with_name(f".{path.name}.finishing")
    try:
        _remux(path, aside, muxer, audio, last_duration_s)
        _to_disk(aside)
        aside.replace(path)
        _to_disk(path.parent)
    except (av.error.FFmpegError, OSError) as error:
        aside.unlink(missing_ok=True)
        return f"{path} plays but was not turned into a plain file: {reason(error)}"
    finally:
        audio.close()
    return None


def _remux(path: Path, aside: Path, muxer: str, audio: AudioCopy, last_duration_s: Fraction | None) -> None:
    with av.open(f"file:{path}") as running:
        template = running.streams.video[0]
        options = {"avoid_negative_ts": "disabled"}
        if muxer != "matroska":
            options |= {"movflags": "faststart", "movie_timescale": str(_movie_timescale(running, audio))}
        with av.open(f"file:{aside}", "w", format=muxer, container_options=options) as plain:
            stream = plain.add_stream_from_template(template, opaque=True)
            audio.add_to(plain)
            waiting: Packet[VideoStream] | None = None
            for packet in running.demux(template):
                if packet.pts is None or not packet.size:
                    continue
                if waiting is not None:
                    waiting.duration = packet.pts - (waiting.pts or 0)
                    audio.copy_until((waiting.pts or 0) * waiting.time_base)
                    waiting.stream = stream
                    plain.mux(waiting)
                waiting = packet
            if waiting is not None:
                if last_duration_s:
                    waiting.duration = max(1, round(last_duration_s / waiting.time_base))
                waiting.stream = stream
                plain.mux(waiting)
            audio.copy_until(None)


def _movie_timescale(running: InputContainer, audio: AudioCopy) -> int:
    """A unit in which the start of every stream is exact: in a plain mp4 a late start is an edit counted in it."""
    stream = running.streams.video[0]
    start_s = (stream.start_time or 0) * (stream.time_base or Fraction(1))
    scale = math.lcm(MOVIE_TIMESCALE, start_s.denominator, *(rate for rate in audio.sample_rates if rate))
    return scale if scale <= MAX_MOVIE_TIMESCALE else math.lcm(MOVIE_TIMESCALE, start_s.denominator)


def drop_torn_fragment(path: Path) -> None:
    """Cut what a full disk left half written off the end of a fragmented mp4, so that every player is content."""
    size = path.stat().st_size
    whole = position = 0
    with path.open("r+b") as file:
        while position + 8 <= size:
            file.seek(position)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:], "big")
            if length < 8 or position + length > size:
                break
            position += length
            if header[4:8] != b"moof":  # a moof is nothing without the mdat behind it
                whole = position
        if whole:
            file.truncate(whole)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def output_failure(path: Path, error: av.error.FFmpegError) -> OutputError:
    """The error for the user when writing `path` failed."""
    remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "check the disk"
    return OutputError(f"{path} can't be written any further: {reason(error)}; {remedy} (what is there plays)")
