"""What a user may choose about tracking, and the numbers that were chosen for them."""

from __future__ import annotations

from dataclasses import dataclass

from streamdet.errors import UsageError
from streamdet.results.tracks.matching import COVERED_SHARE, REPEAT_IOU


@dataclass(frozen=True, slots=True)
class TrackRule:
    """When a track starts, goes on and ends. Times are seconds of the frames' own clock, never frames.

    Thresholds of overlap (IoU) are those of the ByteTrack paper (https://arxiv.org/abs/2110.06864). The reasons of the
    others: docs/decisions_video.md.
    """

    start_score: float | tuple[float, ...] = 0.4
    """Least score to start a track: one number, or one for each class of the model in its order (`--conf`)."""
    low_score: float = 0.2
    """Least score to go on with a track (never above `start_score`)."""
    sightings: int = 2
    """A track is told from a flicker, and gets its id, when it was seen in so many frames in a row."""
    lost_s: float = 2.0
    """A track that is not seen for longer than this ends."""
    standing_lost_s: float = 10.0
    """The same for an object that had been standing still: it is where it was, behind what passes in front of it."""
    bridge_s: float = 1.0
    """For so long a track that is not seen still has a box, put where it must be and marked as bridged."""
    strong_iou: float = 0.2
    """Least overlap of a track's expected box with a detection of at least `start_score`."""
    weak_iou: float = 0.5
    """The same with a weaker detection."""
    fresh_iou: float = 0.3
    """The same for a track that has no id yet."""
    repeat_iou: float = REPEAT_IOU
    """A box that overlaps a better one by so much has no track of its own, whatever its class; people are apart."""
    covered_share: float = COVERED_SHARE
    """A box of which better ones of its class cover so much starts no track."""

    def __post_init__(self) -> None:
        scores = self.start_score if isinstance(self.start_score, tuple) else (self.start_score,)
        for name, value in (*(("start_score", score) for score in scores), ("low_score", self.low_score)):
            if not 0 < value <= 1:
                raise UsageError(f"{name} is {value:g}; give a number above 0 and up to 1, such as 0.4")
        for name in ("strong_iou", "weak_iou", "fresh_iou", "repeat_iou"):
            if not 0 < getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name):g}; give a number above 0 and up to 1")
        for name in ("lost_s", "standing_lost_s", "bridge_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} is {getattr(self, name):g} s; give a time of 0 or more")
        if self.sightings < 1:
            raise UsageError(f"sightings is {self.sightings}; give 1 or more")
