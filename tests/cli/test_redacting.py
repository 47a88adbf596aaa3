"""The real command, started with a password: nobody sees it on the screen, in a traceback or in the process list."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import streamdet.cli.app as app_module
from streamdet.cli.redacting import hide_from_process_list, redacted_threads, secrets_of
from tests.cli.conftest import Streamdet
from tests.live_servers.clip import make_clip
from tests.live_servers.rtsp import RtspServer
from tests.live_servers.silent import ClosedPort

MARK = "zqxjkvw"
PASSWORD = f"p@s/w:o?r#d% {MARK}\"'ü"
SECONDS = 60.0


def address(place: str) -> str:
    return f"rtsp://john.doe:{PASSWORD}@{place}/stream1?token={MARK}"


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles that the command gives its process, which is that of the tests."""
    given: list[str] = []
    monkeypatch.setattr("streamdet.cli.redacting.setproctitle", given.append)
    return given


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("debug", [False, True])
def test_a_camera_that_refuses(debug: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamdet", *(["--debug"] if debug else []), "run"]
    with ClosedPort() as closed:
        source = address(f"127.0.0.1:{closed.port}")
        command += [source, "--out", "out.mp4", "--jsonl", "-", "--report", "run.json", "--device", "cpu"]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            title = wait_for_title(process)
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode in (2, 3), err.decode()
    assert title.startswith("streamdet"), "it ended before it had a title"
    assert f"run rtsp://127.0.0.1:{closed.port}/stream1?token=*** --out" in title
    assert f"rtsp://127.0.0.1:{closed.port}/stream1" in err.decode()
    assert ("Traceback" in err.decode()) == debug
    assert not leaks(title, out.decode(), err.decode())
    for path in tmp_path.rglob("*"):
        assert not leaks(str(path), path.read_text(errors="replace") if path.is_file() else "")


@pytest.mark.rtsp
@pytest.mark.slow
def test_a_camera_that_plays(tmp_path: Path, model_file: Path) -> None:
    clip = make_clip(rate=30, gop=15, frames=60)
    with RtspServer(clip, user="john.doe", password=PASSWORD, auth="digest") as server:
        source = f"rtsp://john.doe:{PASSWORD}@127.0.0.1:{server.port}/cam"
        command = [sys.executable, "-m", "streamdet", "--debug", "run", source, "--model", str(model_file)]
        command += ["--jsonl", "boxes.jsonl", "--report", "run.json", "--out", "rec/", "--device", "cpu", "--end", "3"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=SECONDS, check=False)
    shown = [done.stdout.decode(), done.stderr.decode()]
    assert done.returncode in (0, 5), shown
    assert json.loads((tmp_path / "run.json").read_text())["cameras"]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".mp4", ".json", ".jsonl"}
    for path in written:
        assert not leaks(str(path), path.read_bytes().decode("latin-1"))
    assert f"127.0.0.1:{server.port}" in (tmp_path / "boxes.jsonl").read_text()
    assert not leaks(*shown)


def wait_for_title(process: subprocess.Popen[bytes]) -> str:
    """The process's command line when it no longer is what it was started with."""
    deadline = time.monotonic() + SECONDS
    title = ""
    while process.poll() is None and time.monotonic() < deadline:
        title = Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        if title.startswith("streamdet"):
            break
        time.sleep(0.005)
    return title


def leaks(*texts: str) -> list[str]:
    return [text for text in texts if MARK in text or PASSWORD in text or "john.doe" in text]


@pytest.mark.parametrize(
    "arguments",
    [
        (address("cam1"),),  # in the place of a command
        ("run", "--start", address("cam1"), "x"),
        ("run", f"--strat={address('cam1')}"),
        ("eval", "--data", "data", address("cam1")),
        ("run", "clip.mp4", "--config", address("cam1")),
        ("run", "clip.mp4", "--report", address("cam1")),
        ("run", "clip.mp4", "--model", address("cam1")),
        ("run", f"john.doe:{PASSWORD}@cam1/stream1"),
        ("run", f"rtsp://john.doe:{PASSWORD}"),
        ("run", f"gopher://john.doe:{PASSWORD}@cam1"),
    ],
)
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_wrong_arguments(
    arguments: tuple[str, ...], debug: tuple[str, ...], streamdet: Streamdet, titles: list[str]
) -> None:
    done = streamdet(*debug, *arguments)
    assert done.exit_code in (1, 2, 3, 4)
    assert done.err
    assert not leaks(done.out, done.err, *titles)


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_errors_that_nobody_expected(
    debug: tuple[str, ...], streamdet: Streamdet, titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        try:
            raise OSError(111, "refused", address("cam1"))
        except OSError as error:
            raise RuntimeError(f"{address('cam1')!r} broke, the password is {PASSWORD}") from error

    monkeypatch.setattr(app_module, "app", broken)
    done = streamdet(*debug, "run", address("cam1"))
    assert done.exit_code == 1
    assert done.err.count("Traceback") == 2 * len(debug)  # of the cause too
    assert "'rtsp://cam1/stream1?token=***' broke, the password is ***" in done.err
    assert not leaks(done.out, done.err, *titles)


def test_errors_of_threads(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise RuntimeError(f"{address('cam1')} broke, the password is {PASSWORD}")

    with redacted_threads([PASSWORD]):
        thread = threading.Thread(target=broken)
        thread.start()
        thread.join()
    shown = capfd.readouterr().err
    assert "RuntimeError: rtsp://cam1/stream1?token=*** broke, the password is ***" in shown
    assert not leaks(shown)


def test_the_title_stays_without_a_password(titles: list[str]) -> None:
    hide_from_process_list(["run", "clip.mp4", "rtsp://cam1:554/s?channel=1"], [])
    assert titles == []


def test_the_password_of_the_environment_is_a_secret_too() -> None:
    assert secrets_of(["run", "rtsp://a:b@cam1"], {"STREAMDET_PASSWORD": "pw"}) == ("b", "a:b", "pw")
    assert secrets_of(["run", "clip.mp4"], {}) == ()
