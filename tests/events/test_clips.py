from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from streamdet.events.clips import RingClips
from streamdet.events.event import Event, Finding
from streamdet.events.file_clips import FileClips, copy_span
from streamdet.events.ring import KeptPacket, PacketRing, Section
from streamdet.events.rules import ClipSpan
from streamdet.options import LiveOptions
from streamdet.types import Frame
from streamdet.video.live.opening import connect
from streamdet.video.live.source import LiveSource
from streamdet.video.location import parse_location
from tests.events.scenes import detected
from tests.live_servers.clip import make_clip as make_live_clip
from tests.live_servers.rtsp import RtspServer
from tests.live_servers.web import HlsServer, MjpegServer
from tests.media import make_clip, packets_of, test_picture, times_of

CLEAR = Section("h264", b"", Fraction(1, 1000))
"""Packets that show everything."""


def event_at(frame: Frame, number: int = 1) -> Event:
    return Event("gate", number, "rule", Finding("crossed", "a car"), frame, frame.utc_s)


def clip_live(url: str, folder: Path, *, seconds: float, span: ClipSpan, at_s: float) -> tuple[list[Frame], Path]:
    """Watch a source for so long; an event after `at_s` seconds. Its frames, and the clip."""
    ring = PacketRing(30)
    source = LiveSource(parse_location(url), LiveOptions(), name="gate", connect=partial(connect, tap=ring))
    clips = RingClips(ring, folder)
    frames: list[Frame] = []
    messages: list[dict[str, object]] = []
    name = None
    try:
        for frame in source.frames():
            frames.append(replace(frame, picture=av.VideoFrame(16, 16, "yuv420p")))
            clips.see(detected(0))
            lasted_s = frame.arrival_s - frames[0].arrival_s
            if name is None and lasted_s >= at_s:
                name = clips.plan(event_at(frame), span, frame.arrival_s)
            messages += clips.finished(frame.arrival_s)
            if messages or lasted_s > seconds:
                break
    finally:
        source.stop()
    assert name is not None
    assert [message["clip"] for message in messages] == [name], clips.notes
    return frames, folder / name


@pytest.mark.rtsp
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_clip_of_a_camera_is_its_own_packets(
    codec: str, tmp_path: Path, rtsp_server: Callable[..., RtspServer]
) -> None:
    clip = make_live_clip(codec=codec, rate=30, gop=15, frames=60)
    server = rtsp_server(clip)
    frames, path = clip_live(server.url(), tmp_path, seconds=8, span=ClipSpan(1.0, 1.0), at_s=2.0)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.codec_context.codec.canonical_name == codec
        pictures = list(container.decode(video))
    assert not any(picture.is_corrupt for picture in pictures)
    shown = [picture.time for picture in pictures if picture.time is not None]
    assert 0 <= shown[0] < 0.1
    assert 1.5 <= shown[-1] <= 2.5
    assert len(shown) == len(pictures) == pytest.approx(shown[-1] * 30, abs=3)
    # what comes before, back to the key frame, is there and not shown
    assert len(pictures) <= len(times_of(path)) < len(pictures) + 15
    assert len(frames) > len(pictures)


@pytest.mark.parametrize("server_of", [MjpegServer, HlsServer])
def test_a_clip_of_a_stream_over_http(server_of: type[MjpegServer | HlsServer], tmp_path: Path) -> None:
    mjpeg = server_of is MjpegServer
    clip = make_live_clip(codec="mjpeg" if mjpeg else "h264", rate=20, gop=10, frames=40)
    with server_of(clip) as server:
        _, path = clip_live(server.url, tmp_path, seconds=8, span=ClipSpan(0.6, 0.6), at_s=1.0)
    assert path.suffix == (".mkv" if mjpeg else ".mp4")
    with av.open(str(path)) as container:
        shown = [picture.time for picture in container.decode(video=0) if picture.time is not None]
    assert 0 <= shown[0] < 0.1
    assert 0.7 <= shown[-1] <= 2.4
    assert len(shown) == pytest.approx(shown[-1] * 20, abs=3)


