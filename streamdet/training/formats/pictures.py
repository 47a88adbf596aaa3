"""Picture files as labels need them: are they there, and how large are they once they stand upright."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from PIL import Image

from streamdet.errors import DataError
from streamdet.training.dataset import LabelledImage
from streamdet.training.formats.boxes import Fault

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""File name endings that are taken for a picture, in lower case."""

_EXIF_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, turned as the EXIF orientation says, from the file's header alone.

    Raises DataError when the file is missing or no picture.
    """
    size, turned = _header(path)
    return (size[1], size[0]) if turned else size


def size_fault(image: LabelledImage) -> Fault | None:
    """What is wrong with the size that the labels give the picture, going by the file's header; None if nothing is.

    The clause can stand behind the picture's path. Raises DataError when the file is missing or no picture.
    """
    size, turned = _header(image.path)
    upright, labels_say = ((size[1], size[0]) if turned else size), (image.width, image.height)
    if labels_say == upright:
        return None
    if turned and labels_say == size:
        return Fault("EXIF orientation", unturned_clause(image))
    return Fault("wrong size", f"has {upright[0]}x{upright[1]} pixels, its labels say {image.width}x{image.height}")


def unturned_clause(image: LabelledImage) -> str:
    """What to say of labels that were made on a picture before its EXIF orientation was applied."""
    return (
        f"stands on its side, its EXIF orientation turns it to {image.height}x{image.width}, and its labels are for "
        f"the unturned {image.width}x{image.height}; label it upright, or remove the orientation from its EXIF"
    )


def _header(path: Path) -> tuple[tuple[int, int], bool]:
    """Width and height as stored, and whether the EXIF orientation exchanges them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and damaged EXIF: the size is there all the same
            with Image.open(path) as picture:
                return picture.size, _orientation(picture) in _ON_ITS_SIDE
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except Exception as error:  # whatever Pillow's readers stumble over in a damaged header
        raise DataError(f"{path} is no picture that can be read; open it in a viewer, and export it again") from error


def _orientation(picture: Image.Image) -> object:
    try:
        return picture.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # damaged EXIF counts as none, as in OpenCV
        return None


class Folders:
    """Tells which files exist, with one look at each folder instead of one at each file."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, None]] = {}

    def has(self, path: Path) -> bool:
        """Whether the file is there."""
        if path.name in self.names(path.parent):
            return True
        try:
            return path.is_file()  # file systems that don't tell cases or Unicode forms apart list another name
        except (OSError, ValueError):
            return False

    def picture(self, folder: Path, stem: str) -> Path | None:
        """The picture with this name but for its ending."""
        for name in (stem + suffix for suffix in (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG")):
            if name in self.names(folder):
                return folder / name
        return next(
            (folder / name for name in self.names(folder) if name.startswith(stem + ".") and is_picture(name)), None
        )

    def names(self, folder: Path) -> dict[str, None]:
        """Names of the files in the folder, in order; empty when it can't be read."""
        if folder not in self._names:
            try:
                with os.scandir(folder) as entries:
                    self._names[folder] = dict.fromkeys(sorted(entry.name for entry in entries if entry.is_file()))
            except (OSError, ValueError):
                self._names[folder] = {}
        return self._names[folder]


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture that isn't hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122
