"""The picture of an event, with its boxes drawn, as JPEG."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamdet.events.event import Event
from streamdet.segments import safe_stem, utc_stamp
from streamdet.types import DetectedFrame

if TYPE_CHECKING:
    import av

QUALITY = 88
"""Of the JPEG, 0 to 100."""
TRY_AGAIN_S = 10.0
"""After a picture could not be written, the next is tried after this time."""


def file_stem(event: Event) -> str:
    """Name of an event's files, without ending: `gate_2026-11-25T22-10-00Z_17`, of a file `parking_17`."""
    moment = "" if event.utc_s is None else f"_{utc_stamp(event.utc_s)}"
    return f"{safe_stem(event.source)}{moment}_{event.number}"


class Snapshots:
    """Writes pictures into the folder of events.

    Attributes:
        notes: what a user should know, a sentence each.
    """

    def __init__(self, folder: Path, source: str, draw: Callable[[DetectedFrame], av.VideoFrame]) -> None:
        """`draw`: gives the picture with its boxes."""
        self.notes: list[str] = []
        self._folder = folder
        self._source = source
        self._draw = draw
        self._drawn: tuple[DetectedFrame, bytes] | None = None
        self._failed_at_s: float | None = None

    def take(self, event: Event, detected: DetectedFrame) -> str | None:
        """Write the picture of an event; its name in the folder, None when it can't be written."""
        if self._failed_at_s is not None and time.monotonic() - self._failed_at_s < TRY_AGAIN_S:
            return None
        name = f"{file_stem(event)}.jpg"
        aside = self._folder / f".{name}.new"
        try:
            with aside.open("wb") as file:
                file.write(self._jpeg(detected))
                file.flush()
                os.fsync(file.fileno())
            aside.rename(self._folder / name)
        except OSError as error:
            if self._failed_at_s is None:
                why = (error.strerror or str(error)).lower()
                self.notes.append(f"pictures of events of {self._source} can't be written to {self._folder}: {why}")
            self._failed_at_s = time.monotonic()
            with suppress(OSError):
                aside.unlink()
            return None
        self._failed_at_s = None
        return name

    def _jpeg(self, detected: DetectedFrame) -> bytes:
        """The same bytes for all events of a frame."""
        import cv2

        if self._drawn is None or self._drawn[0] is not detected:
            image_bgr = self._draw(detected).to_ndarray(format="bgr24")
            _, content = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            self._drawn = detected, content.tobytes()
        return self._drawn[1]
