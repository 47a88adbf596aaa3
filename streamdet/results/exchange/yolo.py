"""YOLO text: a folder with a file for each frame, as Ultralytics' `save_txt save_conf` writes and annotators read them.

    1 0.1582031 0.1129630 0.2096354 0.0583333 0.8712 7

Class (from 0, its name in `classes.txt`), centre x, centre y, width, height as shares of the picture, score, and the
track where there is one. `clip_000123.txt` is frame 123 of `clip.mp4`, as `streamdet data frames` names pictures; a
picture's own name stays. A frame without boxes has an empty file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from streamdet.errors import DataError
from streamdet.results.exchange.boxes import DECIMALS, Boxes, Edges, edges_of
from streamdet.results.exchange.targets import failed
from streamdet.results.jsonl import box_fields
from streamdet.results.jsonl_reading import FrameLine
from streamdet.types import Detections

CLASSES_FILE = "classes.txt"
SHARE_DECIMALS = 7
"""A hundredth of a pixel survives in pictures up to 16,000 pixels wide."""
SizeOf = Callable[[FrameLine], tuple[int, int]]
"""Width and height in pixels of a frame's picture."""


class YoloWriter:
    """Writes into a folder aside, which gets its name at the end."""

    def __init__(self, folder: Path, stem: str, class_names: tuple[str, ...], size_of: SizeOf) -> None:
        """Raises OutputError when the folder can't be made."""
        self._folder = folder
        self._aside = folder.with_name(folder.name + ".part")
        self._stem, self._class_names, self._size_of = stem, class_names, size_of
        self._is_over = False
        try:
            if self._aside.exists():
                shutil.rmtree(self._aside)  # of a conversion that was killed
            self._aside.mkdir()
        except OSError as error:
            raise failed(folder, error) from error

    def write(self, line: FrameLine) -> None:
        """Write the file of a frame. Raises OutputError."""
        width, height = self._size_of(line)
        rows = []
        boxes = box_fields(line.detections, None)
        for box, class_id in zip(boxes, line.detections.class_ids.tolist(), strict=True):
            x1, y1, x2, y2 = edges_of(box)
            shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            numbers = [f"{share:.{SHARE_DECIMALS}f}" for share in shares]
            track = [str(box["track"])] if "track" in box else []
            rows.append(" ".join([str(class_id), *numbers, str(box["score"]), *track]) + "\n")
        try:
            (self._aside / name_of(line, self._stem)).write_text("".join(rows), encoding="utf-8")
        except OSError as error:
            raise failed(self._folder, error) from error

    def finish(self, *, complete: bool) -> None:
        """Write the classes and give the folder its name. Raises OutputError."""
        self._is_over = True
        try:
            (self._aside / CLASSES_FILE).write_text("".join(f"{name}\n" for name in self._class_names), "utf-8")
            if self._folder.is_dir():
                shutil.rmtree(self._folder)
            self._aside.replace(self._folder)
        except OSError as error:
            raise failed(self._folder, error) from error

    def close(self) -> None:
        """Stop; the half-written folder goes away."""
        if self._is_over:
            return
        self._is_over = True
        with suppress(OSError):
            shutil.rmtree(self._aside)


def name_of(line: FrameLine, stem: str) -> str:
    """Name of the file of a frame."""
    return f"{Path(line.picture).stem}.txt" if line.picture is not None else f"{stem}_{line.index:06d}.txt"


def read_yolo(
    folder: Path, frames: Iterable[FrameLine], stem: str, class_names: tuple[str, ...], size_of: SizeOf
) -> Iterator[FrameLine]:
    """Each of `frames` with the boxes of its file; a frame without a file has none.

    Raises:
        DataError: a line is wrong, or files belong to no frame.
    """
    read = 0
    for frame in frames:
        path = folder / name_of(frame, stem)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            yield replace(frame, detections=Detections.empty(class_names), shown_mask=None)
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        read += 1
        boxes = Boxes(class_names)
        for number, row in enumerate(text.splitlines(), start=1):
            if row.strip():
                _add(boxes, row, size_of(frame), f"{path}, line {number}")
        yield boxes.put_into(frame)
    there = sum(path.suffix == ".txt" and path.name != CLASSES_FILE for path in folder.iterdir())
    if there > read:
        raise DataError(
            f"{there - read} of the {there} files in {folder} belong to none of the frames: their names must be "
            f"{stem}_000000.txt and so on, with the numbers of the frames of --frames"
        )


def _add(boxes: Boxes, row: str, size_wh: tuple[int, int], where: str) -> None:
    cells = row.split()
    try:
        if not 5 <= len(cells) <= 7:
            raise ValueError(f"{len(cells)} numbers; class, x, y, width, height, score and track are expected")
        x, y, width, height = (float(cell) for cell in cells[1:5])
        edges: Edges = tuple(  # type: ignore[assignment]
            round(share * side, DECIMALS)
            for share, side in (
                (x - width / 2, size_wh[0]),
                (y - height / 2, size_wh[1]),
                (x + width / 2, size_wh[0]),
                (y + height / 2, size_wh[1]),
            )
        )
        score = float(cells[5]) if len(cells) > 5 else 1.0
        boxes.add(edges, score, int(cells[0]), int(cells[6]) if len(cells) > 6 else -1)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
