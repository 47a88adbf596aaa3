"""What is no source, and says so."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest

from streamdet.errors import SourceError, UsageError
from streamdet.video import open_source
from tests.media import make_clip, truncate


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
