"""Reads what H.264 streams tell in their headers: NAL units, sequence parameter sets, the beginning of a slice."""

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


class ParameterSet(NamedTuple):
    """The part of a sequence parameter set that slice headers are read with."""

    frame_num_bits: int
    """Length of `frame_num` in a slice header."""
    frames_only: bool
    """False where pictures may be coded as two fields."""
    gaps_allowed: bool
    """True where the sender may leave out reference pictures."""
    planes_apart: bool
    """True where each colour plane has slices of its own."""


class SliceHeader(NamedTuple):
    """The beginning of a slice (7.3.3)."""

    frame_num: int
    is_field: bool
    is_bottom: bool
    is_key: bool
    """True in a picture that all earlier ones are forgotten at (IDR)."""
    is_reference: bool
    """True when later pictures may be built on this one."""


def length_bytes_of(extradata: bytes) -> int:
    """Bytes of the length before each NAL unit of a packet (`avcC`); 0 = there are start codes instead."""
    return (extradata[4] & 3) + 1 if len(extradata) > 8 and extradata[0] == 1 else 0


def nal_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """The NAL units of a packet."""
    if not length_bytes:
        starts = [match.end() for match in _START_CODE.finditer(data)]
        yield from (data[start:end] for start, end in pairwise([*starts, len(data)]))
        return
    while len(data) > length_bytes:
        end = length_bytes + int.from_bytes(data[:length_bytes])
        yield data[length_bytes:end]
        data = data[end:]


def parameter_sets(extradata: bytes) -> list[ParameterSet]:
    """The sequence parameter sets of a stream's extradata, as `avcC` or with start codes."""
    units = [extradata[8:]] if length_bytes_of(extradata) else nal_units(extradata, 0)
    return [read_parameter_set(unit) for unit in units if unit and unit[0] & 31 == PARAMETER_SET]


def read_slice(unit: bytes, parameters: ParameterSet) -> SliceHeader:
    """The header of a NAL unit of type SLICE or KEY_SLICE."""
    bits = Bits(unit[1:_HEADER_BYTES])
    for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
        bits.golomb()
    if parameters.planes_apart:
        bits.take(2)
    frame_num = bits.take(parameters.frame_num_bits)
    is_field = not parameters.frames_only and bool(bits.take(1))
    is_bottom = is_field and bool(bits.take(1))
    return SliceHeader(frame_num, is_field, is_bottom, unit[0] & 31 == KEY_SLICE, bool(unit[0] >> 5 & 3))


class Bits:
    """Reads a NAL unit bit by bit; behind its end there are zeros."""

    def __init__(self, unit: bytes) -> None:
        """`unit`: without its first byte."""
        data = unit.replace(b"\0\0\3", b"\0\0")
        self._text = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        taken = self._text[self._at : self._at + count]
        self._at += count
        return int(taken or "0", 2)

    def golomb(self) -> int:
        """A number in the code of 9.1 (signed ones are skipped with it as well)."""
        zeros = 0
        while self._at < len(self._text) and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def read_parameter_set(unit: bytes) -> ParameterSet:
    """A NAL unit of type PARAMETER_SET (7.3.2.1.1)."""
    bits = Bits(unit[1:])
    profile = bits.take(24) >> 16
    bits.golomb()
    planes_apart = False
    if profile in HIGH_PROFILES:
        color_format = bits.golomb()
        if color_format == 3:
            planes_apart = bool(bits.take(1))
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            for number in range(12 if color_format == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    frame_num_bits = min(bits.golomb() + 4, 16)  # more is damage
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
    gaps_allowed = bool(bits.take(1))
    bits.golomb()
    bits.golomb()
    return ParameterSet(frame_num_bits, bool(bits.take(1)), gaps_allowed, planes_apart)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = 8
    for _ in range(size):
        code = bits.golomb()
        last = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        if not last:
            return
