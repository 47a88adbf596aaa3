"""One look at each picture's file: can it be decoded, has it the size that its labels say, and how does it look."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from streamdet.errors import DataError
from streamdet.training.dataset import LabelledImage, UInt8Array
from streamdet.training.formats.pictures import size_fault
from streamdet.training.problems import Problem

SIDE = 32
"""Of the small grey picture."""


@dataclass(frozen=True)
class Glance:
    """What a look at a picture's file tells."""

    grey: UInt8Array | None
    """(SIDE, SIDE) the whole picture in small, its aspect not kept; None when there is a problem."""
    digest: bytes
    """Of the file: equal files have equal ones. Empty when there is a problem."""
    problem: Problem | None = None


def look_at(image: LabelledImage) -> Glance:
    """Read a picture's file once, reduced while decoding where its format (JPEG) allows that."""
    try:
        content = image.path.read_bytes()
        fault = size_fault(image)
    except FileNotFoundError:
        return _problem(image.path, "missing picture", "it is missing; add it, or remove its labels")
    except OSError as error:
        return _problem(image.path, "unreadable picture", f"it can't be read: {error.strerror}")
    except DataError as error:
        return _problem(image.path, "unreadable picture", f"it {str(error).removeprefix(f'{image.path} ')}")
    if fault is not None:
        return _problem(image.path, fault.kind, f"it {fault.clause}")
    if not cv2.haveImageReader(str(image.path)):
        return _problem(image.path, "unreadable picture", "OpenCV doesn't read its format; save it as JPEG or PNG")
    try:
        grey = _reduced(content)
    except Exception as error:  # whatever Pillow's decoders stumble over in a damaged file
        why = " ".join(str(error).split())
        return _problem(image.path, "damaged picture", f"it can't be decoded to its end ({why}); export it again")
    return Glance(grey, hashlib.blake2b(content, digest_size=16).digest())


def _problem(path: Path, kind: str, sentence: str) -> Glance:
    return Glance(None, b"", Problem(path, None, kind, sentence))


def _reduced(content: bytes) -> UInt8Array:
    """The small grey picture of a file's content."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures and odd metadata
        with Image.open(io.BytesIO(content)) as picture:
            picture.draft("L", (SIDE, SIDE))
            pixels = np.asarray(picture.convert("L"))
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
