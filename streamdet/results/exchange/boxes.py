"""Boxes read from files that know nothing of frames, brought together with the frames they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from streamdet.errors import DataError
from streamdet.results.jsonl_reading import FrameLine
from streamdet.types import Detections

Edges = tuple[float, float, float, float]
DECIMALS = 2
"""Of a box, in pixels."""


@dataclass(slots=True)
class Boxes:
    """The boxes of one frame as they come."""

    class_names: tuple[str, ...]
    edges: list[Edges] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    class_ids: list[int] = field(default_factory=list)
    track_ids: list[int] = field(default_factory=list)
    bridged: list[bool] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    seen_class_ids: list[int] = field(default_factory=list)

    def add(
        self,
        edges: Edges,
        score: float,
        class_id: int,
        track_id: int = -1,
        *,
        bridged: bool = False,
        shown: bool = True,
        seen_class_id: int | None = None,
    ) -> None:
        """Take a box; `seen_class_id`: what the detector called it, where that is another class.

        Raises:
            ValueError: there is no such class, or the numbers make no box.
        """
        if not 0 <= class_id < len(self.class_names):
            known = ", ".join(self.class_names)
            raise ValueError(f"there is no class number {class_id} among {len(self.class_names)} ({known})")
        if not (edges[0] <= edges[2] and edges[1] <= edges[3]):  # NaN isn't either
            raise ValueError(f"{list(edges)} is no box: x1, y1 must not be above x2, y2")
        if not 0 <= score <= 1:
            raise ValueError(f"the score {score} is not between 0 and 1")
        self.edges.append(edges)
        self.scores.append(score)
        self.class_ids.append(class_id)
        self.track_ids.append(track_id)
        self.bridged.append(bridged)
        self.shown.append(shown)
        self.seen_class_ids.append(class_id if seen_class_id is None else seen_class_id)

    def put_into(self, line: FrameLine) -> FrameLine:
        """`line` with these boxes, best first; equal scores stay in their order."""
        scores = np.array(self.scores, np.float32)
        order = np.argsort(-scores, kind="stable")
        detections = Detections(
            np.array(self.edges, np.float32).reshape(-1, 4)[order],
            scores[order],
            np.array(self.class_ids, np.int64)[order],
            self.class_names,
            np.array(self.track_ids, np.int64)[order],
            np.array(self.bridged, np.bool_)[order],
        )
        shown = np.array(self.shown, np.bool_)[order]
        seen = np.array(self.seen_class_ids, np.int64)[order]
        return replace(
            line,
            detections=detections,
            shown_mask=None if shown.all() else shown,
            seen_class_ids=None if np.array_equal(seen, detections.class_ids) else seen,
        )


def edges_of(box: Mapping[str, object]) -> Edges:
    """Of a box as `streamdet.results.jsonl.box_fields` gives it."""
    return cast("Edges", tuple(cast("list[float]", box["box_xyxy"])))


def attach(
    frames: Iterable[FrameLine], found: Iterator[tuple[int, Boxes]], class_names: tuple[str, ...], path: Path
) -> Iterator[FrameLine]:
    """Each of `frames` with its boxes; `found`: those of frame after frame, by the frame's index, ascending.

    Raises:
        DataError: boxes of a frame that is not among `frames`.
    """
    waiting = next(found, None)
    for frame in frames:
        if waiting is not None and waiting[0] < frame.index:
            break
        if waiting is not None and waiting[0] == frame.index:
            yield waiting[1].put_into(frame)
            waiting = next(found, None)
        else:
            yield replace(frame, detections=Detections.empty(class_names), shown_mask=None)
    if waiting is not None:
        raise DataError(
            f"{path} has boxes for frame {waiting[0]} (counted from 0), which is not among those of --frames; "
            "give the clip or the JSON lines that the boxes were found in"
        )
