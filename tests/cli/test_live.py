"""`streamdet run` on real RTSP cameras, pipes and folders, as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from streamdet.results.jsonl_reading import read_jsonl
from tests.cli.conftest import Streamdet
from tests.live_servers.clip import Clip, make_clip
from tests.live_servers.rtsp import RtspServer, free_port
from tests.media import boxes_of, test_picture, times_of
from tests.media import make_clip as make_file

WAIT_S = 60.0


@pytest.fixture(scope="module")
def camera_clip() -> Clip:
    return make_clip(rate=15, gop=15, frames=30)


@pytest.fixture
def server(camera_clip: Clip) -> Iterator[RtspServer]:
    with RtspServer(camera_clip) as running:
        yield running


def report_of(path: str = "run.json") -> dict[str, Any]:
    report: dict[str, Any] = json.loads(Path(path).read_text())
    for camera in report["cameras"]:
        frames = camera["frames"]
        assert frames["decoded"] == frames["skipped"] + frames["detected"] + sum(frames["dropped"].values())
        if frames["written"] is not None:
            assert frames["detected"] == frames["written"] + sum(frames["unwritten"].values())
    return report


def closed_url() -> str:
    return f"rtsp://admin:s3cr3t@127.0.0.1:{free_port()}/cam"


@pytest.mark.rtsp
def test_two_cameras_are_recorded_and_told_apart(
    streamdet: Streamdet, server: RtspServer, camera_clip: Clip, model_file: Path
) -> None:
    with RtspServer(camera_clip) as other:
        urls = server.url(), other.url()
        done = streamdet(
            "run", *urls, "--out", "rec/", "--jsonl", "boxes.jsonl", "--report", "run.json",
            "--end", "3", "--model", model_file, "--engine", "torch",  # auto measures for seconds where it is slow
        )  # fmt: skip
    assert done.exit_code == 0, done.err
    report = report_of()
    assert [camera["name"] for camera in report["cameras"]] == list(urls)
    assert all(camera["frames"]["detected"] > 10 for camera in report["cameras"])
    recordings = sorted(Path("rec").glob("*.mp4"))
    in_files = sum(len(times_of(path)) for path in recordings)
    assert in_files == sum(camera["frames"]["written"] for camera in report["cameras"])
    assert all("moof" not in boxes_of(path) for path in recordings)
    lines = [json.loads(line) for line in Path("boxes.jsonl").read_text().splitlines()]
    frames = [line for line in lines if line["type"] == "frame"]
    for camera in report["cameras"]:
        own = [line for line in frames if line["stream"] == camera["name"]]
        assert len(own) == camera["frames"]["detected"]
        assert [line["index"] for line in own] == sorted(line["index"] for line in own)
        assert all(line["age_ms"] < 500 + 1000 for line in own)
    header, found = read_jsonl("boxes.jsonl")
    assert header["sources"] == list(urls)
    list(found)
    assert found.complete


@pytest.mark.rtsp
def test_a_dead_camera_does_not_stop_the_others(streamdet: Streamdet, server: RtspServer, model_file: Path) -> None:
    arguments = ["--no-video", "--jsonl", "b.jsonl", "--overwrite", "--report", "run.json", "--model", str(model_file)]
    done = streamdet("run", server.url(), closed_url(), "--end", "2", *arguments)
    assert done.exit_code == 5, done.err
    alive, dead = report_of()["cameras"]
    assert alive["frames"]["detected"] > 0
    assert dead["frames"]["decoded"] == 0
    assert "refused" in dead["failures"]
    assert "no frame came from" in done.err
    strict = streamdet("run", server.url(), closed_url(), "--require-all", "--end", "20", *arguments)
    assert strict.exit_code == 3
    assert "127.0.0.1" in strict.err
    assert "s3cr3t" not in done.err + strict.err + Path("run.json").read_text() + Path("b.jsonl").read_text()


def test_nobody_answers_and_one_sentence_says_why(streamdet: Streamdet, model_file: Path) -> None:
    done = streamdet("run", closed_url(), "--no-video", "--jsonl", "-", "--model", model_file, "--report", "run.json")
    assert done.exit_code == 3
    last = done.err.splitlines()[-1]
    assert last.startswith("streamdet: ")
    assert "refuses the connection" in last
    assert "s3cr3t" not in done.err
    report = report_of()
    assert report["verdict"] == "failed"
    assert report["engine"]  # chosen before the first camera: no frame waits for it


@pytest.mark.rtsp
def test_the_password_comes_from_the_environment(
    streamdet: Streamdet, camera_clip: Clip, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RtspServer(camera_clip, user="ad.min", password="p@:/ w", auth="digest") as server:
        arguments = ["--no-video", "--jsonl", "b.jsonl", "--end", "2", "--model", str(model_file)]
        refused = streamdet("run", server.url(), *arguments)
        assert refused.exit_code == 3
        assert "password" in refused.err
        monkeypatch.setenv("STREAMDET_USER", "ad.min")
        monkeypatch.setenv("STREAMDET_PASSWORD", "p@:/ w")
        assert streamdet("run", server.url(), *arguments, "--overwrite").exit_code == 0


@pytest.mark.rtsp
def test_the_camera_file_is_read_again_on_hangup(
    server: RtspServer, camera_clip: Clip, model_file: Path, tmp_path: Path
) -> None:
    with RtspServer(camera_clip) as other:
        gate = f'[camera.gate]\nurl = "{server.url()}"\nroi = [0, 0, 0.5, 1]\n'
        yard = f'[camera.yard]\nurl = "{other.url()}"\nconf = {{ car = 0.3 }}\n'
        config = tmp_path / "cameras.toml"
        config.write_text(gate)
        command = [sys.executable, "-m", "streamdet", "run", "--config", "cameras.toml", "--no-video"]
        command += ["--jsonl", "b.jsonl", "--report", "run.json", "--model", str(model_file)]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_for(tmp_path / "b.jsonl", '"gate"')
                config.write_text(gate + yard)
                process.send_signal(signal.SIGHUP)
                wait_for(tmp_path / "b.jsonl", '"yard"')
                config.write_text(yard)
                process.send_signal(signal.SIGHUP)
                time.sleep(1.5)
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=WAIT_S)
            finally:
                process.kill()
    assert process.returncode == 130, errors
    report = report_of(str(tmp_path / "run.json"))
    assert [camera["name"] for camera in report["cameras"]] == ["gate", "yard"]
    assert [camera["sessions"] for camera in report["cameras"]] == [1, 1]
    assert "cameras read again: 1 new" in report["notes"]
    assert "cameras read again: 1 gone" in report["notes"]


def test_a_reading_anew_ends_no_run_and_replaces_no_recording(model_file: Path, tmp_path: Path) -> None:
    for folder, names in (("shots", ["first"]), ("other", ["second"]), ("third", ["third"])):
        (tmp_path / folder).mkdir()
        for name in names:
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), test_picture(0, (160, 120)))
    config, lines = tmp_path / "cameras.toml", tmp_path / "b.jsonl"
    config.write_text('[camera.inbox]\nurl = "shots"\nout = "inbox.mp4"\nconf = 0.9\n')
    command = [sys.executable, "-m", "streamdet", "run", "--config", "cameras.toml", "--require-all"]
    command += ["--jsonl", "b.jsonl", "--report", "run.json", "--model", str(model_file)]
    errors = tmp_path / "errors"
    with errors.open("w") as told, subprocess.Popen(command, cwd=tmp_path, stderr=told) as process:
        try:
            wait_for(lines, '"type": "header"')  # before the first camera
            process.send_signal(signal.SIGHUP)
            wait_for(lines, '"first.png"')
            (tmp_path / "shots").rename(tmp_path / "away")
            time.sleep(1)  # no source is left, and the only one is waited for
            config.write_text('[camera.inbox]\nurl = "other"\nout = "inbox.mp4"\nconf = 0.1\n')
            process.send_signal(signal.SIGHUP)
            wait_for(lines, '"second.png"')
            config.write_text('[camera.inbox]\nurl = "third"\nout = "b.jsonl/rec/"\n')
            process.send_signal(signal.SIGHUP)
            wait_for(errors, "the cameras stay as they are: ")
            config.write_text(
                '[camera.inbox]\nurl = "third"\nout = "x.mp4"\n[camera.silent]\nurl = "rtsp://127.0.0.1:1/x"\n'
            )
            process.send_signal(signal.SIGHUP)
            wait_for(lines, '"third.png"')
            time.sleep(2)
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 130, errors.read_text()
    report_of(str(tmp_path / "run.json"))
    recordings = sorted(path.name for path in tmp_path.glob("*.mp4"))
    assert [name[:7] for name in recordings] == ["inbox.m", "inbox_2", "x.mp4"]
    first, second, *_ = (json.loads(line) for line in lines.read_text().splitlines() if '"frame"' in line)
    assert len(second["boxes"]) > len(first["boxes"])  # with the lower `conf`


@pytest.mark.rtsp
def test_old_json_lines_are_deleted_with_the_recordings(
    streamdet: Streamdet, server: RtspServer, model_file: Path
) -> None:
    Path("rec").mkdir()
    old = [Path(f"rec/boxes_2020-01-01T00-00-00Z.{ending}") for ending in ("jsonl", "txt")]
    for path in old:
        path.write_text("")
        os.utime(path, (0, 0))
    arguments = ["--out", "rec/", "--jsonl", "rec/boxes.jsonl", "--keep", "1h", "--model", str(model_file)]
    done = streamdet("run", server.url(), "--end", "2", *arguments)
    assert done.exit_code == 0, done.err
    assert len(list(Path("rec").glob("boxes_2*.jsonl"))) == 1
    assert [path.exists() for path in old] == [False, True]


@pytest.mark.rtsp
def test_a_kill_leaves_a_recording_that_plays(server: RtspServer, model_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamdet", "run", server.url(), "--out", "rec", "--jsonl", "b.jsonl"]
    command += ["--model", str(model_file)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(tmp_path / "b.jsonl", '"index": 40')  # dropped frames count, and a busy machine drops the first
        finally:
            process.kill()
    [recording] = (tmp_path / "rec").glob("*.mp4")
    assert len(times_of(recording)) > 10


def test_a_pipe_is_read_to_its_end(streamdet: Streamdet, model_file: Path) -> None:
    make_file(Path("clip.ts"), frames=200)  # more than wait for a camera
    os.mkfifo("pipe")

    def feed() -> None:
        Path("pipe").write_bytes(Path("clip.ts").read_bytes())

    feeder = threading.Thread(target=feed)
    feeder.start()
    done = streamdet("run", "pipe", "--every-frame", "--out", "out.mp4", "--report", "run.json", "--model", model_file)
    feeder.join()
    assert done.exit_code == 0, done.err
    [camera] = report_of()["cameras"]
    assert camera["frames"]["detected"] == 200
    assert len(times_of(Path("out.mp4"))) == 200


def test_a_folder_is_followed_while_it_fills(streamdet: Streamdet, model_file: Path) -> None:
    Path("shots").mkdir()
    pictures = [test_picture(index, (160, 120))[:, :, ::-1] for index in range(6)]
    cv2.imwrite("shots/0.png", pictures[0])

    def fill() -> None:
        for index in range(1, 6):
            time.sleep(0.3)
            cv2.imwrite(f"shots/{index}.png", pictures[index])

    filler = threading.Thread(target=fill)
    filler.start()
    arguments = ["--no-video", "--jsonl", "b.jsonl", "--report", "run.json", "--model", str(model_file)]
    done = streamdet("run", "shots", "--follow", "--end", "5", *arguments)
    filler.join()
    assert done.exit_code == 0, done.err
    assert report_of()["cameras"][0]["frames"]["detected"] == 6
    refused = streamdet("run", "shots/0.png", "--follow", *arguments)
    assert refused.exit_code == 2
    assert "--follow is for folders" in refused.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("rtsp://a/1", "--jsonl", "a", "--report", "a"), "are both a; give each a file of its own"),
        (("rtsp://a/1", "--start", "5"), "--start is for files"),
        (("a.mp4", "--segment", "5"), "--segment is for cameras and streams"),
        (("a.mp4", "--show"), "--show is for cameras and streams"),
        (("rtsp://a/1", "--report", "-"), "--report - is no file"),
        (("rtsp://a/1", "rtsp://b/1", "--out", "a.mp4"), "is one file for several cameras"),
        (("rtsp://a/1", "rtsp://b/1", "--out", "rtsp://c/live"), "put {name} into the address"),
        (("rtsp://a/1", "--out", "a.gif"), "a.gif ends in .gif"),
        (("rtsp://a/1", "--max-age", "soon"), "--max-age is 'soon'"),
        (("rtsp://a/1", "--segment", "0"), "--segment is '0'"),
        (("rtsp://a/1", "--max-size", "big"), "--max-size is 'big'"),
        (("rtsp://a/1", "--no-video"), "--no-video leaves nothing to write"),
        (("rtsp://a/1", "--config", "c.toml"), "--config names the sources"),
        (("--config", "missing.toml"), "missing.toml"),
        (("rtsp://a/1", "--classes", "elephant"), "knows no class 'elephant'"),
    ],
)
def test_contradictions_get_one_sentence(
    streamdet: Streamdet, model_file: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = streamdet("run", *arguments, "--model", model_file)
    assert done.exit_code == 2, done.err
    assert sentence in done.err
    assert done.err.count("\n") == 1


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{path} never held {text}"
        time.sleep(0.05)
