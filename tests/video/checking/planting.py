"""Makes an annotated output of a clip, and plants faults in it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from streamdet.types import Detections
from streamdet.video import VideoWriter, open_source
from streamdet.video.overlay import Overlay
from tests.media import make_clip

Pictures = list[tuple[av.VideoFrame, Fraction]]
"""Pictures and their times in seconds."""
TIME_BASE = Fraction(1, 90_000)
FAST = {"preset": "superfast", "threads": "1"}


def make_source(path: Path, frames: int, **options: object) -> Path:
    """A clip of soft blobs that drift to the left, and a smaller one that hurries to the right."""
    return make_clip(path, frames=frames, draw=scene, **options)  # type: ignore[arg-type]


def scene(index: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Picture `index` of it, (H, W, 3) uint8 RGB."""
    width, height = size
    cells = np.random.default_rng(0).uniform(20, 235, (8, 12, 3))
    blobs = cv2.resize(cells, (3 * width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(np.roll(blobs, -2 * index, axis=1)[:, :width], 0, 255).astype(np.uint8)
    left = 3 * index % (width - 20)
    picture[10:30, left : left + 20] = (240, 240, 30)
    return picture


def annotate(source_path: Path, target: Path, **window: float) -> Path:
    """What `streamdet run` makes of a clip, with boxes that move."""
    overlay = Overlay(("car", "person"))
    with (
        open_source(source_path, **window) as source,  # type: ignore[arg-type]
        VideoWriter(target, source.info, width=source.info.width, height=source.info.height) as writer,
    ):
        for frame in source:
            left = 20 + 2 * frame.index % 60
            detections = Detections(
                np.array([[left, 30, left + 50, 90], [5, 60, 40, 110]], np.float32),
                np.array([0.9, 0.5], np.float32),
                np.array([0, 1]),
                ("car", "person"),
            )
            writer.write(overlay.draw(frame.picture, detections), frame.pts, frame.time_base)
    return target


def remake(
    output: Path,
    target: Path,
    *,
    pictures: Callable[[Pictures], Pictures] = lambda pictures: pictures,
    sound: Callable[[list[Packet]], list[Packet]] = lambda packets: packets,
    last_frame_s: Fraction | None = None,
    color_range: int | None = None,
) -> Path:
    """Write `output` again with other pictures, times or packets of sound."""
    with av.open(str(output)) as container:
        shown: Pictures = [(frame, frame.pts * frame.time_base) for frame in container.decode(video=0)]
    shown = pictures(shown)
    with av.open(str(output)) as container, av.open(str(target), "w") as written:
        stream = written.add_stream("libx264", rate=25, options=FAST)
        assert isinstance(stream, VideoStream)
        first = shown[0][0]
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = first.width, first.height, "yuv420p"
        context.time_base = stream.time_base = TIME_BASE
        if color_range is not None:
            context.color_range = color_range
        audio = container.streams.audio[0]
        packets = sound([packet for packet in container.demux(audio) if packet.size])
        track = written.add_stream_from_template(audio) if packets else None
        written.start_encoding()
        for place, (picture, time_s) in enumerate(shown):
            again = picture.reformat(format="yuv420p")
            again.pict_type = PictureType.NONE
            again.pts, again.time_base = round(time_s / TIME_BASE), TIME_BASE
            for packet in stream.encode(again):
                written.mux(packet)
            if place == len(shown) - 1:
                for packet in stream.encode(None):
                    if last_frame_s is not None:
                        packet.duration = round(last_frame_s / TIME_BASE)
                    written.mux(packet)
        for packet in packets:
            packet.stream = track
            written.mux(packet)
    return target


def moved(packets: list[Packet], by_s: float, first: int = 0) -> list[Packet]:
    """Later packets of sound."""
    for packet in packets[first:]:
        by = round(by_s / packet.time_base)
        packet.pts, packet.dts = packet.pts + by, packet.dts + by
    return packets
