"""Opens any source for `streamdet.video.probing`: files as runs over files do, live ones as live runs do."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import av.error
from av.container import Flags, InputContainer
from av.video.stream import VideoStream

from streamdet.errors import SourceError
from streamdet.options import LiveOptions
from streamdet.video.container import open_container, reason, video_stream
from streamdet.video.live.failures import Kind, failure, open_failure, read_failure
from streamdet.video.live.opening import CAMERA_FORMATS, Opening, opening
from streamdet.video.live.pipes import PipeFile
from streamdet.video.location import Location
from streamdet.video.probing import Probe, probe_stream

BY_THE_PIECE = ("hls", "dash")
"""Formats that arrive some seconds at a time: their arrival tells nothing of the camera."""


@dataclass(frozen=True, slots=True)
class _Opened:
    container: InputContainer
    stream: VideoStream
    at_own_pace: bool


def probe_location(
    location: Location, options: LiveOptions, *, seconds: float, tick: Callable[[float], None] | None = None
) -> Probe:
    """Look at a source for some seconds; see `probe_stream`.

    Raises:
        SourceError: it can't be opened or read, or no picture came out of it.
    """
    problem: Exception
    with _open(location, options) as opened:
        try:
            found = probe_stream(
                opened.container, opened.stream, seconds=seconds, at_own_pace=opened.at_own_pace, tick=tick
            )
        except (av.error.FFmpegError, OSError) as error:
            problem = error
        else:
            if found is not None:
                return found
            if location.is_live:
                raise failure(location, Kind.NOT_A_STREAM, detail=f"no picture could be made in {seconds:g} s")
            raise SourceError(f"no picture in {location.name}: nothing of it can be decoded; record or export it again")
    # outside of `except`: nothing may refer to an error that holds the address
    if location.is_live:
        raise read_failure(location, problem) from None
    raise SourceError(f"{location.name} can't be read ({reason(problem)}): copy it again") from None


@contextlib.contextmanager
def _open(location: Location, options: LiveOptions) -> Iterator[_Opened]:
    if location.kind == "folder":
        raise SourceError(f"{location.name} is a folder: give a video, a camera or an address to look at")
    if location.kind == "file":
        path = location.path or Path(location.name)
        if not path.exists():
            raise SourceError(f"there is no {location.name}: check the path")
        with contextlib.closing(open_container(path)) as container:
            yield _Opened(container, video_stream(container, path), at_own_pace=False)
        return
    target: Any = location.target()
    how, input_format = opening(location, options), None
    if location.kind == "camera":
        how, input_format = Opening({}, (options.open_timeout_s, None)), CAMERA_FORMATS.get(sys.platform, "v4l2")
    elif location.kind in ("pipe", "stdin"):
        how, target = Opening({"fpsprobesize": "0"}, (float("inf"), None)), _pipe(location)
    with contextlib.ExitStack() as stack:
        if isinstance(target, PipeFile):
            stack.callback(target.close)
        container = stack.enter_context(contextlib.closing(_open_live(location, target, how, input_format)))
        container.flags &= ~cast(int, Flags.gen_pts.value)  # FFmpeg would hold packets back to make up times
        if not container.streams.video:
            raise failure(location, Kind.NOT_A_STREAM, detail="it sends no pictures, only sound or data")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise failure(location, Kind.CODEC)
        is_file = location.scheme in ("http", "https") and bool(container.duration and container.duration > 0)
        in_pieces = container.format.name in BY_THE_PIECE or location.kind in ("pipe", "stdin")
        yield _Opened(container, stream, at_own_pace=not is_file and not in_pieces)


def _open_live(location: Location, target: Any, how: Opening, input_format: str | None) -> InputContainer:
    chosen = {name: value for name, value in how.options.items() if name != "allowed_media_types"}  # sound is told of
    began_s = time.monotonic()
    try:
        container: InputContainer = av.open(
            target, format=input_format, options=chosen, timeout=how.timeout, metadata_errors="replace"
        )
        return container
    except (av.error.FFmpegError, OSError, ValueError) as error:
        problem: Exception = error
    waited_s = time.monotonic() - began_s
    raise open_failure(location, problem, waited_s=waited_s, timeout_s=how.timeout[0]) from None


def _pipe(location: Location) -> PipeFile:
    try:
        return PipeFile(location.path, threading.Event())
    except OSError as error:
        raise open_failure(location, error, waited_s=0.0, timeout_s=1.0) from None
