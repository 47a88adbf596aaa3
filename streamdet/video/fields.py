"""Tells a packet with the second field of an H.264 picture from one with a picture of its own.

Interlaced H.264 may code the two fields of a picture one after the other, each in a packet of its own (camcorders,
television). The decoder makes one picture of both: the second packet is not lost.
"""

from __future__ import annotations

from typing import NamedTuple

from streamdet.video.h264 import KEY_SLICE, SLICE, length_bytes_of, nal_units, parameter_sets, read_slice


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
        self._length_bytes = length_bytes_of(extradata or b"")
        self._parameters = next(iter(parameter_sets(extradata or b"")), None)
        self._first: Field | None = None
        self._second_is_bottom: bool | None = None

    @property
    def possible(self) -> bool:
        """False for a stream of whole frames, or one whose parameter set can't be read."""
        return self._parameters is not None and not self._parameters.frames_only

    def completes(self, packet: bytes) -> bool:
        """True when `packet` holds the second field of a picture, whose first came before it or was lost."""
        fields = [
            self._field(unit)
            for unit in nal_units(packet, self._length_bytes)
            if unit and unit[0] & 31 in (SLICE, KEY_SLICE)
        ]
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

    def _field(self, unit: bytes) -> Field | None:
        """The field that a slice belongs to, None for a whole frame."""
        if self._parameters is None:
            return None
        header = read_slice(unit, self._parameters)
        return Field(header.frame_num, header.is_bottom) if header.is_field else None
