"""Turns what one connection brings into frames: upright, numbered, with times that only grow."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from streamdet.types import Frame
from streamdet.video.base import SourceInfo
from streamdet.video.live.connection import Description
from streamdet.video.live.packets import Taken
from streamdet.video.orientation import Orientation, Turner
from streamdet.video.timing import FrameClock


class Session:
    """Makes the frames of one connection."""

    def __init__(self, number: int, name: str, description: Description) -> None:
        """No picture yet.

        Args:
            number: of the connection, from 0.
            name: printable name of the source.
            description: what the connection is.
        """
        self.info: SourceInfo | None = None
        self._number = number
        self._name = name
        self._description = description
        self._clock = FrameClock(description.time_base, description.rate)
        self._turn = Turner()

    def frame(self, taken: Taken, index: int) -> Frame:
        """The frame of a decoded picture; keeps `info` up to date."""
        pts = self._clock.stamp(taken.pts)
        orientation = self._turn.orientation(taken.picture)
        upright = self._turn(taken.picture, orientation)
        frame = Frame(
            picture=upright,
            stream=self._name,
            index=index,
            pts=pts,
            time_base=self._description.time_base,
            arrival_s=taken.arrival_s,
            damaged=taken.damaged,
            session=self._number,
            utc_s=taken.utc_s,
            camera_utc_s=taken.camera_utc_s,
            file_name=taken.file_name,
        )
        if self.info is None:
            self.info = self._describe(frame, orientation)
        elif (frame.width, frame.height) != (self.info.width, self.info.height):
            self.info = replace(
                self.info,
                width=frame.width,
                height=frame.height,
                pixel_format=upright.format.name,
                rotation=orientation.rotation,
            )
        return frame

    def _describe(self, first: Frame, orientation: Orientation) -> SourceInfo:
        about, picture = self._description, first.picture
        aspect: Fraction | None = about.aspect
        if aspect is not None and orientation.swaps_sides:
            aspect = 1 / aspect
        return SourceInfo(
            name=self._name,
            path=Path(self._name),
            width=first.width,
            height=first.height,
            codec=about.codec,
            container=about.container,
            pixel_format=picture.format.name,
            average_rate=about.rate,
            time_base=about.time_base,
            origin_s=first.pts * about.time_base,
            declared_duration_s=about.duration_s,
            estimated_duration_s=about.duration_s,
            rotation=orientation.rotation,
            has_audio=about.has_audio,
            color_range=int(picture.color_range),
            color_space=int(picture.colorspace),
            color_primaries=int(picture.color_primaries),
            color_trc=int(picture.color_trc),
            sample_aspect_ratio=aspect,
        )
