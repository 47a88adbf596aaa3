"""Events of whole runs: from the command line to the receiver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.cli.conftest import Streamdet
from tests.events.servers import free_port, wait_until
from tests.events.test_delivery import journalled
from tests.events.test_webhook import Request, ok, web_server
from tests.live_servers.clip import make_clip as make_live_clip
from tests.live_servers.web import MjpegServer
from tests.media import make_clip
from tests.networks import CLASS_NAMES

RULES = """
clip = { before = "0.5s", after = "0.5s" }

[rule.visitor]
zone = "all"
longer_than = "0.2s"

[rule.busy]
above = 0
clip = false

[webhook.home]
url = "http://me:s3cret-pw@127.0.0.1:PORT/hidden-path"
secret_env = "HOOK_SECRET"
timeout = "5s"
"""
ZONE = "all:0.02,0.02,0.98,0.02,0.98,0.98,0.02,0.98"


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """A file of events whose webhook is at a port on which nobody listens yet."""
    port = free_port()
    path = tmp_path / "events.toml"
    path.write_text(RULES.replace("PORT", str(port)))
    path.chmod(0o600)
    monkeypatch.setenv("HOOK_SECRET", "sign-with-this")
    return path, port


def events_in(requests: list[Request]) -> list[dict[str, object]]:
    told = [json.loads(request.body) for request in requests]
    return [message for message in told if message["type"] == "event"]


def test_events_of_a_file_reach_their_receiver(
    streamdet: Streamdet, clip: Path, model_file: Path, tmp_path: Path, rules: tuple[Path, int]
) -> None:
    path, port = rules
    with web_server(ok, port) as (_, requests):
        outcome = streamdet(
            *("run", clip, "--model", model_file, "--no-video", "--events", path, "--zone", ZONE),
            *("--report", tmp_path / "run.json", "--jsonl", tmp_path / "boxes.jsonl"),
        )
    assert outcome.exit_code == 0, outcome.err
    events = events_in(requests)
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    visitors = [event for event in events if event["rule"] == "visitor"]
    assert [event["rule"] for event in events].count("busy") >= 1
    assert visitors
    for event in visitors:
        assert event["place"] == "all"
        with av.open(str(tmp_path / "events" / str(event["snapshot"]))) as container:
            assert len(list(container.decode(video=0))) == 1
        with av.open(str(tmp_path / "events" / str(event["clip"]))) as container:
            assert list(container.decode(video=0))
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["events"]["told"] == len(events)
    written = "".join(each.read_text(errors="replace") for each in tmp_path.rglob("*.json*"))
    for secret in ("s3cret-pw", "hidden-path", "sign-with-this"):
        assert secret not in outcome.out + outcome.err + written


def test_with_blur_only_clips_and_pictures_show_no_detail_of_those_classes(
    streamdet: Streamdet, clip: Path, model_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "events.toml"
    path.write_text('clip = { before = "0.5s", after = "0.5s" }\n[rule.busy]\nabove = 0\nlonger_than = "1s"\n')
    names = ",".join(CLASS_NAMES)
    arguments = ("run", clip, "--model", model_file, "--no-video", "--jsonl", tmp_path / "b.jsonl", "--events", path)
    outcome = streamdet(*arguments, "--blur", names, "--blur-only")
    assert outcome.exit_code == 0, outcome.err
    lines = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    frames = {round(line["time_s"], 3): line for line in lines if line["type"] == "frame"}
    told = [json.loads(line) for line in (tmp_path / "events" / "events-000001.jsonl").read_text().splitlines()]
    [event] = [line for line in told if line["type"] == "event"]
    [made] = [line for line in told if line["type"] == "clip"]
    with av.open(str(clip)) as container:
        clear = {round(float(each.time or 0), 3): each.to_ndarray(format="gray") for each in container.decode(video=0)}
    begin_s = event["time_s"] - made["before_s"]
    compared = 0
    with av.open(str(tmp_path / "events" / event["clip"])) as container:
        for picture in container.decode(video=0):
            time_s = min(clear, key=lambda each: abs(each - begin_s - float(picture.time or 0)))
            gray = picture.to_ndarray(format="gray")
            for box in frames[time_s]["boxes"]:
                x1, y1, x2, y2 = (max(0, round(edge)) for edge in box["box_xyxy"])
                before, after = (detail(each[y1:y2, x1:x2]) for each in (clear[time_s], gray))
                if before > 10:  # noise, not the plain corner
                    compared += 1
                    assert after < before / 2
    assert compared > 20
    snapshot = cv2.imread(str(tmp_path / "events" / event["snapshot"]), cv2.IMREAD_GRAYSCALE)
    assert snapshot is not None
    assert detail(snapshot) < detail(clear[round(event["time_s"], 3)])


def detail(gray: npt.NDArray[Any]) -> float:
    """Mean difference between neighbours."""
    return float(np.abs(np.diff(gray.astype(int), axis=1)).mean()) if gray.shape[1] > 1 and gray.size else 0.0


@pytest.mark.slow
def test_events_of_a_run_that_was_killed_go_out_with_the_next_one(
    streamdet: Streamdet, model_file: Path, tmp_path: Path, rules: tuple[Path, int]
) -> None:
    path, port = rules
    source = make_clip(tmp_path / "long.mp4", frames=3000)
    arguments = ["run", source, "--model", model_file, "--no-video", "--events", path, "--zone", ZONE]
    command = [sys.executable, "-m", "streamdet", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: journalled(tmp_path / "events") >= 2 or process.poll() is not None, "events", 100)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    waiting = journalled(tmp_path / "events")
    with web_server(ok, port) as (_, requests):
        outcome = streamdet(*arguments, "--end", "1")
    assert outcome.exit_code == 0, outcome.err
    events = events_in(requests)
    assert len(events) > waiting >= 2
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["id"] for event in events}) == len(events)


@pytest.mark.slow
def test_a_camera_that_goes_and_comes_back(model_file: Path, tmp_path: Path) -> None:
    """With the clip of what happened before, out of the camera's own packets."""
    rules = tmp_path / "events.toml"
    rules.write_text(
        '[rule.offline]\ncamera = "down"\nlonger_than = "1s"\n'
        '[rule.busy]\nabove = 0\nlonger_than = "1s"\nclip = { before = "1s", after = "1s" }\n'
    )
    folder = tmp_path / "events"
    pictures = make_live_clip("mjpeg", rate=10, gop=10, frames=20)
    port = free_port()
    command = [sys.executable, "-m", "streamdet", "run", f"http://127.0.0.1:{port}{MjpegServer.path}", "--no-video"]
    command += ["--model", str(model_file), "--events", str(rules), "--open-timeout", "1s", "--read-timeout", "1s"]

    def has_told(kind: str) -> bool:
        return journalled(folder, f'"kind": "{kind}"') > 0

    with MjpegServer(pictures, port=port):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
        try:
            wait_until(lambda: journalled(folder, '"type": "clip"') > 0 or process.poll() is not None, "a clip", 100)
        except BaseException:
            process.kill()
            raise
    try:
        wait_until(lambda: has_told("camera down") or process.poll() is not None, "the camera's end", 30)
        with MjpegServer(pictures, port=port):
            wait_until(lambda: has_told("camera up") or process.poll() is not None, "its return", 60)
            process.send_signal(signal.SIGINT)
            process.wait(60)
    finally:
        process.kill()
        process.wait()
    told = [json.loads(line) for line in (folder / "events-000001.jsonl").read_text().splitlines()]
    events = [line for line in told if line["type"] == "event"]
    assert [event["kind"] for event in events][:3] == ["count", "camera down", "camera up"]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert events[2]["lasted_s"] >= events[1]["lasted_s"] >= 1
    with av.open(str(folder / events[0]["clip"])) as container:
        shown = [picture.time or 0 for picture in container.decode(video=0)]
    assert 1 <= shown[-1] <= 3.5


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--zone", "yard:0,0,1,0,1,1"), "rule visitor watches the zone 'all', which is not known; there are yard"),
        ((), "rule visitor watches the zone 'all', which is not known; there is none: draw it with --zone"),
    ],
)
def test_a_rule_for_a_place_that_is_not_there_ends_the_command(
    option: tuple[str, ...],
    told: str,
    streamdet: Streamdet,
    clip: Path,
    model_file: Path,
    tmp_path: Path,
    rules: tuple[Path, int],
) -> None:
    outcome = streamdet("run", clip, "--model", model_file, "--no-video", "--events", rules[0], *option)
    assert outcome.exit_code == 2
    assert told in " ".join(outcome.err.replace("│", " ").split())
    assert not (tmp_path / "events").exists()
