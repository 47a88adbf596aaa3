from __future__ import annotations

import os
import random
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdet.errors import SourceError, UsageError
from streamdet.types import Frame
from streamdet.video import Source, SourceCounts, open_source
from streamdet.video.timing import FrameClock
from tests.media import damage_packets, make_clip, packets_of, test_picture, times_of, truncate
from tests.video.conftest import CLIP_NAMES, VFR_MS, shared_videos


def read(path: Path, **window: float) -> tuple[list[Frame], Source]:
    with open_source(path, **window) as source:  # type: ignore[arg-type]
        frames = list(source)
    return frames, source


def assert_accounts(counts: SourceCounts) -> None:
    assert counts.packets == counts.decoded + counts.lost + counts.hidden
    assert counts.decoded == counts.yielded + counts.skipped


def rgb(frame: Frame) -> np.ndarray:
    return frame.picture.to_ndarray(format="rgb24")


# whole files


@pytest.mark.parametrize("name", CLIP_NAMES)
def test_every_picture_comes_out_at_its_own_time(clips: dict[str, Path], name: str) -> None:
    frames, source = read(clips[name])
    counts = source.counts
    assert_accounts(counts)
    assert (counts.yielded, counts.lost, counts.damaged_marked, counts.read_errors) == (30, 0, 0, 0)
    assert [frame.index for frame in frames] == list(range(30))
    assert source.ended_early() is None
    times = [frame.pts * frame.time_base for frame in frames]
    if name == "raw.h264":
        assert counts.times_repaired == 30
        assert times == [Fraction(k, 25) for k in range(30)]
    else:
        assert counts.times_repaired == 0
        assert times == times_of(clips[name])
    size = (161, 121) if "odd" in name else (160, 120)
    assert {(frame.width, frame.height) for frame in frames} == {size} == {(source.info.width, source.info.height)}
    assert source.info.has_audio == bool(
        name in ("audio.mp4", "audio.mkv", "pcm.mov", "transport.ts", "odd_vp9.webm", "mpeg4.avi")
    )
    error = np.abs(rgb(frames[7]).astype(int) - test_picture(7, size)).mean()
    assert error < 40, "this is not picture 7"


def test_variable_rate_is_kept(clips: dict[str, Path]) -> None:
    frames, _ = read(clips["vfr.mp4"])
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(ms, 1000) for ms in VFR_MS]


def test_info_says_what_the_file_is(clips: dict[str, Path]) -> None:
    with open_source(str(clips["cfr.mp4"])) as source:
        info = source.info
    assert (info.name, info.codec, info.pixel_format, info.rotation) == ("cfr.mp4", "h264", "yuv420p", 0)
    assert (info.average_rate, info.declared_frames, info.declared_duration_s) == (25, 30, 1.2)
    assert info.expected_frames == 30
    assert info.origin_s == 0


def test_a_name_that_looks_like_a_protocol(clips: dict[str, Path]) -> None:
    frames, _ = read(clips["12:30 ünï%d.mp4"])
    assert len(frames) == 30


def test_packets_hidden_by_an_edit_list_are_told_from_lost_ones(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "cut.mp4", pts=[40 * k - 200 for k in range(30)], time_base=Fraction(1, 1000))
    frames, source = read(clip)
    assert_accounts(source.counts)
    assert (len(frames), source.counts.hidden, source.counts.lost) == (25, 5, 0)
    assert frames[0].pts == 0
    assert source.ended_early() is None


# orientation


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_pictures_come_out_upright_as_in_opencv(tmp_path: Path, degrees: int, codec: str) -> None:
    pixel_format = "yuv420p" if codec == "libx264" else "yuvj422p"
    clip = make_clip(
        tmp_path / "turned.mov", frames=3, codec=codec, rotation=degrees, pixel_format=pixel_format, options={"bf": "0"}
    )
    capture = cv2.VideoCapture(str(clip))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    _, expected_bgr = capture.read()
    capture.release()
    frames, source = read(clip)
    assert source.info.rotation == 360 - degrees
    assert (source.info.width, source.info.height) == (frames[0].width, frames[0].height)
    assert rgb(frames[0]).shape == expected_bgr.shape
    assert (
        np.abs(rgb(frames[0])[..., ::-1].astype(int) - expected_bgr).mean() < 10
    )  # wrongly turned noise differs by 50
    assert frames[0].picture.rotation == 0, "the upright picture must not ask to be turned again"
    assert [frame.pts * frame.time_base for frame in frames] == times_of(clip)


