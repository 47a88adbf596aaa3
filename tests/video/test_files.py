"""Whole video files: every picture, upright, at its time; and parts of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdet.errors import SourceError, UsageError
from streamdet.video import open_source
from tests.media import make_clip, packets_of, test_picture, times_of
from tests.video.conftest import CLIP_NAMES, VFR_MS, shared_videos
from tests.video.reading import assert_accounts, read, rgb


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
        name in ("audio.mp4", "audio.mkv", "pcm.mov", "transport.ts", "odd_vp9.webm", "odd_av1.webm", "mpeg4.avi")
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


@pytest.mark.parametrize(
    "name",
    ["cfr.mp4", "b_frames.mp4", "vfr.mkv", "transport.ts", "late.ts", "mpeg4.avi", "raw.h264", "hevc.mp4", "av1.mp4"],
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


@pytest.mark.parametrize("space", [8, 10, 13])
def test_pictures_in_colours_that_no_scaler_knows_can_be_converted(tmp_path: Path, space: int) -> None:
    path = tmp_path / "odd.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = space
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
        assert int(picture.colorspace) == space
        with pytest.raises(OSError, match="not supported"):
            picture.reformat(format="gbrp")
    with open_source(path) as source:
        greys = [frame.picture.reformat(format="gbrp").to_ndarray().mean() for frame in source]
    assert greys == pytest.approx([130, 130, 130], abs=2)
