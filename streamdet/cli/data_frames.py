"""`streamdet data frames`: frames of clips as pictures, with detections as labels to correct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import typer

from streamdet.cli.data_report import watched
from streamdet.detection.checkpoint import ModelCard
from streamdet.detection.detector import Detector
from streamdet.detection.resize import Fitting
from streamdet.errors import OutputError, SourceError, UsageError
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.formats.write import write_coco
from streamdet.types import Detections, Frame
from streamdet.video.sources import open_source

BATCH = 4
JPEG_QUALITY = 95


def take_frames(clips: Sequence[str], out: Path, every: int | None, count: int, model: str, device: str) -> int:
    """Write `out`/train.json and `out`/images; the exit code: 5 when a clip ended before its declared length.

    `every` wins over `count`, which is per clip. Damaged frames are left out. Raises SourceError, ModelError,
    OutputError, and UsageError when the frames to take can't be counted or two clips have one name.
    """
    stems = [Path(clip).stem for clip in clips]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise UsageError(f"several clips are named {min(twice)}, and so would their frames be; take them one by one")
    detector = Detector.load(model, device=device)
    card = detector.card
    shown = [k for k in range(len(card.class_names)) if k not in card.hidden_class_ids]
    images: list[LabelledImage] = []
    exit_code = 0
    for clip in clips:
        taken, early = _take(clip, out, every, count, detector, shown)
        images += taken
        if early:
            typer.echo(f"streamdet: {early}", err=True)
            exit_code = 5
    names = tuple(card.class_names[k] for k in shown)
    write_coco({"train": Dataset("train", names, tuple(images))}, out)
    objects = sum(len(image.boxes_xyxy) for image in images)
    typer.echo(
        f"{out}: {len(images)} frames with {objects} boxes found by {card.name}; correct {out / 'train.json'} before "
        "training on it",
        err=True,
    )
    return exit_code


def _take(
    clip: str, out: Path, every: int | None, count: int, detector: Detector, shown: list[int]
) -> tuple[list[LabelledImage], str | None]:
    """The frames of one clip, written and labelled; in words if it ended early."""
    if every is None:
        with open_source(clip) as source:
            total = source.info.expected_frames
        if not total:
            raise UsageError(f"how long {clip} is can't be told before reading it; give --every N instead of --count")
        every, most = max(1, total // count), count
    else:
        most = None
    images: list[LabelledImage] = []
    with open_source(clip, every=every) as source:
        name = Path(source.info.name).stem
        whole = (frame for frame in source if not frame.damaged)
        expected = source.info.expected_frames
        chosen = watched(islice(whole, most), "taking frames", min(filter(None, (expected, most)), default=None))
        for frames in _batches(iter(chosen)):
            found = detector([frame.picture for frame in frames])
            for frame, detections in zip(frames, found, strict=True):
                path = out / "images" / f"{name}_{frame.index:06d}.jpg"
                _write(path, frame)
                images.append(_labelled(path, frame, detections, detector.card, shown, name))
        early = source.ended_early() if most is None else None
    if not images:
        raise SourceError(f"{clip} gave no whole frame; play it to see what is wrong with it")
    return images, early


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    while batch := list(islice(frames, BATCH)):
        yield batch


def _write(path: Path, frame: Frame) -> None:
    """Write a frame as JPEG, with the colours that the network sees."""
    fitting = Fitting(frame.width, frame.height, frame.width, frame.height)
    image_rgb = fitting.resize(frame.picture, exact=False).permute(1, 2, 0).numpy()
    written, content = cv2.imencode(".jpg", image_rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not written:
        raise OutputError(f"{path} can't be written: a frame of {frame.width}x{frame.height} is no JPEG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.tobytes())
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}") from error


def _labelled(
    path: Path, frame: Frame, detections: Detections, card: ModelCard, shown: list[int], group: str
) -> LabelledImage:
    """The frame with its detections as objects, of the classes that the model shows."""
    new_ids = np.full(len(card.class_names), -1, np.int64)
    new_ids[shown] = np.arange(len(shown))
    edges = np.array([frame.width, frame.height] * 2, np.float32)
    return LabelledImage(
        path,
        frame.width,
        frame.height,
        np.clip(detections.boxes_xyxy, 0, edges).astype(np.float32, copy=False),
        new_ids[detections.class_ids],
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
        np.ones(len(shown), np.bool_),
        group,
        group,
    )
