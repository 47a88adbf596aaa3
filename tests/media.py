"""Makes small real video files to test with: encoded here, damaged here, nothing downloaded."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

X264_FAST = {"preset": "superfast", "threads": "1"}
X265_QUIET = {"x265-params": "log-level=none"}
AV1_FAST = {"preset": "11", "svtav1-params": "lp=1"}
INTERLACED = {"flags": "+ilme+ildct"}
VP9_FAST = {"cpu-used": "8", "deadline": "realtime"}


def test_picture(index: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Picture `index` of a clip, (H, W, 3) uint8 RGB: fine noise that drifts, with a red corner at the top left."""
    width, height = size
    noise = np.random.default_rng(0).integers(40, 216, (height, width * 2, 3), dtype=np.uint8)
    picture = np.roll(noise, -2 * index, axis=1)[:, :width].copy()
    picture[: height // 3, : width // 3] = (230, 20, 20)
    return picture


test_picture.__test__ = False  # type: ignore[attr-defined]


def make_clip(
    path: Path,
    *,
    frames: int = 30,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    audio: str | None = None,
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    colors: tuple[int, int, int, int] | None = None,
    draw: Callable[[int, tuple[int, int]], npt.NDArray[np.uint8]] = test_picture,
) -> Path:
    """Encode a clip; the format follows from the name.

    Args:
        pts: times in units of `time_base` (default: frame after frame at `rate`).
        rotation: counter-clockwise degrees in the display matrix.
        audio: name of an audio encoder for a 440 Hz tone as long as the video.
        colors: range, space, primaries and transfer tags.
        draw: makes the pictures, as `test_picture` does.
    """
    time_base = time_base or 1 / Fraction(rate)
    options = {**(X264_FAST if codec == "libx264" else {}), **(options or {})}
    with av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = *size, pixel_format
        context.time_base = stream.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        if colors:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = colors
        sound = _add_audio(container, audio) if audio else None
        container.start_encoding()
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(index, size), format="rgb24")
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        if frames:
            container.mux(stream.encode(None))
        if sound is not None:
            _encode_tone(container, sound, float(frames / Fraction(rate)))
    return path


def make_sound(path: Path) -> Path:
    """A file with nothing but a 440 Hz tone of a fifth of a second."""
    with av.open(str(path), "w") as container:
        _encode_tone(container, _add_audio(container, "aac"), 0.2)
    return path


def _add_audio(container: OutputContainer, codec: str) -> AudioStream:
    stream = container.add_stream(codec, rate=48000)
    assert isinstance(stream, AudioStream)
    stream.codec_context.layout = "mono"  # type: ignore[assignment]
    return stream


def _encode_tone(container: OutputContainer, stream: AudioStream, seconds: float) -> None:
    for first in range(0, int(seconds * 48000), 1024):
        wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(first, first + 1024) / 48000)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, first, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def damage_packets(source: Path, target: Path, n: int, nbytes: int, *, seed: int = 1, offset: int = 0) -> list[int]:
    """Copy `source` and overwrite `nbytes` bytes of `n` of its packets with noise; the packets' numbers.

    Key frames and the first packets stay whole. An `offset` past the header of the slice (10, say) leaves a picture
    that the decoder mends and flags; 0 leaves none.
    """
    with av.open(str(source)) as container:
        packets = [(packet.pos, packet.size, packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
    dice = random.Random(seed)
    able = [i for i, (_, size, is_key) in enumerate(packets) if i >= 5 and not is_key and size > nbytes + offset]
    chosen = sorted(dice.sample(able, n))
    content = bytearray(source.read_bytes())
    for i in chosen:
        position = packets[i][0]
        assert position is not None
        content[position + offset : position + offset + nbytes] = dice.randbytes(nbytes)
    target.write_bytes(content)
    return chosen


def truncate(source: Path, target: Path, share: float) -> Path:
    """Copy the first `share` (0 to 1) of the bytes of `source`."""
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


def packets_of(path: Path, kind: str = "video", track: int = 0) -> list[tuple[Fraction, bytes]]:
    """Time in seconds (exact) and payload of every packet of a stream, as any demuxer sees it."""
    with av.open(str(path)) as container:
        stream = [stream for stream in container.streams if stream.type == kind][track]
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        ]


def times_of(path: Path) -> list[Fraction]:
    """Presentation times of the video packets in seconds, exact and ascending."""
    return sorted(time for time, _ in packets_of(path))


def boxes_of(path: Path) -> list[str]:
    """Types of the top-level boxes of an mp4 or mov, in order."""
    content, boxes, position = path.read_bytes(), [], 0
    while position + 8 <= len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        boxes.append(content[position + 4 : position + 8].decode("latin1"))
        if size == 1:
            size = int.from_bytes(content[position + 8 : position + 16], "big")
        if size < 8:
            break
        position += size
    return boxes
