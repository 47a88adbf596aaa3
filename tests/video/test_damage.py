"""Damaged files, and files that were cut off."""

from __future__ import annotations

import os
import random
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media import damage_packets, make_clip, packets_of, times_of, truncate
from tests.video.reading import assert_accounts, read


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, size, keys = tmp_path_factory.mktemp("long"), (320, 240), {"g": "60", "crf": "18"}
    x265 = {"x265-params": "log-level=none:keyint=60", "crf": "24"}
    return {
        "h264": make_clip(folder / "h264.mp4", frames=240, size=size, options={**keys, "bf": "0"}),
        "b_frames": make_clip(folder / "b_frames.mp4", frames=240, size=size, options={**keys, "bf": "3"}),
        "hevc": make_clip(folder / "hevc.mp4", frames=240, size=size, codec="libx265", options=x265),
    }


@pytest.mark.parametrize("codec", ["h264", "b_frames", "hevc"])
@pytest.mark.parametrize(("offset", "seed"), [*((0, seed) for seed in range(8)), (4, 7), (4, 11), (4, 14)])
def test_only_damaged_packets_are_lost(
    long_clips: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    codec: str,
    offset: int,
    seed: int,
) -> None:
    # how many threads decode must not matter
    monkeypatch.setattr("os.cpu_count", lambda: (1, 2, 4, 8)[seed % 4])
    whole = long_clips[codec]
    numbers = damage_packets(
        whole, tmp_path / "damaged.mp4", 9, 100 if codec == "hevc" else 200, seed=seed, offset=offset
    )
    damaged = [packets_of(whole)[number][0] for number in numbers]
    frames, source = read(tmp_path / "damaged.mp4")
    assert_accounts(source.counts)
    assert [pts * source.info.time_base for pts in source.counts.lost_pts if pts is not None] == damaged
    times = [frame.pts * frame.time_base for frame in frames]
    assert times == [time for time in times_of(whole) if time not in damaged]
    assert len(times) == 231
    assert source.ended_early() is None


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_damage_the_account_is_exact(tmp_path: Path, seed: int) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=90, size=(320, 240), options={"g": "30", "crf": "18", "bf": "2"})
    damage_packets(whole, tmp_path / "damaged.mp4", 9, 120, seed=seed)
    frames, source = read(tmp_path / "damaged.mp4")
    assert_accounts(source.counts)
    assert source.counts.packets == 90
    assert 30 <= len(frames) == source.counts.decoded <= 90
    assert {frame.pts * frame.time_base for frame in frames} <= set(times_of(whole))


def test_mended_pictures_are_marked(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=120, size=(320, 240), options={"g": "60", "crf": "18", "bf": "0"})
    damaged = damage_packets(whole, tmp_path / "damaged.mp4", 5, 200, offset=10)
    frames, source = read(tmp_path / "damaged.mp4")
    assert [frame.index for frame in frames if frame.damaged] == damaged
    assert (source.counts.damaged_marked, source.counts.lost) == (5, 0)


