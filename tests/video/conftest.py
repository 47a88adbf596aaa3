from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from tests.media import AV1_FAST, INTERLACED, VP9_FAST, X265_QUIET, make_clip

SHARED_VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
AS_IS = {"avoid_negative_ts": "disabled"}
VFR_MS = [0, *(sum([33, 200, 33][k % 3] for k in range(n)) for n in range(1, 30))]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small clip of 30 pictures (unless its name says otherwise) of every kind that must come out whole."""
    folder = tmp_path_factory.mktemp("clips")
    ms, mpeg = Fraction(1, 1000), Fraction(1, 90000)
    return {
        "cfr.mp4": make_clip(folder / "cfr.mp4", options={"g": "10"}),
        "ntsc.mp4": make_clip(folder / "ntsc.mp4", rate=Fraction(30000, 1001)),
        "vfr.mp4": make_clip(folder / "vfr.mp4", pts=VFR_MS, time_base=ms),
        "vfr.mkv": make_clip(folder / "vfr.mkv", pts=VFR_MS, time_base=ms),
        "b_frames.mp4": make_clip(folder / "b_frames.mp4", options={"bf": "3", "g": "12"}),
        "audio.mp4": make_clip(folder / "audio.mp4", audio="aac"),
        "audio.mkv": make_clip(folder / "audio.mkv", audio="aac", options={"bf": "2"}),
        "pcm.mov": make_clip(folder / "pcm.mov", audio="pcm_s16le"),
        "hevc.mp4": make_clip(folder / "hevc.mp4", codec="libx265", options=X265_QUIET),
        "av1.mp4": make_clip(folder / "av1.mp4", codec="libsvtav1", options={**AV1_FAST, "g": "10"}),
        "vfr_av1.mkv": make_clip(folder / "vfr_av1.mkv", codec="libsvtav1", pts=VFR_MS, time_base=ms, options=AV1_FAST),
        "odd_av1.webm": make_clip(
            folder / "odd_av1.webm", codec="libsvtav1", size=(161, 121), audio="libopus", options=AV1_FAST
        ),
        "interlaced.ts": make_clip(folder / "interlaced.ts", options=INTERLACED),
        "interlaced_mpeg2.ts": make_clip(folder / "interlaced_mpeg2.ts", codec="mpeg2video", options=INTERLACED),
        "transport.ts": make_clip(folder / "transport.ts", audio="aac", container_options={"muxdelay": "0.7"}),
        "late.ts": make_clip(
            folder / "late.ts", pts=[126_003 + 3600 * k for k in range(30)], time_base=mpeg, container_options=AS_IS
        ),
        "negative.ts": make_clip(
            folder / "negative.ts", pts=[3600 * k - 18_000 for k in range(30)], time_base=mpeg, container_options=AS_IS
        ),
        "odd_vp9.webm": make_clip(
            folder / "odd_vp9.webm", codec="libvpx-vp9", size=(161, 121), audio="libopus", options=VP9_FAST
        ),
        "hidden_vp8.webm": make_clip(
            folder / "hidden_vp8.webm",
            codec="libvpx",
            options={"cpu-used": "4", "lag-in-frames": "16", "auto-alt-ref": "1", "b": "300k"},
        ),
        "mpeg4.avi": make_clip(folder / "mpeg4.avi", codec="mpeg4", audio="libmp3lame"),
        "msmpeg4.avi": make_clip(folder / "msmpeg4.avi", codec="msmpeg4"),
        "odd_mjpeg.avi": make_clip(folder / "odd_mjpeg.avi", codec="mjpeg", size=(161, 121), pixel_format="yuvj420p"),
        "raw.h264": make_clip(folder / "raw.h264", options={"bf": "2"}),
        "fragmented.mp4": make_clip(
            folder / "fragmented.mp4", container_options={"movflags": "frag_keyframe+empty_moov"}, options={"g": "8"}
        ),
        "12:30 ünï%d.mp4": make_clip(folder / "12:30 ünï%d.mp4"),
    }


CLIP_NAMES = (
    "cfr.mp4",
    "ntsc.mp4",
    "vfr.mp4",
    "vfr.mkv",
    "b_frames.mp4",
    "audio.mp4",
    "audio.mkv",
    "pcm.mov",
    "hevc.mp4",
    "av1.mp4",
    "vfr_av1.mkv",
    "odd_av1.webm",
    "interlaced.ts",
    "interlaced_mpeg2.ts",
    "transport.ts",
    "late.ts",
    "negative.ts",
    "odd_vp9.webm",
    "hidden_vp8.webm",
    "mpeg4.avi",
    "msmpeg4.avi",
    "odd_mjpeg.avi",
    "raw.h264",
    "fragmented.mp4",
)


def shared_videos() -> list[Path]:
    """The real clips beside the checkout; required in CI, else an empty list where they are missing."""
    paths = sorted(path for path in SHARED_VIDEOS.glob("*") if path.suffix != ".md")
    if not paths and os.environ.get("CI"):
        raise FileNotFoundError(f"CI must have the real clips in {SHARED_VIDEOS}")
    return paths
