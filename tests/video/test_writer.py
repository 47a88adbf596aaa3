"""Times and pictures of the written file."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdet.video import VideoWriter
from tests.media import boxes_of, make_clip, packets_of, test_picture, times_of
from tests.video.conftest import CLIP_NAMES, shared_videos
from tests.video.writing import copy, decoded, info_of, picture, source_times


@pytest.mark.parametrize(
    ("name", "ending"), [*((name, "mp4") for name in CLIP_NAMES), ("late.ts", "mov"), ("vfr.mp4", "m4v")]
)
def test_frames_in_are_frames_out_without_drift(clips: dict[str, Path], tmp_path: Path, name: str, ending: str) -> None:
    target = tmp_path / f"out.{ending}"
    writer = copy(clips[name], target)
    expected = [moment + writer.shift_s for moment in source_times(clips[name])]
    assert times_of(target) == expected
    assert len(decoded(target)) == writer.frames == 30
    assert writer.max_drift_s == 0
    assert writer.shift_s == (1 if name == "negative.ts" else 0)
    boxes = boxes_of(target)
    assert "moof" not in boxes
    assert boxes.index("moov") < boxes.index("mdat")
    with av.open(str(target)) as container:
        assert "comment" not in container.metadata
        # FFmpeg's name for yuv420p of full range is yuvj420p
        expected_format = "yuvj420p" if name == "odd_mjpeg.avi" else "yuv420p"
        assert container.streams.video[0].codec_context.pix_fmt == expected_format
        assert container.streams.video[0].codec_context.codec.canonical_name == "h264"
    assert list(tmp_path.iterdir()) == [target], "nothing is left beside the file"


@pytest.mark.parametrize("name", ["cfr.mp4", "ntsc.mp4", "vfr.mkv", "late.ts", "negative.ts", "transport.ts"])
def test_matroska_rounds_to_milliseconds_and_says_so(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    target = tmp_path / "out.mkv"
    writer = copy(clips[name], target)
    expected = [moment + writer.shift_s for moment in source_times(clips[name])]
    drift = max(abs(a - b) for a, b in zip(times_of(target), expected, strict=True))
    assert drift == writer.max_drift_s <= Fraction(1, 2000)
    assert (writer.max_drift_s == 0) == (name in ("cfr.mp4", "vfr.mkv", "negative.ts", "transport.ts"))
    with av.open(str(target)) as container:
        assert "COMMENT" not in {key.upper() for key in container.metadata}


def test_frames_closer_than_a_millisecond_stay_in_order_in_matroska(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mkv", info_of(tmp_path), width=64, height=48) as writer:
        for k in range(6):
            writer.write(picture(k), k, Fraction(1, 5000))
    assert times_of(tmp_path / "out.mkv") == [Fraction(k, 1000) for k in range(6)]
    assert writer.max_drift_s == Fraction(4, 1000)


@pytest.mark.parametrize(("first_s", "shift_s"), [(-3, 3), (Fraction(-1, 5), 1), (2, 0), (7, -7), (95443, -95443)])
def test_a_beginning_far_from_zero_is_moved_by_whole_seconds(tmp_path: Path, first_s: Fraction, shift_s: int) -> None:
    target = tmp_path / "out.mp4"
    with VideoWriter(target, info_of(tmp_path), width=64, height=48) as writer:
        for k in range(4):
            writer.write(picture(k), int(first_s * 90000) + 3003 * k, Fraction(1, 90000))
    assert writer.shift_s == shift_s
    assert times_of(target) == [first_s + shift_s + Fraction(3003 * k, 90000) for k in range(4)]
    assert bool(writer.notes) == bool(shift_s)


def test_the_last_frame_keeps_its_duration(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=5, rate=10)
    copy(clip, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        assert (stream.duration or 0) * stream.time_base == Fraction(1, 2)
        assert stream.average_rate == 10


def test_a_window_begins_near_zero_with_the_audio_of_the_window(clips: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    copy(clips["audio.mp4"], target, start_s=0.4, end_s=0.8)
    assert times_of(target) == [Fraction(k, 25) for k in range(10, 20)]
    inside = [(t, data) for t, data in packets_of(clips["audio.mp4"], "audio") if Fraction(2, 5) <= t < Fraction(4, 5)]
    assert packets_of(target, "audio") == inside


def test_colour_tags_are_carried_over(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=3, colors=(1, 1, 1, 1))
    copy(clip, tmp_path / "out.mp4")
    frame = decoded(tmp_path / "out.mp4")[0]
    assert (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)


def test_odd_sizes_get_a_copy_of_the_edge(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with VideoWriter(target, info_of(tmp_path), width=63, height=47, quality="high") as writer:
        for k in range(3):
            writer.write(picture(k, (63, 47)), k, Fraction(1, 25))
    luma = decoded(target)[0].to_ndarray(format="gray")
    assert luma.shape == (48, 64)
    assert np.abs(luma[:, -1].astype(int) - luma[:, -2]).mean() < 12
    assert np.abs(luma[-1].astype(int) - luma[-2]).mean() < 12


def test_another_size_is_fitted_between_black_bars(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    white = av.VideoFrame.from_ndarray(np.full((100, 50, 3), 255, np.uint8), format="rgb24").reformat(format="yuv420p")
    with VideoWriter(target, info_of(tmp_path), width=64, height=48) as writer:
        writer.write(picture(0), 0, Fraction(1, 25))
        writer.write(white, 1, Fraction(1, 25))
    luma = decoded(target)[1].to_ndarray(format="gray")
    assert luma.shape == (48, 64)
    assert luma[:, 32].min() > 200
    assert luma[:, :16].max() < 40
    assert luma[:, -16:].max() < 40


def test_a_folder_of_images_of_all_sizes_becomes_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in enumerate([(65, 49), (40, 80), (64, 48)]):
        assert cv2.imwrite(str(folder / f"{number}.png"), test_picture(number, size))
    (folder / "1b.png").write_bytes(b"noise")
    writer = copy(folder, tmp_path / "out.mp4")
    assert times_of(tmp_path / "out.mp4") == [0, 1, 3]
    assert {(frame.width, frame.height) for frame in decoded(tmp_path / "out.mp4")} == {(66, 50)}
    assert writer.max_drift_s == 0


def test_a_key_frame_every_two_seconds_whatever_the_rate(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    moments_ms = [int(k**1.5 * 30) for k in range(60)]
    with VideoWriter(target, info_of(tmp_path), width=64, height=48) as writer:
        for k, ms in enumerate(moments_ms):
            frame = picture(k)
            frame.pict_type = av.video.frame.PictureType.B  # as left behind by a decoder
            writer.write(frame, ms, Fraction(1, 1000))
    keys = [frame.pts * frame.time_base for frame in decoded(target) if frame.key_frame]
    largest_gap = max(b - a for a, b in pairwise(moments_ms)) / 1000
    assert all(b - a <= 2 + largest_gap for a, b in pairwise(keys))
    assert 4 <= len(keys) <= 9


@pytest.mark.shared
@pytest.mark.parametrize("path", shared_videos() or [None], ids=lambda path: path.name if path else "missing")
def test_real_clips(path: Path | None, tmp_path: Path) -> None:
    if path is None:
        pytest.skip("no ../shared/videos")
    target = tmp_path / "out.mp4"
    writer = copy(path, target, end_s=3.0)
    assert times_of(target) == source_times(path, end_s=3.0)
    assert writer.notes == []
    with av.open(str(path)) as container:
        has_audio = bool(container.streams.audio)
    if has_audio:
        assert packets_of(target, "audio") == [packet for packet in packets_of(path, "audio") if packet[0] < 3]
