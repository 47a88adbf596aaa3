from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamdet.video import VideoWriter, open_source
from tests.media import boxes_of, make_clip, packets_of, times_of
from tests.video.writing import copy


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("audio.mp4", "mp4"),
        ("mpeg4.avi", "mp4"),
        ("audio.mkv", "mkv"),
        ("odd_vp9.webm", "mkv"),
        ("odd_vp9.webm", "mp4"),
        ("pcm.mov", "mov"),
    ],
)
def test_audio_packets_are_identical(clips: dict[str, Path], tmp_path: Path, name: str, ending: str) -> None:
    target = tmp_path / f"out.{ending}"
    writer = copy(clips[name], target)
    assert packets_of(target, "audio") == packets_of(clips[name], "audio")
    assert writer.notes == []


def test_audio_of_mpeg_ts_keeps_its_payload_and_times(clips: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    copy(clips["transport.ts"], target)
    before, after = packets_of(clips["transport.ts"], "audio"), packets_of(target, "audio")
    assert [data[7:] for _, data in before] == [data for _, data in after], "all but the header of each ADTS packet"
    assert max(abs(a - b) for (a, _), (b, _) in zip(before, after, strict=True)) <= Fraction(1, 48000)


def test_audio_that_does_not_fit_the_container_is_left_out_with_a_note(clips: dict[str, Path], tmp_path: Path) -> None:
    writer = copy(clips["pcm.mov"], tmp_path / "out.mp4")
    assert len(writer.notes) == 1
    assert "pcm_s16le" in writer.notes[0]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_all_audio_streams_are_copied_and_longer_audio_is_kept_whole(tmp_path: Path) -> None:
    first, second = (
        make_clip(tmp_path / f"{n}.mkv", frames=n, audio=codec) for n, codec in ((10, "aac"), (30, "libopus"))
    )
    two = tmp_path / "two.mkv"
    with av.open(str(first)) as a, av.open(str(second)) as b, av.open(str(two), "w") as container:
        sources = [(a, a.streams.video[0]), (a, a.streams.audio[0]), (b, b.streams.audio[0])]
        targets = [container.add_stream_from_template(stream, opaque=True) for _, stream in sources]
        for (source, stream), target in zip(sources, targets, strict=True):
            source.seek(0)
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = target
                    container.mux(packet)
    copy(two, tmp_path / "out.mkv")
    assert len(times_of(tmp_path / "out.mkv")) == 10
    assert packets_of(two, "audio", 1)[-1][0] > 1
    for track in (0, 1):
        assert packets_of(tmp_path / "out.mkv", "audio", track) == packets_of(two, "audio", track)


def test_an_interrupted_run_ends_the_audio_with_the_video(clips: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with open_source(clips["audio.mp4"]) as source, VideoWriter(target, source.info, width=160, height=120) as writer:
        for frame in source:
            if frame.index < 10:
                writer.write(frame.picture, frame.pts, frame.time_base)
        writer.finish(complete=False)
    expected = [packet for packet in packets_of(clips["audio.mp4"], "audio") if packet[0] < Fraction(10, 25)]
    assert packets_of(target, "audio") == expected
    assert "moof" not in boxes_of(target)
