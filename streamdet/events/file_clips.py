"""Clips of events in a video file: copied out of the file itself, sound included."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from streamdet.errors import SourceError
from streamdet.events.clips import IN_MP4, clip_message, new_clip
from streamdet.events.event import Event
from streamdet.events.rules import ClipSpan
from streamdet.events.snapshots import file_stem
from streamdet.types import DetectedFrame
from streamdet.video.container import open_container, reason, video_stream

SOUND_IN_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})


class FileClips:
    """Copies a clip at once: what follows on an event is there already.

    Attributes:
        notes: what a user should know, a sentence each.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        """`path`: the video; `folder`: of the events."""
        self.notes: list[str] = []
        self._path = path
        self._folder = folder
        self._has_failed = False
        self._messages: list[dict[str, object]] = []
        self._last: tuple[str, float, float] | None = None

    def see(self, detected: DetectedFrame) -> None:
        """The file has it all."""

    def plan(self, event: Event, span: ClipSpan, at_s: float) -> str | None:
        """See `sink.Clipper`."""
        if self._last is not None:
            name, from_s, to_s = self._last
            if from_s <= at_s and at_s + span.after_s / 2 <= to_s:
                return name
        try:
            name, seconds, begin_s = copy_span(
                self._path, self._folder / file_stem(event), at_s - span.before_s, at_s + span.after_s
            )
        except (av.error.FFmpegError, OSError, ValueError, SourceError) as error:
            if not self._has_failed:
                self.notes.append(f"no clip of event {event.number} of {self._path.name}: {reason(error)}")
            self._has_failed = True
            return None
        self._last = name, at_s - span.before_s, at_s + span.after_s
        self._messages.append(clip_message(event, name, seconds, before_s=at_s - begin_s))
        return name

    def finished(self, now_s: float | None) -> list[dict[str, object]]:
        """See `sink.Clipper`."""
        taken, self._messages = self._messages, []
        return taken


def copy_span(path: Path, stem: Path, from_s: float, to_s: float) -> tuple[str, float, float]:
    """Copy the packets between two times, from the last key frame before the first on.

    Args:
        path: the video file.
        stem: the clip's path without its ending, which the codec decides: .mp4 or .mkv.
        from_s: time in the file, seconds. An mp4 begins to play here, see `clips.write_clip`.
        to_s: time in the file, seconds.

    Returns:
        The clip's name, its seconds, and the time in the file at which it begins to play.

    Raises:
        SourceError: the file can't be read any more.
        ValueError: there is no picture in this span.
    """
    with open_container(path) as source:
        video = video_stream(source, path)
        in_mp4 = video.codec_context.codec.canonical_name in IN_MP4
        sounds = [sound for sound in source.streams.audio[:1] if not in_mp4 or sound.codec_context.name in SOUND_IN_MP4]
        time_base = video.time_base or Fraction(1, 1000)
        source.seek(max(round(from_s / time_base), video.start_time or 0), stream=video, backward=True)
        target = stem.with_name(f"{stem.name}.{'mp4' if in_mp4 else 'mkv'}")
        with new_clip(target) as container:
            origin_s = Fraction(from_s).limit_denominator(1_000_000) if in_mp4 else None
            begin_s, end_s = _copy(source, container, [video, *sounds], origin_s, to_s)
    return target.name, end_s - begin_s, begin_s


def _copy(
    source: InputContainer, target: OutputContainer, streams: Sequence[Stream], origin_s: Fraction | None, to_s: float
) -> tuple[float, float]:
    """Copy up to `to_s`; `origin_s` in the source becomes 0 unless the first picture is later. Both ends, seconds."""
    video = streams[0]
    copies = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in streams}
    begin_s: Fraction | None = None
    end_s = Fraction(0)
    for packet in source.demux(*streams):
        if not packet.size or packet.dts is None or packet.pts is None:
            continue
        unit, is_video = packet.time_base, packet.stream_index == video.index
        if begin_s is None:
            if not (is_video and packet.is_keyframe):
                continue
            first_s = packet.pts * unit
            begin_s = first_s if origin_s is None else max(first_s, origin_s)
        if packet.dts * unit > to_s:
            if is_video:
                break
            continue
        if packet.pts * unit < first_s or (not is_video and packet.pts * unit < begin_s):
            continue  # a picture that needs an earlier key frame; sound before the beginning
        if is_video:
            end_s = max(end_s, (packet.pts + (packet.duration or 0)) * unit)
        shift = round(begin_s / unit)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = copies[packet.stream_index]
        target.mux(packet)
    if begin_s is None:
        raise ValueError("no key frame there")
    return float(begin_s), float(end_s)
