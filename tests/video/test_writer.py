from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdet.errors import OutputError, UsageError
from streamdet.video import SourceInfo, VideoWriter, open_source
from streamdet.video.encoding import ENCODER
from tests.media import boxes_of, make_clip, packets_of, test_picture, times_of
from tests.video.conftest import CLIP_NAMES, shared_videos


def copy(source_path: Path, target: Path, **window: float) -> VideoWriter:
    """Read and write every frame, as a run does."""
    with (
        open_source(source_path, **window) as source,  # type: ignore[arg-type]
        VideoWriter(target, source.info, width=source.info.width, height=source.info.height) as writer,
    ):
        for frame in source:
            writer.write(frame.picture.reformat(format="yuv420p"), frame.pts, frame.time_base)
    return writer


def source_times(path: Path, **window: float) -> list[Fraction]:
    with open_source(path, **window) as source:  # type: ignore[arg-type]
        return [frame.pts * frame.time_base for frame in source]


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def info_of(path: Path, rate: int = 25, size: tuple[int, int] = (64, 48)) -> SourceInfo:
    return SourceInfo(
        name="made",
        path=path / "no such source",
        width=size[0],
        height=size[1],
        codec="h264",
        container="mp4",
        pixel_format="yuv420p",
        average_rate=Fraction(rate),
        time_base=Fraction(1, rate),
        origin_s=Fraction(0),
    )


def picture(index: int, size: tuple[int, int] = (64, 48)) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(test_picture(index, size), format="rgb24").reformat(format="yuv420p")


# time


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


# pictures


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


# audio


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


# names and places


def test_an_existing_file_is_not_overwritten_unasked(clips: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("precious")
    with pytest.raises(UsageError, match="--overwrite"):
        copy(clips["cfr.mp4"], target)
    assert target.read_text() == "precious"
    with (
        open_source(clips["cfr.mp4"]) as source,
        VideoWriter(target, source.info, width=160, height=120, overwrite=True) as writer,
    ):
        assert target.read_text() == "precious", "not touched before there is a frame"
        for frame in source:
            writer.write(frame.picture, frame.pts, frame.time_base)
    assert len(times_of(target)) == 30


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    (tmp_path / "link.mp4").symlink_to(clip)
    (tmp_path / "hard.mp4").hardlink_to(clip)
    with open_source(clip) as source:
        for name in ("in.mp4", "link.mp4", "hard.mp4"):
            with pytest.raises(UsageError, match="source itself"):
                VideoWriter(tmp_path / name, source.info, width=160, height=120, overwrite=True)


@pytest.mark.parametrize("name", ["out.avi", "out", "out.webm", "out.jpg"])
def test_endings_that_can_not_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.m4v, \.mov, \.mkv"):
        VideoWriter(tmp_path / name, info_of(tmp_path), width=64, height=48)


def test_places_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        VideoWriter(tmp_path / "missing" / "out.mp4", info_of(tmp_path), width=64, height=48)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        VideoWriter(tmp_path / "folder.mp4", info_of(tmp_path), width=64, height=48)
    (tmp_path / "locked").mkdir(mode=0o500)
    with contextlib.suppress(OutputError):  # root may write there
        VideoWriter(tmp_path / "locked" / "out.mp4", info_of(tmp_path), width=64, height=48)


def test_a_missing_encoder_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.video.encoding.ENCODER", f"{ENCODER}_missing")
    with pytest.raises(OutputError, match=r"no H\.264 encoder"):
        VideoWriter(tmp_path / "out.mp4", info_of(tmp_path), width=64, height=48)


def test_no_frame_makes_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", info_of(tmp_path), width=64, height=48) as writer:
        pass
    assert not (tmp_path / "out.mp4").exists()
    assert "no frame" in writer.notes[0]
    with pytest.raises(OutputError, match="closed"):
        writer.write(picture(0), 0, Fraction(1, 25))


# ends that are not clean


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_an_exception_leaves_a_playable_file_marked_unfinished(
    clips: dict[str, Path], tmp_path: Path, ending: str
) -> None:
    target = tmp_path / f"out.{ending}"
    with open_source(clips["audio.mp4"]) as source:
        writer = VideoWriter(target, source.info, width=160, height=120)

        def fail_in_the_middle() -> None:
            with writer:
                for frame in source:
                    writer.write(frame.picture, frame.pts, frame.time_base)
                    _ = 1 / (20 - frame.index)

        with pytest.raises(ZeroDivisionError):
            fail_in_the_middle()
    assert times_of(target) == [Fraction(k, 25) for k in range(21)]
    assert len(decoded(target)) == 21
    assert "not finished" in writer.notes[0]
    with open_source(target) as fragment:
        list(fragment)
    assert "unfinished output" in (fragment.ended_early() or "")


def test_a_failing_finish_leaves_the_playable_file(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("streamdet.video.remux._to_disk", full)
    writer = copy(clips["audio.mp4"], tmp_path / "out.mp4")
    assert "no space left" in writer.notes[0]
    assert len(decoded(tmp_path / "out.mp4")) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


WRITE_FOREVER = """
import sys, time
from fractions import Fraction
from pathlib import Path
import av
from streamdet.errors import OutputError
from streamdet.video import VideoWriter, open_source
from tests.media import test_picture

target, source, pause_s = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
with open_source(source) as opened:
    info = opened.info
pictures = [av.VideoFrame.from_ndarray(test_picture(k, (320, 240)), format="rgb24") for k in range(16)]
writer = VideoWriter(target, info, width=320, height=240)
print("ready", flush=True)
try:
    for k in range(100_000):
        writer.write(pictures[k % 16].reformat(format="yuv420p"), k, Fraction(1, 25))
        print(k, flush=True)
        time.sleep(pause_s)
except OutputError as error:
    print("error", error, flush=True)
"""


def start_writing(target: Path, source: Path, pause_s: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(target), str(source), str(pause_s)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("seed", range(3))
def test_kill_9_leaves_a_playable_file(clips: dict[str, Path], tmp_path: Path, seed: int, ending: str) -> None:
    target = tmp_path / f"out.{ending}"
    # 10 frames a second come in: within 2 s of the kill means at most 20 frames are missing
    process = start_writing(target, clips["audio.mp4"], 0.1)
    assert process.stdout is not None
    stop_at = random.Random(seed).randint(8, 24)
    written = 0
    for line in process.stdout:
        if line.strip().isdigit():
            written = int(line) + 1
        if written >= stop_at:
            break
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    times = times_of(target)
    assert len(decoded(target)) == len(times) >= written - 6
    assert times == [Fraction(k, 25) for k in range(len(times))]
    if seed == 0:
        assert len(packets_of(target, "audio")) >= 5


def test_kill_9_before_the_first_frame_leaves_nothing_broken(clips: dict[str, Path], tmp_path: Path) -> None:
    process = start_writing(tmp_path / "out.mp4", clips["cfr.mp4"], 60)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate()
    # at most a header and the first frame
    assert not (tmp_path / "out.mp4").exists() or len(times_of(tmp_path / "out.mp4")) <= 1


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_full_disk_is_one_sentence_and_a_playable_file(clips: dict[str, Path], tmp_path: Path, ending: str) -> None:
    script = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    script += "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n" + WRITE_FOREVER
    target = tmp_path / f"out.{ending}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(target), str(clips["audio.mp4"]), "0"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[-1].startswith(f"error {target} can't be written any further: file too large; free some space")
    written = int(lines[-2]) + 1
    assert written - 8 <= len(decoded(target)) <= written + 1
    assert done.stderr == ""


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
