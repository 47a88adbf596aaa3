"""Names and places of outputs."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import pytest

from streamdet.errors import OutputError, UsageError
from streamdet.video import VideoWriter, open_source
from streamdet.video.encoding import ENCODER
from tests.media import make_clip, times_of
from tests.video.writing import copy, info_of, picture


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
