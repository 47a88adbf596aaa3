"""The nouns that flow through streamdet: a frame, what was detected in it, and the pair of both.

Shape legend: N detections. Boxes are `xyxy` in pixels of the upright source frame, x to the right, y down,
(0, 0) the outer corner of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av

    from streamdet.scene import Scene

BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture of a stream, upright, in the pixel format the decoder gave (mostly YUV)."""

    picture: av.VideoFrame
    stream: str
    """Printable name of the source; never holds a password."""
    index: int
    """Place in presentation order, from 0, among the frames that could be decoded."""
    pts: int
    """Presentation time in units of `time_base`, exactly as in the source (a missing or repeated one is repaired)."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    arrival_s: float
    """Monotonic clock when the packet arrived."""
    damaged: bool = False
    """True when the decoder concealed damage: the picture may be wrong in parts."""
    session: int = 0
    """Of a live source: number of the connection that gave it, from 0. `pts` of two sessions can't be compared."""
    utc_s: float | None = None
    """Of a live source: wall clock of this machine when the packet arrived, in seconds since 1970 (UTC)."""
    camera_utc_s: float | None = None
    """The camera's wall clock when it took the picture (RTCP), seconds since 1970 (UTC); None where it doesn't tell."""

    file_name: str | None = None
    """Of a picture file: its name in its folder."""

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    @property
    def clock_s(self) -> float:
        """Seconds on the clock for whatever lasts: content time, of a live frame the monotonic clock of its arrival.

        Content time of a live source begins anew with each connection.
        """
        return self.time_s if self.utc_s is None else self.arrival_s

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.picture.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.picture.height

    @property
    def nbytes(self) -> int:
        """Host memory that the picture holds, in bytes."""
        return sum(plane.buffer_size for plane in self.picture.planes)


@dataclass(frozen=True, slots=True)
class Detections:
    """Objects found in one picture, best score first."""

    boxes_xyxy: Float32Array
    """(N, 4) float32, pixels of the source picture."""
    scores: Float32Array
    """(N,) float32, descending, in [0, 1]."""
    class_ids: Int64Array
    """(N,) int64, index into `class_names`."""
    class_names: tuple[str, ...]
    """Names of all classes of the model."""
    track_ids: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    """(N,) int64; -1 = not tracked."""
    bridged: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    """(N,) bool; True: not seen in this picture, a tracker put it there. With the score of its last sight."""

    def __post_init__(self) -> None:
        n = len(self.scores)
        for name, absent in (("track_ids", np.full(n, -1, np.int64)), ("bridged", np.zeros(n, np.bool_))):
            given = getattr(self, name)
            if given.shape != (n,):
                if len(given):
                    raise ValueError(f"{name} has shape {given.shape}, expected ({n},)")
                object.__setattr__(self, name, absent)
        expected = (
            ("boxes_xyxy", self.boxes_xyxy, (n, 4), np.float32),
            ("scores", self.scores, (n,), np.float32),
            ("class_ids", self.class_ids, (n,), np.int64),
            ("track_ids", self.track_ids, (n,), np.int64),
            ("bridged", self.bridged, (n,), np.bool_),
        )
        for name, array, shape, dtype in expected:
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} has shape {array.shape} and dtype {array.dtype}, expected {shape} {np.dtype(dtype)}"
                )
        if n > 1 and bool(np.any(self.scores[1:] > self.scores[:-1])):
            raise ValueError("scores must be in descending order")

    @classmethod
    def empty(cls, class_names: tuple[str, ...]) -> Detections:
        """No object at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), class_names)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, selection: BoolArray | Int64Array | slice) -> Detections:
        """The detections picked by a mask, by ascending indices or by a slice."""
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[selection],
            scores=self.scores[selection],
            class_ids=self.class_ids[selection],
            track_ids=self.track_ids[selection],
            bridged=self.bridged[selection],
        )

    def __iter__(self) -> Iterator[tuple[Float32Array, float, str]]:
        """(box_xyxy, score, class name) of each object, best first."""
        for box, score, class_id in zip(self.boxes_xyxy, self.scores, self.class_ids, strict=True):
            yield box, float(score), self.class_names[int(class_id)]

    @property
    def names(self) -> list[str]:
        """Class name of each object."""
        return [self.class_names[int(class_id)] for class_id in self.class_ids]

    def to_supervision(self) -> Any:
        """The same as `supervision.Detections` (needs the package `supervision`)."""
        try:
            import supervision
        except ImportError as error:
            raise ImportError("to_supervision() needs the package supervision: pip install supervision") from error
        tracked = bool(len(self) and (self.track_ids >= 0).all())
        return supervision.Detections(
            xyxy=self.boxes_xyxy,
            confidence=self.scores,
            class_id=self.class_ids,
            tracker_id=self.track_ids if tracked else None,
            data={"class_name": np.array(self.names, dtype=str)},
        )


@dataclass(frozen=True, slots=True)
class DetectedFrame:
    """A frame and what was detected in it."""

    frame: Frame
    detections: Detections
    """All that is kept, the weak ones too."""
    shown_mask: BoolArray | None = None
    """(N,) which of them are drawn and counted; None: all."""
    scene: Scene | None = None
    """How lines, zones and bays stand, where there are any; trails of tracked objects."""
    seen_class_ids: Int64Array | None = None
    """(N,) what the detector called them in this frame, where tracks have changed a class; None: `class_ids`."""
    outside: Detections | None = None
    """What was detected outside of the region of interest: it does not count, and is blurred all the same."""

    @property
    def shown(self) -> Detections:
        """Those that are drawn and counted."""
        return self.detections if self.shown_mask is None else self.detections[self.shown_mask]
