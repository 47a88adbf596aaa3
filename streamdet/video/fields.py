"""Tells a packet with the second field of an H.264 picture from one with a picture of its own.

Interlaced H.264 may code the two fields of a picture one after the other, each in a packet of its own (camcorders,
television). The decoder makes one picture of both: the second packet is not lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""Values of `profile_idc` whose parameter set tells the colour format (ITU-T H.264, 7.3.2.1.1)."""
SLICE, KEY_SLICE, PARAMETER_SET = 1, 5, 7
"""NAL unit types (table 7-1)."""
_START_CODE = re.compile(b"\0\0\1")
_HEADER_BYTES = 64
"""Enough of a slice for the part of its header that is read."""


class Field(NamedTuple):
    """One field of a picture, as its slice header names it."""

    frame_num: int
    bottom: bool


UNREADABLE = Field(-1, False)
"""Stands for a first field whose header is damaged."""


class FieldPairs:
    """Follows the packets of one H.264 stream."""

    def __init__(self, extradata: bytes | None) -> None:
        """`extradata`: the stream's parameter sets, as `avcC` or with start codes."""
        data = extradata or b""
        self._length_bytes = (data[4] & 3) + 1 if len(data) > 8 and data[0] == 1 else 0
        units = [data[8:]] if self._length_bytes else self._units(data)
        sets = [_frame_num_bits(unit) for unit in units if unit and unit[0] & 31 == PARAMETER_SET]
        self._frame_num_bits = sets[0] if sets else None
        self._first: Field | None = None
        self._second_is_bottom: bool | None = None

    @property
    def possible(self) -> bool:
        """False for a stream of whole frames, or one whose parameter set can't be read."""
        return self._frame_num_bits is not None

    def completes(self, packet: bytes) -> bool:
        """True when `packet` holds the second field of a picture, whose first came before it or was lost."""
        fields = [self._field(unit) for unit in self._units(packet) if unit and unit[0] & 31 in (SLICE, KEY_SLICE)]
        first, self._first = self._first, None
        if not fields:  # damaged beyond reading: taken for what is due
            self._first = UNREADABLE if first is None and self._second_is_bottom is not None else None
            return first is not None
        field = fields[0]
        if field is None or field != fields[-1]:
            return False  # a whole frame, or both fields in one packet
        if first == Field(field.frame_num, not field.bottom):
            self._second_is_bottom = field.bottom
            return True
        if first in (None, UNREADABLE) and field.bottom == self._second_is_bottom:
            return True
        self._first = field
        return False

    def _units(self, data: bytes) -> Iterator[bytes]:
        """The NAL units of a packet."""
        if not self._length_bytes:
            starts = [match.end() for match in _START_CODE.finditer(data)]
            yield from (data[start:end] for start, end in pairwise([*starts, len(data)]))
            return
        while len(data) > self._length_bytes:
            end = self._length_bytes + int.from_bytes(data[: self._length_bytes])
            yield data[self._length_bytes : end]
            data = data[end:]

    def _field(self, unit: bytes) -> Field | None:
        """The field that a slice belongs to, None for a whole frame (7.3.3)."""
        bits = _Bits(unit[1:_HEADER_BYTES])
        for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
            bits.golomb()
        frame_num = bits.take(self._frame_num_bits or 0)
        return Field(frame_num, bool(bits.take(1))) if bits.take(1) else None


class _Bits:
    """Reads a NAL unit bit by bit; behind its end there are zeros."""

    def __init__(self, unit: bytes) -> None:
        data = unit.replace(b"\0\0\3", b"\0\0")
        self._text = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> int:
        taken = self._text[self._at : self._at + count]
        self._at += count
        return int(taken or "0", 2)

    def golomb(self) -> int:
        """A number in the code of 9.1 (signed ones are skipped with it as well)."""
        zeros = 0
        while self._at < len(self._text) and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _frame_num_bits(parameter_set: bytes) -> int | None:
    """Length of `frame_num` in a slice header where fields are possible, None where they are not (7.3.2.1.1)."""
    bits = _Bits(parameter_set[1:])
    profile = bits.take(24) >> 16
    bits.golomb()
    if profile in HIGH_PROFILES:
        color_format = bits.golomb()
        if color_format == 3:
            bits.take(1)
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            for number in range(12 if color_format == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    length = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb()
    bits.take(1)
    bits.golomb()
    bits.golomb()
    frames_only = bits.take(1)
    return None if frames_only else length


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = 8
    for _ in range(size):
        code = bits.golomb()
        last = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        if not last:
            return
