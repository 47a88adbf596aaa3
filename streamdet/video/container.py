"""Opens video files for demuxing, and says in plain words why one can't be."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from streamdet.errors import SourceError


def open_container(path: Path) -> InputContainer:
    """Open a file for demuxing.

    Raises:
        SourceError: it is not a video file, or can't be read.
    """
    try:
        # the prefix keeps FFmpeg from taking a name like `12:30.mp4` for a protocol
        return av.open(f"file:{path}", metadata_errors="replace")
    except av.error.PermissionError:
        raise SourceError(f"{path} may not be read by this user: change its permissions") from None
    except av.error.EOFError:
        raise SourceError(f"no picture in {path}: it ends right behind its header; record or export it again") from None
    except av.error.FFmpegError as error:
        if _is_mp4(path):
            raise SourceError(
                f"{path} has no index (moov) that can be read: the recording was cut off; repair it or copy it again"
            ) from None
        raise SourceError(
            f"{path} is not a video that can be read ({reason(error)}): give a video file, an image or a folder"
        ) from None


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The main video stream of a file; cover art doesn't count.

    Raises:
        SourceError: there is none, or its codec can't be decoded.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise SourceError(f"no picture in {path}: it has no video track; give a video file")
    best = container.streams.best("video")
    stream = next((stream for stream in streams if stream is best), streams[0])
    if stream.codec_context is None:
        raise SourceError(f"the pictures of {path} are in a codec that can't be decoded here: convert it to H.264")
    return stream


def reason(error: Exception) -> str:
    """The bare reason of an error of FFmpeg or the system, without file names."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def _is_mp4(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12)[4:8] == b"ftyp"
    except OSError:
        return False
