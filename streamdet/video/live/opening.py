"""Opens a live source: with which options FFmpeg gets its address, and in which words it fails."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import av
import av.error

from streamdet.options import LiveOptions
from streamdet.video.live.cameras import open_with_opencv
from streamdet.video.live.connection import Connection, StreamConnection
from streamdet.video.live.failures import Kind, SourceGoneError, open_failure
from streamdet.video.live.folder import FolderConnection
from streamdet.video.live.pipes import PipeFile
from streamdet.video.live.tap import PacketTap
from streamdet.video.location import Location

Connect = Callable[[Location, LiveOptions, threading.Event], Connection]
"""Opens a source; the event tells that nobody waits for it any more. Raises SourceGoneError."""

KEEPS_OWN_TIMEOUT = ("rtsp", "rtsps", "rtmp", "rtmps", "tcp", "udp")
"""Schemes whose reading FFmpeg itself ends in time."""
READ_GRACE = 1.1
"""FFmpeg's read timeout over ours: the supervisor should be first and name the stall."""
ANALYSIS_S = 2.0
CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


@dataclass(frozen=True, slots=True)
class Opening:
    """What `av.open` gets, but for the address."""

    options: Mapping[str, str]
    timeout: tuple[float, float | None]
    """Seconds to open and to read that PyAV watches itself; it asks the interpreter for leave each time it looks."""


def connect(
    location: Location, options: LiveOptions, given_up: threading.Event, *, tap: PacketTap | None = None
) -> Connection:
    """Open a live source. `tap` is told of each packet; of none where pictures come without packets (OpenCV, a folder).

    Raises:
        SourceGoneError: why it can't be opened.
    """
    if location.kind == "folder":
        return FolderConnection(location, given_up)
    if location.kind == "camera":
        return _open_camera(location, options, given_up, tap)
    if location.kind in ("pipe", "stdin"):
        return _open_pipe(location, given_up, tap)
    return _open(location, location.target(), opening(location, options), given_up, tap)


def opening(location: Location, options: LiveOptions) -> Opening:
    """The options of FFmpeg for a location, all times in microseconds.

    `nobuffer` is left out on purpose: FFmpeg then throws the packets away that it looked at while opening, among them
    the first key frame, and the first picture comes a whole group of pictures later.
    """
    longest = max(options.open_timeout_s, options.read_timeout_s * READ_GRACE)
    waits = str(round(options.read_timeout_s * READ_GRACE * 1e6))
    # no look at 20 frames to guess a rate
    chosen = {"fpsprobesize": "0", "analyzeduration": str(round(min(ANALYSIS_S, options.open_timeout_s / 2) * 1e6))}
    match location.scheme:
        case "rtsp" | "rtsps":
            chosen |= {
                "rtsp_transport": options.transport,
                "timeout": waits,
                "allowed_media_types": "video",  # sound that nobody hears is not asked for
                "analyzeduration": "100000",  # the codec's parameters come with the answer to DESCRIBE
            }
        case "http" | "https" | "tcp":
            chosen |= {"timeout": waits, "rw_timeout": waits}
        case "udp":
            chosen |= {"timeout": waits, "overrun_nonfatal": "1"}
        case "rtp":
            chosen |= {"rw_timeout": waits}
        case "srt":
            chosen |= {"timeout": waits, "rw_timeout": waits}
        case "rtmp" | "rtmps":
            chosen |= {"rw_timeout": waits}  # its `timeout` would make it a server
        case _:
            pass
    # Looking at the clock, PyAV takes Python's lock several times for each network packet. With busy threads beside
    # it an RTSP stream of 4 Mbit/s fell behind by half a second in four.
    read_s = None if location.scheme in KEEPS_OWN_TIMEOUT else longest
    return Opening(chosen, (options.open_timeout_s, read_s))


def _open(
    location: Location,
    target: Any,
    how: Opening,
    given_up: threading.Event,
    tap: PacketTap | None,
    input_format: str | None = None,
) -> Connection:
    began_s = time.monotonic()
    problem: Exception | None = None
    try:
        container = av.open(
            target, format=input_format, options=dict(how.options), timeout=how.timeout, metadata_errors="replace"
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        problem = error
    if problem is not None:  # outside of `except`, so that nothing refers to an error that holds the address
        waited_s = time.monotonic() - began_s
        longest_s = min(
            how.timeout[0], int(how.options.get("rw_timeout", how.options.get("timeout", "0"))) / 1e6 or 1e9
        )
        raise open_failure(location, problem, waited_s=waited_s, timeout_s=longest_s)
    try:
        file = target if isinstance(target, PipeFile) else None
        return StreamConnection(container, location, given_up, file=file, tap=tap)
    except BaseException:
        container.close()
        raise


def _open_pipe(location: Location, given_up: threading.Event, tap: PacketTap | None) -> Connection:
    problem: OSError | None = None
    try:
        file = PipeFile(location.path, given_up)
    except OSError as error:
        problem = error
    if problem is not None:
        raise open_failure(location, problem, waited_s=0.0, timeout_s=1.0)
    try:
        # who writes into a pipe may take any time for it: no timeout
        return _open(location, file, Opening({"fpsprobesize": "0"}, (float("inf"), None)), given_up, tap)
    except BaseException:
        file.close()
        raise


def _open_camera(
    location: Location, options: LiveOptions, given_up: threading.Event, tap: PacketTap | None
) -> Connection:
    how = Opening({"framerate": "30"} if sys.platform == "darwin" else {}, (options.open_timeout_s, None))
    problem: SourceGoneError | None = None
    try:
        return _open(location, location.target(), how, given_up, tap, CAMERA_FORMATS.get(sys.platform, "v4l2"))
    except SourceGoneError as error:
        problem = error
    if problem.kind in (Kind.NO_CAMERA, Kind.BUSY, Kind.NOT_ALLOWED) and sys.platform != "win32":
        raise problem
    second = open_with_opencv(location, given_up)
    if second is None:
        raise problem
    return second