def test_pictures_without_packets_are_encoded(tmp_path: Path) -> None:
    """Also the way of pictures in which people were blurred: no packet of the source gets into a clip."""
    ring = PacketRing(30)
    for index in range(60):
        ring.keep(CLEAR, kept(1000 + index / 10, key=index % 10 == 0))
    clips = RingClips(ring, tmp_path, encode=True)
    messages: list[dict[str, object]] = []
    name = None
    for index in range(60):
        picture = av.VideoFrame.from_ndarray(test_picture(index, (64, 48)), format="rgb24").reformat(format="yuv420p")
        frame = replace(detected(index).frame, picture=picture)
        clips.see(replace(detected(index), frame=frame))
        if index == 30:
            name = clips.plan(event_at(frame), ClipSpan(1.0, 2.0), frame.arrival_s)
        messages += clips.finished(frame.arrival_s)
        assert picture.pict_type == PictureType.NONE  # as it was: it goes to other encoders, too
    messages += clips.finished(None)
    [message] = messages
    assert name is not None
    assert (message["clip"], message["number"], message["type"]) == (name, 1, "clip")
    assert (message["before_s"], message["seconds"]) == (1.0, pytest.approx(3.1))
    with av.open(str(tmp_path / name)) as container:
        decoded = list(container.decode(video=0))
    assert [round(picture.time or 0, 4) for picture in decoded] == [round(index / 10, 4) for index in range(31)]
    pictures = [picture.to_ndarray(format="rgb24") for picture in decoded]
    first = 20  # a second before the event
    differences = [np.abs(pictures[0].astype(int) - test_picture(index, (64, 48))).mean() for index in range(60)]
    assert int(np.argmin(differences)) == first


def test_a_clip_of_a_file_is_copied_with_its_sound(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "long.mp4", frames=250, rate=25, audio="aac", options={"preset": "superfast", "g": "25", "bf": "2"}
    )
    name, seconds, begin_s = copy_span(path, tmp_path / "gate_1", 4.52, 6.5)
    assert (name, begin_s) == ("gate_1.mp4", 4.52)
    assert seconds == pytest.approx(2.0, abs=0.13)
    there = {content: moment for moment, content in packets_of(path)}
    copied = packets_of(tmp_path / name)
    assert min(moment for moment, _ in copied) == Fraction(4 * 100 - 452, 100)  # from the key frame on
    assert all(there[content] == moment + Fraction(452, 100) for moment, content in copied)
    sound = packets_of(tmp_path / name, "audio")
    of_source = {content: moment for moment, content in packets_of(path, "audio")}
    assert len(sound) > 80
    assert all(abs(of_source[content] - moment - Fraction(452, 100)) < Fraction(1, 40) for moment, content in sound)
    with av.open(str(tmp_path / name)) as container:
        shown = [picture.time for picture in container.decode(video=0)]
    assert shown[0] == 0
    assert 48 <= len(shown) <= 53


def test_events_that_follow_one_another_share_a_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "long.mp4", frames=250, rate=25)
    clips = FileClips(path, tmp_path)
    span = ClipSpan(1.0, 2.0)
    names = [
        clips.plan(event_at(detected(index, live=False).frame, index), span, index / 10) for index in (20, 25, 30, 35)
    ]
    assert names == ["gate_20.mp4", "gate_20.mp4", "gate_20.mp4", "gate_35.mp4"]
    assert [message["number"] for message in clips.finished(2.0)] == [20, 35]
    assert clips.finished(None) == []


def kept(moment_s: float, *, key: bool = False, size: int = 100) -> KeptPacket:
    ticks = round(moment_s * 1000)
    return KeptPacket(moment_s, bytes(size), ticks, ticks, key)


def filled(ring: PacketRing, seconds: int, *, gop: int = 10, section: Section, size: int = 100) -> None:
    for index in range(seconds * 10):
        ring.keep(section, kept(index / 10, key=index % gop == 0, size=size))


def test_a_ring_keeps_whole_groups_of_pictures_for_its_time() -> None:
    section = Section("h264", b"", Fraction(1, 1000))
    ring = PacketRing(3)
    filled(ring, 20, section=section)
    cut = ring.cut(0, 100, 19)
    assert cut is not None
    assert (cut[1][0].arrival_s, cut[1][0].is_key, cut[1][-1].arrival_s) == (16.0, True, 19.9)
    cut = ring.cut(17.25, 18.45, 18)
    assert cut is not None
    assert (cut[1][0].arrival_s, cut[1][-1].arrival_s) == (17.0, 18.4)


def test_a_ring_is_bounded_by_bytes_even_without_key_frames() -> None:
    section = Section("h264", b"", Fraction(1, 1000))
    ring = PacketRing(1000, max_bytes=10_000)
    filled(ring, 20, section=section, size=150)
    cut = ring.cut(0, 100, 19)
    assert cut is not None
    assert 3_000 < sum(len(packet.content) for packet in cut[1]) <= 10_000
    filled(ring, 20, section=section, gop=10_000, size=150)
    assert ring.section is None


def test_a_cut_does_not_join_two_connections() -> None:
    before, after = (Section("h264", b"", Fraction(1, 1000)) for _ in range(2))
    ring = PacketRing(30)
    filled(ring, 2, section=before)
    for index in range(20):
        ring.keep(after, kept(5 + index / 10, key=index == 0))
    cut = ring.cut(0, 100, 1.5)
    assert cut is not None
    assert (cut[0], cut[1][-1].arrival_s) == (before, 1.9)
    cut = ring.cut(0, 100, 5.5)
    assert cut is not None
    assert (cut[0], cut[1][0].arrival_s) == (after, 5.0)
