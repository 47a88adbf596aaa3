"""`streamdet probe`: what it finds out about files and cameras, and how it fails."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.cli.conftest import Streamdet
from tests.live_servers.clip import make_clip as make_live_clip
from tests.live_servers.rtsp import RtspServer
from tests.live_servers.web import HlsServer, MjpegServer
from tests.media import damage_packets, make_clip
from tests.threads import one_torch_thread as one_torch_thread


@pytest.fixture
def look(streamdet: Streamdet, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Probes a source with a model of milliseconds, and returns the JSON."""
    monkeypatch.setattr("streamdet.cli.probe.TRIAL_S", 0.01)

    def call(source: str | Path, *arguments: str) -> dict[str, Any]:
        outcome = streamdet("probe", source, "--model", model_file, "--json", *arguments)
        assert outcome.exit_code == 0, outcome.err
        return dict(json.loads(outcome.out))

    return call


def test_a_file(look: Any, tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "clip.mp4", frames=60, rate=20, size=(320, 240), audio="aac", rotation=90, options={"g": "15"}
    )
    found = look(path)
    assert found["source"] == str(path)
    stream, rhythm = found["stream"], found["rhythm"]
    assert (stream["codec"], stream["width"], stream["height"], stream["rotation"]) == ("h264", 240, 320, 270)
    assert stream["declared_fps"] == 20
    assert stream["audio"] == ["aac, 48000 Hz, mono"]
    assert rhythm["fps"] == pytest.approx(20)
    assert (rhythm["irregular_share"], rhythm["key_interval_frames"], rhythm["jitter_p95_s"]) == (0, 15, None)
    assert (found["decoding"]["pictures"], found["decoding"]["lost"]) == (60, 0)
    assert found["detection"]["input_size_wh"] == [96, 128]
    assert found["capacity"]["limit"] in ("network", "decoding")
    assert found["capacity"]["cores"] >= 1


def test_only_the_asked_seconds_of_a_file_are_read(look: Any, tmp_path: Path) -> None:
    found = look(make_clip(tmp_path / "clip.mkv", frames=100, rate=25), "--seconds", "1")
    assert found["rhythm"]["packets"] in range(24, 30)  # B-frames come out of order


def test_uneven_times_and_damage(look: Any, tmp_path: Path) -> None:
    pts = [40 * n + (15 * (n % 2)) for n in range(40)]
    uneven = make_clip(tmp_path / "uneven.mkv", frames=40, pts=pts, time_base=Fraction(1, 1000))
    found = look(uneven)
    assert found["rhythm"]["irregular_share"] == pytest.approx(0.5, abs=0.05)  # 55 and 25 ms in turn
    assert found["rhythm"]["largest_gap_s"] == pytest.approx(0.055)
    whole = make_clip(tmp_path / "whole.mp4", frames=40)
    damage_packets(whole, tmp_path / "damaged.mp4", 3, 60)
    found = look(tmp_path / "damaged.mp4")
    assert found["decoding"]["lost"] + found["decoding"]["damaged"] >= 3
    assert "the file is damaged" in found["advice"][0]


@pytest.mark.rtsp
def test_a_camera_with_a_password(look: Any, streamdet: Streamdet, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_live_clip(rate=15, gop=15, frames=30)
    with RtspServer(clip, user="viewer", password="p@ss word") as server:
        found = look(server.url(user="viewer", password="p@ss word"), "--seconds", "2")
        assert found["source"] == server.url()
        assert found["rhythm"]["fps"] == pytest.approx(15, rel=0.1)
        assert found["rhythm"]["fps_arrived"] == pytest.approx(15, rel=0.35)
        assert found["rhythm"]["key_interval_frames"] == 15
        assert found["rhythm"]["jitter_p95_s"] is not None
        monkeypatch.setenv("STREAMDET_USER", "viewer")
        monkeypatch.setenv("STREAMDET_PASSWORD", "wrong word")
        refused = streamdet("probe", server.url())
    assert refused.exit_code == 3
    assert "(401)" in refused.err
    assert "wrong word" not in refused.err
    gone = streamdet("probe", server.url())
    assert gone.exit_code == 3
    assert "refuses the connection" in gone.err
    assert len(gone.err.splitlines()) == 1


def test_a_stream_without_times_is_measured_by_arrival(look: Any) -> None:
    with MjpegServer(make_live_clip("mjpeg", rate=10, frames=20)) as server:
        found = look(server.url, "--seconds", "1.5")
    assert not found["stream"]["has_times"]
    assert found["stream"]["declared_fps"] is None
    assert found["rhythm"]["fps_arrived"] == pytest.approx(10, rel=0.35)
    assert found["rhythm"]["key_interval_frames"] == 1


def test_what_arrives_by_the_piece_is_measured_by_its_times(look: Any) -> None:
    with HlsServer(make_live_clip(rate=15, gop=15, frames=30)) as server:
        found = look(server.url, "--seconds", "1")
    assert found["rhythm"]["fps"] == pytest.approx(15, rel=0.01)
    assert found["rhythm"]["fps_arrived"] is None


@pytest.mark.parametrize("columns", [80, 140])
def test_the_table_fits(
    streamdet: Streamdet, model_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: int
) -> None:
    monkeypatch.setattr("streamdet.cli.probe.TRIAL_S", 0.01)
    monkeypatch.setenv("COLUMNS", str(columns))
    path = make_clip(tmp_path / "監視カメラ [bold].mp4", frames=30, audio="aac")
    monkeypatch.chdir(tmp_path)
    outcome = streamdet("probe", path.name, "--model", model_file)
    assert outcome.exit_code == 0
    assert max(cell_len(line) for line in outcome.out.splitlines()) <= columns
    for words in ("監視カメラ [bold].mp4", "160x120 · h264", "25.00 frames/s by its times", "aac, 48000 Hz, mono"):
        assert words in outcome.out
    assert "limit: " in outcome.out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.mp4", "there is no none.mp4: check the path"),
        ("folder", "folder is a folder: give a video, a camera or an address to look at"),
        ("sound.wav", "no picture in sound.wav: it has no video track; give a video file"),
        ("text.mp4", "text.mp4 is not a video that can be read"),
        ("single.mp4", "single.mp4 gave a single picture in 5 s; give more --seconds, or a video"),
    ],
)
def test_what_can_not_be_probed(
    streamdet: Streamdet, model_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, sentence: str
) -> None:
    monkeypatch.setattr("streamdet.cli.probe.TRIAL_S", 0.01)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    make_clip(tmp_path / "single.mp4", frames=1)
    outcome = streamdet("probe", name, "--model", model_file)
    assert outcome.exit_code == 3
    assert outcome.err.startswith(f"streamdet: {sentence}")
    assert len(outcome.err.splitlines()) == 1


def test_a_wrong_time_is_a_usage_error(streamdet: Streamdet) -> None:
    outcome = streamdet("probe", "a.mp4", "--seconds", "0")
    assert outcome.exit_code == 2
    assert outcome.err == "streamdet: --seconds is 0; give a time above 0, and at most 600\n"
