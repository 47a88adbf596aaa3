"""NVDEC and NVENC: that the CPU takes over where they are missing, and that nothing else changes either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest

from streamdet.errors import SourceError
from streamdet.types import Frame
from streamdet.video import Source, VideoWriter, open_source
from streamdet.video.encoding import ENCODER, choose_encoder, encoder_options
from streamdet.video.hardware import NVENC, why_not_nvenc
from tests.media import damage_packets, make_clip, times_of
from tests.video.reading import assert_accounts, rgb
from tests.video.writing import info_of, picture

HAS_GPU = Path("/dev/nvidiactl").exists()


def read(path: Path, decode: str, **window: float) -> tuple[list[Frame], Source]:
    with open_source(path, decode=decode, **window) as source:  # type: ignore[arg-type]
        frames = list(source)
    return frames, source


def assert_same(path: Path, **window: float) -> Source:
    """Frames, times and counts are the same, whatever decodes; the source that a GPU was asked for."""
    (ours, source), (theirs, expected) = read(path, "gpu", **window), read(path, "cpu", **window)
    assert [(f.index, f.pts, f.time_base, f.damaged) for f in ours] == [
        (f.index, f.pts, f.time_base, f.damaged) for f in theirs
    ]
    assert source.counts == expected.counts
    assert_accounts(source.counts)
    for frame, other in zip(ours, theirs, strict=True):
        assert np.abs(rgb(frame).astype(int) - rgb(other)).mean() < 1
    return source


@pytest.mark.parametrize("window", [{}, {"start_s": 0.5, "end_s": 0.9}, {"every": 3}])
@pytest.mark.parametrize("audio", [None, "aac"])
def test_frames_times_and_counts_are_the_same(tmp_path: Path, audio: str | None, window: dict[str, float]) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size=(320, 240), audio=audio, options={"bf": "2", "g": "12"})
    source = assert_same(clip, **window)
    if not HAS_GPU:
        (note,) = source.notes
        assert note == "decoded on the CPU: NVDEC can't be used (no NVIDIA driver)"


@pytest.mark.gpu
def test_nvdec_decodes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size=(640, 360), options={"bf": "2", "g": "12"})
    source = assert_same(clip)
    assert not source.notes
    assert source.info.pixel_format == "nv12"


@pytest.mark.gpu
def test_nvdec_accounts_for_damage(tmp_path: Path) -> None:
    """As many packets, each decoded or lost: which is the decoder's to say."""
    clip = make_clip(tmp_path / "clip.mp4", size=(640, 360), options={"g": "12"})
    damage_packets(clip, tmp_path / "damaged.mp4", 3, 40)
    _, source = read(tmp_path / "damaged.mp4", "gpu")
    assert_accounts(source.counts)
    assert source.counts.packets == 30


def test_a_codec_that_nvdec_does_not_know(tmp_path: Path) -> None:
    source = assert_same(make_clip(tmp_path / "clip.mkv", codec="ffv1"))
    assert list(source.notes) == ["decoded on the CPU: NVDEC can't be used (it does not know ffv1)"]


def test_pictures_that_nvdec_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg turns to its software decoder unasked: the file is opened anew, with all threads."""
    clip = make_clip(tmp_path / "clip.mp4", size=(320, 240))

    def opened(path: Path) -> tuple[Any, None]:
        return av.open(str(path)), None

    monkeypatch.setattr("streamdet.video.files.open_with_nvdec", opened)
    source = assert_same(clip)
    assert list(source.notes) == ["decoded on the CPU: NVDEC can't be used (it does not take these pictures)"]


def test_a_file_that_is_none_is_told_as_always(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 100)
    with pytest.raises(SourceError, match="is not a video that can be read"):
        open_source(tmp_path / "text.mp4", decode="gpu")


def test_nobody_asks_for_a_gpu_nobody_is_told(tmp_path: Path) -> None:
    _, source = read(make_clip(tmp_path / "clip.mp4"), "cpu")
    assert not source.notes
    assert choose_encoder("cpu", 320, 240, "balanced") == (ENCODER, None)


@pytest.mark.skipif(HAS_GPU, reason="needs a machine without a GPU")
@pytest.mark.parametrize("quality", ["small", "balanced", "high"])
def test_without_nvenc_the_cpu_encodes_and_that_is_told(quality: Any) -> None:
    # not "invalid argument": FFmpeg knows the options, and misses but the driver
    note = "encoded on the CPU: NVENC can't be used (no NVIDIA driver)"
    assert choose_encoder("gpu", 321, 241, quality) == (ENCODER, note)


def test_an_option_that_nvenc_does_not_know_is_noticed() -> None:
    assert why_not_nvenc(320, 240, {"preset": "p99"}) not in (None, "no NVIDIA driver")


def test_a_build_without_nvenc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.video.hardware.NVENC", "h264_nvenc_missing")
    encoder, note = choose_encoder("gpu", 320, 240, "balanced")
    assert (encoder, note) == (ENCODER, "encoded on the CPU: NVENC can't be used (this build of PyAV has none)")


def test_nvenc_is_taken_where_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.video.encoding.why_not_nvenc", lambda width, height, options: None)
    assert choose_encoder("gpu", 320, 240, "balanced") == (NVENC, None)
    qualities = [int(encoder_options(NVENC, quality)["cq"]) for quality in ("small", "balanced", "high")]
    assert qualities == sorted(qualities, reverse=True)
    for encoder in (NVENC, ENCODER):  # no reordering, no waiting: what is written is what was last encoded
        options = encoder_options(encoder, "balanced")
        assert (options["bf"], options["rc-lookahead"], options["forced-idr"]) == ("0", "0", "1")


@pytest.mark.gpu
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_nvenc_writes_every_frame_at_its_time(tmp_path: Path, ending: str) -> None:
    size = (320, 240)
    encoder, note = choose_encoder("gpu", *size, "balanced")
    if note is not None:
        pytest.skip(note)  # GPUs for data centres may have none
    target = tmp_path / f"out.{ending}"
    info = info_of(tmp_path, size=size)
    with VideoWriter(target, info, width=size[0], height=size[1], encoder=encoder) as writer:
        for index in range(60):
            writer.write(picture(index, size), index, info.time_base)
    assert times_of(target) == [index * info.time_base for index in range(60)]
    assert writer.max_drift_s == 0