def test_lost_hevc_packets_mark_what_follows_instead_of_a_freeze(tmp_path: Path) -> None:
    whole = make_clip(
        tmp_path / "whole.mp4",
        frames=60,
        codec="libx265",
        options={"x265-params": "log-level=none:keyint=60:bframes=0"},
    )
    with av.open(str(whole)) as source, av.open(str(tmp_path / "gaps.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and number != 20:
                packet.stream = stream
                target.mux(packet)
    frames, read_source = read(tmp_path / "gaps.mp4")
    assert len(frames) == 59
    assert read_source.counts.damaged_marked == sum(frame.damaged for frame in frames) >= 30
    assert not any(frame.damaged for frame in frames[:20])


def test_healthy_pictures_behind_damage_at_the_end_are_kept(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=40, size=(320, 240), options={"g": "40", "crf": "18", "bf": "0"})
    content = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for number in (35, 37):
        position, size = packets[number]
        assert position is not None
        content[position : position + min(200, size)] = random.Random(3).randbytes(min(200, size))
    (tmp_path / "damaged.mp4").write_bytes(content)
    frames, source = read(tmp_path / "damaged.mp4")
    assert_accounts(source.counts)
    assert [frame.pts // 512 for frame in frames] == [k for k in range(40) if k not in (35, 37)]


def test_damage_outside_the_video_does_not_matter(clips: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(clips["audio.mp4"].read_bytes())
    with av.open(str(clips["audio.mp4"])) as container:
        for packet in container.demux(audio=0):
            if packet.size and packet.pos:
                content[packet.pos : packet.pos + packet.size] = os.urandom(packet.size)
    (tmp_path / "noise.mp4").write_bytes(content)
    frames, source = read(tmp_path / "noise.mp4")
    assert (len(frames), source.counts.lost, source.counts.damaged_marked) == (30, 0, 0)


@pytest.mark.parametrize("name", ["cfr.mp4", "transport.ts", "audio.mkv", "mpeg4.avi", "odd_vp9.webm", "av1.mp4"])
def test_noise_in_mid_file_kills_nothing_before_or_behind(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    content = bytearray(clips[name].read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = random.Random(5).randbytes(300)
    target = tmp_path / name
    target.write_bytes(content)
    frames, source = read(target)
    assert_accounts(source.counts)
    # Matroska finds its way again at the next cluster only, and this clip has one: then the loss is told
    assert len(frames) >= 15 or source.ended_early()


def test_a_cut_off_mp4_says_so(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", container_options={"movflags": "faststart"})
    frames, source = read(truncate(whole, tmp_path / "cut.mp4", 0.6))
    assert_accounts(source.counts)
    assert 0 < len(frames) < 30
    early = source.ended_early()
    assert early is not None
    assert "of 30 pictures" in early
    assert source.info.declared_frames == 30


@pytest.mark.parametrize("name", ["audio.mkv", "vfr.mkv", "odd_vp9.webm", "mpeg4.avi"])
def test_other_cut_off_files_say_so(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    frames, source = read(truncate(clips[name], tmp_path / name, 0.6))
    assert_accounts(source.counts)
    assert 0 < len(frames) < 30
    assert "cut off" in (source.ended_early() or "")


def test_audio_longer_than_the_video_is_no_early_end(tmp_path: Path) -> None:
    for name in ("long.mp4", "long.mkv", "long.avi"):
        long = make_clip(tmp_path / name, frames=10, audio="libmp3lame")
        with av.open(str(long)) as short, av.open(str(tmp_path / f"more_{name}"), "w") as target:
            streams = {s.index: target.add_stream_from_template(s, opaque=True) for s in short.streams}
            for packet in short.demux():
                if packet.size and (packet.stream.type == "audio" or (packet.pts or 0) * packet.time_base < 0.2):
                    packet.stream = streams[packet.stream_index]
                    target.mux(packet)
        frames, source = read(tmp_path / f"more_{name}")
        assert len(frames) in (4, 5, 6)
        assert source.ended_early() is None


def test_a_fragment_of_ours_is_never_taken_for_a_whole(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "f.mp4"), "w", container_options={"movflags": "frag_keyframe+empty_moov"}) as container:
        container.metadata["comment"] = "streamdet: not finished"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 64  # type: ignore[union-attr]
        for k in range(5):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))  # type: ignore[union-attr,arg-type]
        container.mux(stream.encode(None))  # type: ignore[union-attr]
    frames, source = read(tmp_path / "f.mp4")
    assert len(frames) == 5
    assert "unfinished output" in (source.ended_early() or "")


@pytest.mark.parametrize("options", [{"bf": "3"}, {"bf": "0"}])
def test_files_joined_end_to_end_are_whole(tmp_path: Path, options: dict[str, str]) -> None:
    part = make_clip(tmp_path / "part.ts", frames=30, options=options).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    frames, source = read(tmp_path / "joined.ts")
    assert_accounts(source.counts)
    assert (len(frames), source.counts.lost, source.counts.damaged_marked) == (60, 0, 0)


def test_without_room_for_a_second_attempt_the_account_is_still_exact(
    long_clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamdet.video.decoding.MAX_KEPT_BYTES", 10_000)
    damage_packets(long_clips["h264"], tmp_path / "damaged.mp4", 9, 200, seed=1)
    frames, source = read(tmp_path / "damaged.mp4")
    assert_accounts(source.counts)
    assert 9 < source.counts.lost == 240 - len(frames)
