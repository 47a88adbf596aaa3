"""MOT text: a line for each box, as MOTChallenge's ground truth, TrackEval and trackers read them.

    1,7,10.25,20.0,40.25,21.0,0.8712,2,1

Frame (from 1), track (-1 = none), left, top, width and height in pixels, score, class (from 1), visibility (0 for a box
that bridges a gap, else 1). The classes' names stand beside `boxes.txt` in `boxes.labels.txt`, one a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamdet.errors import DataError
from streamdet.results.exchange.boxes import DECIMALS, Boxes, edges_of
from streamdet.results.exchange.targets import TextTarget
from streamdet.results.jsonl import box_fields
from streamdet.results.jsonl_reading import FrameLine

FEWEST_COLUMNS = 7


def labels_path(path: Path) -> Path:
    """Where the names of the classes stand."""
    return path.with_suffix(".labels.txt")


class MotWriter:
    """Writes lines as it goes."""

    def __init__(self, path: Path, class_names: tuple[str, ...]) -> None:
        """Raises OutputError when it can't be written."""
        self._target = TextTarget(path)
        self._class_names = class_names

    def write(self, line: FrameLine) -> None:
        """Add the boxes of a frame. Raises OutputError."""
        boxes = box_fields(line.detections, None)
        for box, class_id in zip(boxes, line.detections.class_ids.tolist(), strict=True):
            x1, y1, x2, y2 = edges_of(box)
            width, height = round(x2 - x1, DECIMALS), round(y2 - y1, DECIMALS)
            cells = (
                line.index + 1,
                box.get("track", -1),
                x1,
                y1,
                width,
                height,
                box["score"],
                class_id + 1,
                int("bridged" not in box),
            )
            self._target.write(",".join(map(str, cells)) + "\n")

    def finish(self, *, complete: bool) -> None:
        """Give the file its name, and write the classes beside it. Raises OutputError."""
        self._target.finish()
        if str(self._target.path) != "-":
            labels = TextTarget(labels_path(self._target.path))
            labels.write("".join(f"{name}\n" for name in self._class_names))
            labels.finish()

    def close(self) -> None:
        """Stop; the half-written file goes away."""
        self._target.close()


def read_mot(path: Path, class_names: tuple[str, ...]) -> Iterator[tuple[int, Boxes]]:
    """The boxes of frame after frame, by the frame's index (from 0). Where a file tells no class it is the first.

    Raises:
        DataError: a line is wrong, or the lines are not in the order of the frames.
    """
    current, boxes = -1, Boxes(class_names)
    for number, text in _lines(path):
        where = f"{path}, line {number}"
        cells = text.split(",")
        if len(cells) < FEWEST_COLUMNS:
            raise DataError(f"{where}: {len(cells)} numbers; frame,id,left,top,width,height,score are the least")
        try:
            frame, track, left, top, width, height, score, *more = map(float, cells)
            index = int(frame) - 1
            if index < 0 or index + 1 != frame:
                raise ValueError(f"the frame is {cells[0]}; it must be a whole number, from 1")
            if index < current:
                raise ValueError(f"frame {index + 1} comes after frame {current + 1}: sort -s -t, -k1,1n {path}")
            if index > current:
                if current >= 0:
                    yield current, boxes
                current, boxes = index, Boxes(class_names)
            boxes.add(
                (left, top, round(left + width, DECIMALS), round(top + height, DECIMALS)),
                score,
                int(more[0]) - 1 if more and more[0] >= 1 else 0,
                int(track) if track >= 0 else -1,
                bridged=len(more) == 2 and more[1] == 0,  # three more are x, y, z
            )
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
    if current >= 0:
        yield current, boxes


def read_labels(path: Path) -> tuple[str, ...] | None:
    """Names of classes, one a line; None where there is no such file. Raises DataError."""
    try:
        names = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the names of the classes in {path}: {error}") from error
    return tuple(name.strip() for name in names if name.strip())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield number, text.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
