"""The picture of a camera that gives none: its last one in grey with a plate on it, or a tile with its name."""

from __future__ import annotations

from datetime import UTC, datetime

import av
import numpy as np

from streamdet.video.labels import Label, LabelPen
from streamdet.video.planes import Coder, Planes, Rgb, copied

NO_SIGNAL = "NO SIGNAL"
_ALARM_RGB: Rgb = (220, 38, 38)
_PLAIN_RGB: Rgb = (24, 26, 31)
_DIMMED = 0.6
"""Share of the brightness that the last picture keeps."""
_TILE_GREY = 44
_MIDDLE = 128
"""U and V of grey."""


def gone_picture(last: av.VideoFrame, *, since_utc_s: float, now_utc_s: float, reason: str = "") -> av.VideoFrame:
    """A new yuv420p frame: `last` in grey, darkened, with NO SIGNAL, since when, the time now, and why.

    Args:
        last: the last picture that came, without anything drawn on it.
        since_utc_s: when it came, seconds since 1970.
        now_utc_s: seconds since 1970.
        reason: a word or two, such as "timeout"; never a password.
    """
    frame = copied(last)
    planes = Planes(frame)
    luma, *chroma = planes.arrays
    np.copyto(luma, luma * np.float32(_DIMMED), casting="unsafe")
    for plane in chroma:
        plane[:] = _MIDDLE
    _write(frame, planes, _lines(since_utc_s, now_utc_s, reason))
    return frame


def empty_tile(width: int, height: int, name: str, *, headline: str = NO_SIGNAL, reason: str = "") -> av.VideoFrame:
    """A dark yuv420p frame for a camera that never gave a picture: a headline, its name, and why."""
    frame = av.VideoFrame(width, height, "yuv420p")
    planes = Planes(frame)
    luma, *chroma = planes.arrays
    luma[:] = _TILE_GREY
    for plane in chroma:
        plane[:] = _MIDDLE
    lines = [headline, name, reason] if reason else [headline, name]
    _write(frame, planes, lines, _ALARM_RGB if headline == NO_SIGNAL else _PLAIN_RGB)
    return frame


def _lines(since_utc_s: float, now_utc_s: float, reason: str) -> list[str]:
    since, now = (datetime.fromtimestamp(int(moment_s), UTC) for moment_s in (since_utc_s, now_utc_s))
    # a label holds 24 characters
    since_text = f"{since:%H:%M:%S} UTC" if since.date() == now.date() else f"{since:%Y-%m-%d %H:%M}"
    return [NO_SIGNAL, f"since {since_text}", f"now {now:%H:%M:%S} UTC"] + ([reason] if reason else [])


def _write(frame: av.VideoFrame, planes: Planes, lines: list[str], head_rgb: Rgb = _ALARM_RGB) -> None:
    """Lines below each other in the middle of the picture, the first one large; those without room are left out."""
    pen = LabelPen(Coder.of(frame))
    font_px = max(10, round(6 + 0.033 * min(planes.width, planes.height)))
    labels = [Label(lines[0], -1, font_px * 2, head_rgb)]
    labels += [Label(text, -1, font_px, _PLAIN_RGB) for text in lines[1:]]
    sizes = [pen.size(label) for label in labels]
    y = max(0, (planes.height - sum(rows for rows, _ in sizes)) // 2)
    for label, (rows, columns) in zip(labels, sizes, strict=True):
        if columns > planes.width:
            label = label._replace(font_px=10)
            rows, columns = pen.size(label)
        if columns > planes.width or y + rows > planes.height:
            continue
        pen.draw(planes, label, (planes.width - columns) // 2, y)
        y += rows