# damage


def test_damaged_packets_are_passed_over_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=240, size=(320, 240), options={"g": "60", "crf": "18", "bf": "0"})
    damage_packets(whole, tmp_path / "damaged.mp4", 9, 200, seed=3)
    frames, source = read(tmp_path / "damaged.mp4")
    assert_accounts(source.counts)
    assert (source.counts.packets, len(frames), source.counts.lost) == (240, 231, 9)
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


@pytest.mark.parametrize("name", ["cfr.mp4", "transport.ts", "audio.mkv", "mpeg4.avi", "odd_vp9.webm"])
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


# the end


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


# windows


@pytest.mark.parametrize(
    "name", ["cfr.mp4", "b_frames.mp4", "vfr.mkv", "transport.ts", "late.ts", "mpeg4.avi", "raw.h264", "hevc.mp4"]
)
def test_start_and_end_are_exact(clips: dict[str, Path], name: str) -> None:
    everything, _ = read(clips[name])
    origin = everything[0].pts * everything[0].time_base
    for start_s, end_s in ((0.4, 0.8), (0.0, 0.5), (0.7, None), (None, 0.04), (0.41, 0.45)):
        wanted = [
            frame.pts
            for frame in everything
            if Fraction(str(start_s or 0)) <= frame.pts * frame.time_base - origin
            and (end_s is None or frame.pts * frame.time_base - origin < Fraction(str(end_s)))
        ]
        if not wanted:
            continue
        frames, source = read(clips[name], start_s=start_s, end_s=end_s)  # type: ignore[arg-type]
        assert [frame.pts for frame in frames] == wanted
        assert [frame.index for frame in frames] == list(range(len(wanted)))
        assert_accounts(source.counts)
        assert source.counts.lost == 0
        assert source.ended_early() is None
        assert np.array_equal(rgb(frames[0]), rgb(next(f for f in everything if f.pts == wanted[0])))


def test_seeking_reads_only_what_is_needed(clips: dict[str, Path]) -> None:
    _, source = read(clips["cfr.mp4"], start_s=1.0)
    assert source.counts.packets < 30
    assert source.counts.yielded == 5


def test_every(clips: dict[str, Path]) -> None:
    frames, source = read(clips["cfr.mp4"], every=7)
    assert [frame.index for frame in frames] == [0, 7, 14, 21, 28]
    assert (source.counts.yielded, source.counts.skipped) == (5, 25)
    assert source.info.expected_frames == 5
    assert_accounts(source.counts)


@pytest.mark.parametrize(
    "window",
    [{"start_s": -1.0}, {"start_s": 2.0, "end_s": 1.0}, {"end_s": 0.0}, {"every": 0}, {"start_s": float("nan")}],
)
def test_windows_without_sense_are_refused(clips: dict[str, Path], window: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="--"):
        open_source(clips["cfr.mp4"], **window)  # type: ignore[arg-type]


def test_a_window_behind_the_end_is_an_error(clips: dict[str, Path]) -> None:
    with open_source(clips["cfr.mp4"], start_s=60) as source, pytest.raises(SourceError, match="no picture"):
        list(source)


# what can't be read


def test_zero_frames(tmp_path: Path) -> None:
    for name in ("zero.mp4", "zero.mkv"):
        with pytest.raises(SourceError, match=r"no picture in .*zero"):
            open_source(make_clip(tmp_path / name, frames=0))


def test_only_undecodable_packets(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=12)
    content = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pos:
                content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    clip.write_bytes(content)
    with pytest.raises(SourceError, match="none of its 12 packets"):
        open_source(clip)


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is not a video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "noise.jpg").write_bytes(b"\xff\xd8\xffnoise")
    make_clip(tmp_path / "whole.mp4")
    truncate(tmp_path / "whole.mp4", tmp_path / "no_index.mp4", 0.8)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        container.add_stream("aac", rate=48000)
        container.start_encoding()
    for name, said in {
        "text.mp4": "not a video",
        "empty.mp4": "0 bytes",
        "missing.mp4": "no file",
        "folder": "no image",
        "noise.jpg": "not an image",
        "no_index.mp4": "moov",
        "sound.mp4": "no video track|not a video",
        "whole.mp4/x": "can't be opened",
    }.items():
        with pytest.raises(SourceError, match=said) as error:
            open_source(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    with pytest.raises(SourceError, match="device"):
        open_source("/dev/null")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=1)
    clip.chmod(0)
    with pytest.raises(SourceError, match="may not be read"):
        open_source(clip)


