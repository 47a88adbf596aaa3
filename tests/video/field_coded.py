"""Makes H.264 streams whose pictures are coded as two fields, one after the other: no encoder at hand does that.

Every field is one slice of uncompressed macroblocks, written bit by bit after ITU-T H.264, 7.3.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

COLUMNS, ROWS = 2, 4
"""Macroblocks of a picture."""
GOP = 10
DELIMITER = b"\0\0\0\1\x09\xf0"
SETS, KEY_SLICE, SLICE = (0x67, 0x68), 0x65, 0x61


class Bits:
    def __init__(self) -> None:
        self._text = ""

    def put(self, value: int, length: int) -> Bits:
        self._text += f"{value:0{length}b}"
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            text = f"{value + 1:b}"
            self._text += "0" * (len(text) - 1) + text
        return self

    def align(self) -> Bits:
        self._text += "0" * (-len(self._text) % 8)
        return self

    def unit(self, header: int) -> bytes:
        """Start code, header and content, with the bytes that keep it from looking like another start code."""
        self.put(1, 1).align()
        escaped, zeros = bytearray(), 0
        for byte in int(self._text, 2).to_bytes(len(self._text) // 8):
            if zeros == 2 and byte <= 3:
                escaped.append(3)
                zeros = 0
            escaped.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([header]) + bytes(escaped)


def luma(index: int) -> int:
    """Brightness of all of picture `index`."""
    return 40 + 5 * index


def _parameter_sets() -> bytes:
    sequence = Bits().put(77, 8).put(0, 8).put(30, 8).golomb(0, 0, 0, 4, 2).put(0, 1)
    sequence.golomb(COLUMNS - 1, ROWS // 2 - 1).put(0b00100, 5)  # fields may be coded; no cropping, no VUI
    picture = Bits().golomb(0, 0).put(0, 2).golomb(0, 0, 0).put(0, 3).golomb(0, 0, 0).put(0, 3)
    return sequence.unit(SETS[0]) + picture.unit(SETS[1])


def _field(index: int, bottom: int) -> bytes:
    place = index % GOP
    is_key = place == 0 and not bottom
    bits = Bits().golomb(0, 7, 0).put(place, 4).put(1, 1).put(bottom, 1)
    if is_key:
        bits.golomb(0)
    bits.put(2 * place + bottom, 8).put(0, 2 if is_key else 1).golomb(0)
    for _ in range(COLUMNS * ROWS // 2):
        bits.golomb(25).align()  # I_PCM
        for _ in range(256):
            bits.put(luma(index), 8)
        for _ in range(128):
            bits.put(128, 8)
    sets = _parameter_sets() if is_key else b""
    return DELIMITER + sets + bits.unit(KEY_SLICE if is_key else SLICE)


def make_field_coded(path: Path, *, frames: int, packet_per_field: bool) -> Path:
    """A clip of 25 pictures a second; both fields of a picture in one packet, or in one each."""
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(_field(index, bottom) for index in range(frames) for bottom in (0, 1)))
    with av.open(str(raw)) as template, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
        stream.time_base = Fraction(1, 50)
        for index in range(frames):
            fields = [_field(index, bottom) for bottom in (0, 1)]
            for bottom, content in enumerate(fields if packet_per_field else [b"".join(fields)]):
                packet = av.Packet(content)
                packet.pts = packet.dts = 2 * index + bottom
                packet.duration = 1 if packet_per_field else 2
                packet.time_base = Fraction(1, 50)
                packet.is_keyframe = index % GOP == 0 and not bottom
                packet.stream = stream
                container.mux(packet)
    raw.unlink()
    return path
