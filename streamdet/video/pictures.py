"""A source made of still images: one file, or a folder of them."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from streamdet.errors import SourceError
from streamdet.types import Frame
from streamdet.video.base import Source, SourceCounts, SourceInfo, printable

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""File name endings that are taken for a still image, in lower case."""

_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def pictures_in(folder: Path) -> list[Path]:
    """The images directly in `folder`, in natural order (`2.jpg` before `10.jpg`); hidden files are left out."""
    paths = (path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    return sorted((path for path in paths if not path.name.startswith(".") and path.is_file()), key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts], path.name


class PictureSource(Source):
    """Still images as a source: `time_base` 1 s and `pts` the image's place in the folder, so image 7 is at 7 s.

    EXIF orientation is honoured. An unreadable image is counted as lost, named in `counts.unreadable`, and leaves
    a gap at its time. Sizes may differ from image to image. Pictures are bgr24.
    """

    def __init__(
        self, location: Path, paths: list[Path], *, start_s: float | None, end_s: float | None, every: int
    ) -> None:
        """Open `paths`, all images of `location` in order.

        Raises:
            SourceError: none of them, in the part asked for, can be read.
        """
        self.counts = SourceCounts()
        alone = paths == [location]
        if not paths:
            kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
            raise SourceError(
                f"no image in the folder {location}: give a folder with images ({kinds}) right in it, or a video"
            )
        inside = [i for i in range(len(paths)) if (start_s or 0.0) <= i and (end_s is None or i < end_s)]
        if not inside:
            raise SourceError(
                f"no image of {location} between --start and --end: it has {len(paths)}, counted as one a second from 0"
            )
        self._paths = paths
        self._wanted = inside[::every]
        self._name = printable(location.name or str(location))
        self._frames = self._read()
        self._first = next(self._frames, None)
        if self._first is None:
            first = self._paths[self._wanted[0]]
            what = (
                f"{first} is not an image" if alone else f"none of the {len(self._wanted)} images in {location} is one"
            )
            raise SourceError(f"{what} that can be read: open it in a viewer, and copy or export it again")
        self.info = SourceInfo(
            name=self._name,
            path=location,
            width=self._first.width,
            height=self._first.height,
            codec=self._paths[self._first.pts].suffix[1:].lower(),
            container="image" if alone else "folder",
            pixel_format=self._first.picture.format.name,
            average_rate=Fraction(1),
            time_base=Fraction(1),
            origin_s=Fraction(0),
            declared_frames=len(paths),
            declared_duration_s=float(len(paths)),
            estimated_duration_s=float(len(paths)),
            start_s=start_s,
            end_s=end_s,
            every=every,
        )

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            self.counts.yielded += 1
            yield first
        for frame in self._frames:
            self.counts.yielded += 1
            yield frame

    def ended_early(self) -> str | None:
        """Always None: a folder is what is in it."""
        return None

    def close(self) -> None:
        """Stop giving out frames."""
        self._frames.close()
        self._first = None

    def _read(self) -> Generator[Frame]:
        for place in self._wanted:
            arrival_s = time.monotonic()
            self.counts.packets += 1
            read = read_picture(self._paths[place])
            if read is None:
                self.counts.lost_pts.append(place)
                self.counts.unreadable.append(self._paths[place].name)
                continue
            picture, damaged = read
            index = self.counts.decoded
            self.counts.decoded += 1
            self.counts.damaged_marked += damaged
            name = self._paths[place].name
            yield Frame(picture, self._name, index, place, Fraction(1), arrival_s, damaged, file_name=name)


def read_picture(path: Path) -> tuple[av.VideoFrame, bool] | None:
    """The picture and whether it is damaged; None when there is none to be had."""
    try:
        content = path.read_bytes()
        image_bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    if image_bgr is None:
        return None
    # libjpeg fills what is missing with grey and only mutters: a JPEG without its end mark was cut off
    cut_off = content.startswith(_JPEG_START) and _JPEG_END not in content[-65536:]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image_bgr, np.uint8), format="bgr24"), cut_off
