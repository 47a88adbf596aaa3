"""streamdet: RetinaNet on camera feeds and video files, every frame accounted for, at its true time.

    from streamdet import detect

    for result in detect("clip.mp4", model="street"):
        print(result.frame.time_s, result.detections.names)

Importing this package loads neither torch nor OpenCV nor PyAV: each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamdet.detecting import detect
    from streamdet.detection.detector import Detector
    from streamdet.errors import StreamdetError
    from streamdet.types import DetectedFrame, Detections, Frame

__version__ = "0.1.0"

__all__ = ["DetectedFrame", "Detections", "Detector", "Frame", "StreamdetError", "__version__", "detect"]

_HOME_OF = {
    "DetectedFrame": "streamdet.types",
    "Detections": "streamdet.types",
    "Detector": "streamdet.detection.detector",
    "Frame": "streamdet.types",
    "StreamdetError": "streamdet.errors",
    "detect": "streamdet.detecting",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next access finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
