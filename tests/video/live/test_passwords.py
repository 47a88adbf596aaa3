"""A source that fails says why without its password, in whatever is kept of the failure."""

from __future__ import annotations

import dataclasses
import json
import pickle
import threading
import traceback
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from streamdet.live.report import CameraReport, LiveReport
from streamdet.options import LiveOptions
from streamdet.video.live.failures import SourceGoneError
from streamdet.video.live.opening import connect
from streamdet.video.live.source import LiveSource
from streamdet.video.live.status import SourceState
from streamdet.video.location import Location, parse_location
from tests.live_servers.silent import ClosedPort, SilentServer

MARK = "zqxjkvw"
PASSWORD = f"p@s/w:o?r#d% {MARK}ü"
OPTIONS = LiveOptions(open_timeout_s=0.5, read_timeout_s=0.5)
SERVERS = pytest.mark.parametrize("server", [ClosedPort, SilentServer])
SCHEMES = pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "rtmp"])


def location_at(scheme: str, port: int) -> Location:
    password = PASSWORD if scheme != "rtmp" else f"p@%{MARK}"
    return parse_location(f"{scheme}://john.doe:{password}@127.0.0.1:{port}/s?token={MARK}")


def whole_chain(error: BaseException | None) -> str:
    """Everything that can be reached from an error, its frames' variables left out."""
    shown = ""
    while error is not None:
        shown += f"{error!r} {error.args!r} {vars(error)!r} {getattr(error, 'filename', '')!r}"
        shown += "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__
    return shown


@SERVERS
@SCHEMES
def test_no_error_refers_to_one_that_holds_the_password(
    scheme: str, server: type[AbstractContextManager[ClosedPort]]
) -> None:
    with server() as place:
        location = location_at(scheme, place.port)
        assert MARK in location.target()
        with pytest.raises(SourceGoneError) as caught:
            connect(location, OPTIONS, threading.Event())
    shown = whole_chain(caught.value)
    assert f"{scheme}://127.0.0.1:{place.port}/s" in shown
    assert MARK not in shown
    assert "john.doe" not in shown


@SERVERS
@SCHEMES
def test_status_and_report_without_the_password(
    scheme: str, server: type[AbstractContextManager[ClosedPort]], tmp_path: Path
) -> None:
    with server() as place:
        source = LiveSource(location_at(scheme, place.port), OPTIONS)
        threads: list[str] = []

        def stop_when_it_waits() -> None:
            threads.extend(thread.name for thread in threading.enumerate())
            while source.status.state is not SourceState.WAITING:
                end.wait(0.02)
            seen.append(source.status)
            source.stop()

        end, seen = threading.Event(), []  # type: ignore[var-annotated]
        watcher = threading.Thread(target=stop_when_it_waits)
        watcher.start()
        assert list(source.frames()) == []
        watcher.join()
    [status] = seen
    assert f"{scheme}://127.0.0.1:{place.port}/s" in status.problem
    report = LiveReport(model="m", model_sha256="0", device="cpu", precision="float32", batch=1, notes=[status.problem])
    report.cameras.append(CameraReport(source))
    report.conclude(error=OSError(5, "Input/output error", source._location.target()), stopped_by=None, as_asked=False)
    report.write(tmp_path / "run.json")
    shown = [repr(status), repr(source.status), source.name, repr(vars(source)), repr(source.counts), *threads]
    shown += [repr(dataclasses.asdict(source.counts)), (tmp_path / "run.json").read_text()]
    assert json.loads(shown[-1])["verdict"] == "failed"
    for text in shown:
        assert MARK not in text
        assert "john.doe" not in text


def test_a_location_on_its_way_to_another_process_keeps_its_password() -> None:
    location = location_at("rtsp", 554)
    assert pickle.loads(pickle.dumps(location)).target() == location.target()