@pytest.mark.parametrize(
    "url",
    ["rtsp://user:s3cr3t@host/live", "http://u:s3cr3t@p/s3cr3t@host:80/?token=s3cr3t", "RTSPS://a:s3/cr3t:s3cr3t@host"],
)
def test_live_streams_are_refused_without_the_password(url: str) -> None:
    with pytest.raises(UsageError, match="://host") as error:
        open_source(url)
    assert "cr3t" not in str(error.value)


def test_cameras_are_refused() -> None:
    with pytest.raises(UsageError, match="cameras"):
        open_source("0")


# images


def save(path: Path, value: int, size: tuple[int, int] = (40, 30)) -> None:
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def test_a_folder_gives_its_images_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1, 33):
        save(tmp_path / f"shot{number}.png", number, (40 + number, 30))
    (tmp_path / "shot9.png").write_bytes(b"noise")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"noise")
    frames, source = read(tmp_path)
    assert [int(rgb(frame)[0, 0, 0]) for frame in frames] == [1, 2, 10, 33]
    assert [(frame.pts, frame.index) for frame in frames] == [(0, 0), (1, 1), (3, 2), (4, 3)]
    assert {frame.time_base for frame in frames} == {Fraction(1)}
    assert [frame.width for frame in frames] == [41, 42, 50, 73]
    assert source.counts.unreadable == ["shot9.png"]
    assert (source.counts.packets, source.counts.decoded, source.counts.lost) == (5, 4, 1)
    assert_accounts(source.counts)
    assert source.ended_early() is None
    frames, source = read(tmp_path, start_s=1, end_s=4, every=2)
    assert [frame.pts for frame in frames] == [1, 3]


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tiff"])
def test_an_image_is_a_source_of_one_frame(tmp_path: Path, ending: str) -> None:
    save(tmp_path / f"still.{ending}", 99)
    frames, source = read(tmp_path / f"still.{ending}")
    assert len(frames) == 1
    assert (source.info.width, source.info.height, source.info.container) == (40, 30, "image")
    assert abs(int(rgb(frames[0])[5, 5, 0]) - 99) <= 2


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    save(tmp_path / "plain.jpg", 120, (40, 30))
    content = (tmp_path / "plain.jpg").read_bytes()
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    turned = content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]
    (tmp_path / "turned.jpg").write_bytes(turned)
    frames, _ = read(tmp_path / "turned.jpg")
    assert (frames[0].width, frames[0].height) == (30, 40)


def test_a_cut_off_jpeg_is_marked_or_lost(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), noise)
    cv2.imwrite(str(tmp_path / "b.jpg"), noise)
    truncate(tmp_path / "a.jpg", tmp_path / "b.jpg", 0.5)
    frames, source = read(tmp_path)
    assert source.counts.lost + source.counts.damaged_marked == 1
    assert not frames[0].damaged


# times


def test_the_clock_makes_up_as_little_as_it_can() -> None:
    def stamps(*pts: int | None) -> tuple[list[int], int]:
        clock = FrameClock(Fraction(1, 1000), Fraction(25))
        return [clock.stamp(p) for p in pts], clock.repaired

    assert stamps(5, 45, 85) == ([5, 45, 85], 0)
    assert stamps(None, None, None) == ([0, 40, 80], 3)
    assert stamps(0, 40, 40, 80) == ([0, 40, 41, 80], 1)
    assert stamps(0, 40, None, 120) == ([0, 40, 80, 120], 1)
    assert stamps(100_000, 0, 40) == ([100_000, 100_040, 100_080], 2)
    ntsc = FrameClock(Fraction(1, 1000), Fraction(30000, 1001))
    assert [ntsc.stamp(None) for _ in range(3001)][-1] == round(3000 * 1001 / 30)


# real clips


@pytest.mark.shared
@pytest.mark.parametrize("path", shared_videos() or [None], ids=lambda path: path.name if path else "missing")
def test_real_clips(path: Path | None) -> None:
    if path is None:
        pytest.skip("no ../shared/videos")
    with open_source(path) as source:
        count, last = 0, None
        for frame in source:
            assert last is None or frame.pts > last
            count, last = count + 1, frame.pts
    assert_accounts(source.counts)
    assert (source.counts.lost, source.counts.damaged_marked, source.ended_early()) == (0, 0, None)
    assert count == len(packets_of(path)) or path.suffix == ".h264"
