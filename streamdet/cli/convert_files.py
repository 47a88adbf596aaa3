"""Opens what `streamdet convert` reads and writes; takes times and sizes from the clip where files lack them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamdet.errors import DataError, UsageError
from streamdet.results.exchange.boxes import attach
from streamdet.results.exchange.coco import CocoWriter, read_coco_results
from streamdet.results.exchange.csv_file import CsvWriter, read_csv
from streamdet.results.exchange.forms import NAMES, Form, Lines, LineWriter, ReadLines
from streamdet.results.exchange.json_lines import JsonLinesWriter
from streamdet.results.exchange.mot import MotWriter, labels_path, read_labels, read_mot
from streamdet.results.exchange.parquet import ParquetWriter, read_parquet
from streamdet.results.exchange.yolo import CLASSES_FILE, SizeOf, YoloWriter, read_yolo
from streamdet.results.jsonl_reading import FrameLine, read_jsonl
from streamdet.types import Detections


@dataclass(frozen=True)
class ToldFrames:
    """What --frames tells: the frames of a clip, without their boxes."""

    path: Path
    header: Mapping[str, Any]
    lines: Iterator[FrameLine]
    flaw: Callable[[], str | None]
    """Once `lines` are through: why they are not all of the source."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Only JSON lines tell them."""
        names = self.header.get("classes")
        return None if names is None else tuple(names)


@contextlib.contextmanager
def told_frames(path: Path) -> Iterator[ToldFrames]:
    """Open the clip, the folder of pictures or the JSON lines of --frames. Raises SourceError or DataError."""
    if path.suffix.lower() == ".jsonl":
        header, lines = read_jsonl(path)
        yield ToldFrames(path, header, lines, lambda: lines.flaw)
        return
    from streamdet.video.sources import open_source

    with open_source(path) as source:
        info = source.info
        told = (
            FrameLine(
                frame.index,
                frame.pts,
                frame.time_base,
                frame.damaged,
                Detections.empty(()),
                picture=frame.file_name,
            )
            for frame in source
        )
        yield ToldFrames(
            path, {"source": info.name, "width": info.width, "height": info.height}, told, source.ended_early
        )


def open_lines(
    path: Path, form: Form, told: ToldFrames | None, names: tuple[str, ...] | None
) -> tuple[dict[str, object], Lines]:
    """The header of JSON lines and the frames of a file in any form.

    Raises:
        UsageError: times, the size or the classes are told nowhere.
        DataError: the file can't be read, or is wrong.
    """
    if form == "jsonl":
        return read_jsonl(path)
    if form == "parquet":
        return read_parquet(path)
    if form == "csv":
        return _open_csv(path, told, names)
    if told is None:
        raise UsageError(
            f"{path}: {NAMES[form]} tells no times: add --frames CLIP, the clip that the detections are from, or "
            "--frames BOXES.jsonl of the same clip"
        )
    own = {"yolo": path / CLASSES_FILE, "mot": labels_path(path)}.get(form)
    class_names = names or (read_labels(own) if own is not None else None) or told.class_names
    if class_names is None:
        raise UsageError(f"{path}: {NAMES[form]} doesn't name the classes: add --names car,person in their order")
    header = {**told.header, "classes": list(class_names)}
    if form == "yolo":
        stem = Path(str(told.header["source"])).stem
        lines = read_yolo(path, told.lines, stem, class_names, size_of(header, told))
    else:
        found = read_mot(path, class_names) if form == "mot" else read_coco_results(path, class_names)
        lines = attach(told.lines, found, class_names, path)
    return header, ReadLines(lines, told.flaw)


def open_writer(out: Path, form: Form, header: Mapping[str, object], told: ToldFrames | None) -> LineWriter:
    """What writes a file of that form. Raises OutputError, or UsageError when the pictures' size isn't known."""
    class_names = classes_of(header)
    if form == "jsonl":
        return JsonLinesWriter(out, header)
    if form == "coco":
        return CocoWriter(out)
    if form == "csv":
        return CsvWriter(out)
    if form == "mot":
        return MotWriter(out, class_names)
    if form == "parquet":
        return ParquetWriter(out, header)
    stem = Path(str(header.get("source") or "frame")).stem
    return YoloWriter(out, stem, class_names, size_of(header, told))


def classes_of(header: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of all classes, in order."""
    return tuple(header["classes"])


def size_of(header: Mapping[str, object], told: ToldFrames | None) -> SizeOf:
    """Tells how large a frame's picture is: its own size in a folder of pictures, else that of the clip."""
    from streamdet.video.pictures import read_picture

    folder = told.path if told is not None and told.path.is_dir() else None
    width, height = ((told.header if told is not None else {}).get(key, header.get(key)) for key in ("width", "height"))

    def size(line: FrameLine) -> tuple[int, int]:
        if line.picture is not None and folder is not None:
            read = read_picture(folder / line.picture)
            if read is None:
                raise DataError(f"{folder / line.picture} can't be read, and its size is needed: restore it")
            return read[0].width, read[0].height
        if line.picture is not None:
            raise UsageError("pictures of a folder may differ in size, which YOLO text needs: add --frames FOLDER")
        if not isinstance(width, int) or not isinstance(height, int):
            raise UsageError("the file doesn't tell the size of its frames, which YOLO text needs: add --frames CLIP")
        return width, height

    return size


def _open_csv(
    path: Path, told: ToldFrames | None, names: tuple[str, ...] | None
) -> tuple[dict[str, object], ReadLines]:
    class_names, lines = read_csv(path, names or (told.class_names if told is not None else None))
    header: dict[str, object] = {"source": path.stem, "classes": list(class_names)}
    if told is None:
        # nothing in a CSV file says that it is whole
        unproven = f"{path} can't say whether it covers its whole source; --frames CLIP or BOXES.jsonl proves it"
        return header, ReadLines(lines, lambda: unproven)
    missing: list[int] = []

    def proven(frames: Iterator[FrameLine]) -> Iterator[FrameLine]:
        for line in lines:
            for frame in frames:
                if frame.index == line.index:
                    break
                missing.append(frame.index)
            else:
                raise DataError(f"{path} has frame {line.index} (counted from 0), which {told.path} has not")
            yield line
        missing.extend(frame.index for frame in frames)

    def flaw() -> str | None:
        if missing:
            return f"{path} lacks {len(missing)} of the frames of {told.path}, the first is frame {missing[0]}"
        return told.flaw()

    return {**told.header, "classes": list(class_names)}, ReadLines(proven(told.lines), flaw)
