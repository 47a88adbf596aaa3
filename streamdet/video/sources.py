"""Opens whatever holds pictures: a video file, an image, a folder of images."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from streamdet.errors import SourceError, UsageError
from streamdet.video.base import Source
from streamdet.video.container import reason
from streamdet.video.files import FileSource
from streamdet.video.hardware import Processor
from streamdet.video.pictures import PICTURE_SUFFIXES, PictureSource, pictures_in

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)


def open_source(
    location: str | Path,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    every: int = 1,
    decode: Processor = "cpu",
) -> Source:
    """Open a video file, an image or a folder of images.

    Args:
        location: the path. A folder gives its images in natural order, one frame per second of content
            (`time_base` 1 s, `pts` = place of the image in the folder); its sub-folders are not read.
        start_s: seconds after the first picture at which to begin; exact, whatever the key frames.
        end_s: seconds after the first picture at which to stop; the frame at this time is not given out any more.
        every: give out every so many pictures only, counted from the first one at or after `start_s`.
        decode: what decodes a video: "gpu" is NVDEC, or where it can't be used the CPU, with a sentence in `notes`.

    Raises:
        UsageError: a live stream or camera (not yet), or numbers that make no sense.
        SourceError: there is nothing there, it can't be read, or it holds no picture.
    """
    _check_window(start_s, end_s, every)
    path = _local_path(location)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise SourceError(f"there is no file or folder {path}: check the spelling of the path") from None
    except PermissionError:
        raise _not_allowed(path) from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} can't be opened: {reason(error)}; check the path") from None
    if stat.S_ISDIR(mode):
        try:
            paths = pictures_in(path)
        except PermissionError:
            raise _not_allowed(path) from None
        return PictureSource(path, paths, start_s=start_s, end_s=end_s, every=every)
    if not stat.S_ISREG(mode):
        raise SourceError(f"{path} is a device or pipe: only files, images and folders of images can be read yet")
    if not os.access(path, os.R_OK):
        raise _not_allowed(path)
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes): copy or record it again")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource(path, [path], start_s=start_s, end_s=end_s, every=every)
    return FileSource(path, start_s=start_s, end_s=end_s, every=every, decode=decode)


def _check_window(start_s: float | None, end_s: float | None, every: int) -> None:
    if start_s is not None and not 0 <= start_s < float("inf"):
        raise UsageError(f"--start is {start_s}: give the seconds after the first picture, 0 or more")
    if end_s is not None and not (start_s or 0.0) < end_s < float("inf"):
        raise UsageError(f"--end is {end_s}: it must come after --start ({start_s or 0})")
    if every < 1:
        raise UsageError(f"--every is {every}: give 1 (every picture) or more")


def _local_path(location: str | Path) -> Path:
    text = str(location)
    url = _URL.fullmatch(text)
    if url and url["scheme"].lower() == "file":
        return Path(url["rest"])
    if url and not os.path.lexists(text):
        # user names, passwords and tokens stay out of the message, even where they hold a / or an @
        host = re.split(r"[/?#]", url["rest"].rpartition("@")[2])[0]
        raise UsageError(
            f"live streams such as {url['scheme']}://{host} can't be read yet: give a video file, an image or a folder"
        )
    if text.isdecimal() and not os.path.lexists(text):
        raise UsageError(f"cameras such as {text} can't be read yet: give a video file, an image or a folder of images")
    if not text:
        raise UsageError("the source is an empty text: give a video file, an image or a folder of images")
    return Path(location)


def _not_allowed(path: Path) -> SourceError:
    return SourceError(f"{path} may not be read by this user: change its permissions or run as its owner")
