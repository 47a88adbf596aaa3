"""What may be written where: checked before a run begins."""

from __future__ import annotations

import os
from pathlib import Path

from streamdet.errors import OutputError, UsageError
from streamdet.video.container import reason

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's muxer by file name ending."""


def muxer_for(path: Path) -> str:
    """FFmpeg's name of the format that the ending of `path` stands for.

    Raises:
        UsageError: it stands for none that can be written.
    """
    muxer = FORMATS.get(path.suffix.lower())
    if muxer is None:
        ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise UsageError(f"{path} {ending}: choose a name ending in {', '.join(FORMATS)}")
    return muxer


def check_target(path: Path, source: Path, *, overwrite: bool, may_be_pipe: bool = False) -> None:
    """Check that `path` can be written, without writing anything; `may_be_pipe`: a device or pipe will do.

    Raises:
        UsageError: it exists and must not be replaced, or is no file.
        OutputError: its folder is missing, or it may not be written.
    """
    folder = path.parent
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise OutputError(f"{path} can't be written: {reason(error)}; choose another name or folder") from None
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder} to write {path.name} in: make it first, or choose another")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: choose the name of a file")
    if path.exists():
        if not path.is_file():
            if may_be_pipe:
                return
            raise UsageError(f"{path} is a device or pipe: choose the name of a file")
        if source.exists() and path.samefile(source):
            raise UsageError(f"{path} is the source itself: choose another name for the output")
        if not overwrite:
            raise UsageError(f"{path} exists already; add --overwrite to replace it or choose another name")
        if not os.access(path, os.W_OK):
            raise OutputError(f"{path} may not be replaced by this user: choose another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} may not be written by this user: choose another folder")
