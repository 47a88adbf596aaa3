from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import pytest

from streamdet.errors import OutputError, UsageError
from streamdet.events.desk import EventDesk, EventOptions
from streamdet.events.file_clips import FileClips
from streamdet.events.housekeeping import Housekeeping
from streamdet.events.journal import Journal
from streamdet.events.rules import ClipSpan, Crossing, Rule
from streamdet.events.sink import EventRecorder, EventSink, LiveEventSink
from streamdet.types import DetectedFrame
from tests.events.scenes import crossing, detected
from tests.events.test_journal import lines_of, message
from tests.media import make_clip, times_of

RULES = (Rule("cars", Crossing("gate")),)


def draw(detected: DetectedFrame) -> av.VideoFrame:
    return detected.frame.picture


def events_of(folder: Path) -> list[dict[str, Any]]:
    return [line for line in lines_of(folder) if line["type"] == "event"]


def run_over(
    folder: Path,
    indices: Sequence[int],
    *,
    rules: Sequence[Rule] = RULES,
    replayed: Sequence[int] | None = None,
    clip: Path | None = None,
) -> EventDesk:
    """A run over a file in which at every third frame a car passes; `replayed`: frames of one that was stopped."""
    desk = EventDesk(EventOptions(tuple(rules), folder))
    clipper = None if clip is None else FileClips(clip, folder)
    recorder = EventRecorder(desk, "clip.mp4", draw, clipper=clipper, again=replayed is not None)
    sink = EventSink(recorder)

    def frame(index: int) -> DetectedFrame:
        return detected(index, ("car", index), happenings=[] if index % 3 else [crossing(index)], live=False)

    for index in replayed or ():
        recorder.replay(frame(index))
    for index in indices:
        sink.write(frame(index))
    sink.finish(complete=True)
    desk.finish()
    assert recorder.notes == []
    return desk


def test_an_event_has_its_picture_before_it_is_told(tmp_path: Path) -> None:
    desk = run_over(tmp_path / "deep" / "events", range(7))
    assert desk.told == 3
    events = events_of(desk.options.folder)
    assert [event["snapshot"] for event in events] == ["clip.mp4_1.jpg", "clip.mp4_2.jpg", "clip.mp4_3.jpg"]
    with av.open(str(desk.options.folder / "clip.mp4_2.jpg")) as container:
        [picture] = container.decode(video=0)
    assert (picture.width, picture.height) == (64, 48)
    assert abs(float(picture.to_ndarray(format="gray").mean()) - 86) < 4  # (90 - 16) * 255 / 219
    assert not list(desk.options.folder.glob(".*.new"))


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Killed behind frame 8 with its JSON lines written up to frame 5: events of 6 are in the journal already."""
    run_over(tmp_path / "whole", range(20))
    run_over(tmp_path / "torn", range(8))
    before = (tmp_path / "torn" / "clip.mp4_3.jpg").stat().st_mtime_ns
    run_over(tmp_path / "torn", range(6, 20), replayed=range(6))

    def told(folder: Path) -> list[dict[str, Any]]:
        return [{key: value for key, value in event.items() if key != "id"} for event in events_of(folder)]

    assert told(tmp_path / "torn") == told(tmp_path / "whole")
    assert len({event["id"] for event in events_of(tmp_path / "torn")}) == 7
    assert (tmp_path / "torn" / "clip.mp4_3.jpg").stat().st_mtime_ns == before


def test_a_clip_of_a_file_is_there_with_its_event(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=100, rate=10)
    rules = [Rule("cars", Crossing("gate"), cooldown_s=5.0, snapshot=False, clip=ClipSpan(1.0, 1.0))]
    desk = run_over(tmp_path / "events", range(60), rules=rules, clip=path)
    assert [event.get("clip") for event in events_of(desk.options.folder)] == ["clip.mp4_1.mp4", "clip.mp4_2.mp4"]
    clips = [line for line in lines_of(desk.options.folder) if line["type"] == "clip"]
    assert [(line["number"], line["clip"]) for line in clips] == [(1, "clip.mp4_1.mp4"), (2, "clip.mp4_2.mp4")]
    assert clips[0]["id"] == events_of(desk.options.folder)[0]["id"] + "-clip"
    assert 1 <= times_of(desk.options.folder / "clip.mp4_1.mp4")[-1] <= 1.3  # pictures wait for those they build on
    assert "snapshot" not in events_of(desk.options.folder)[0]


def test_cameras_share_a_desk(tmp_path: Path) -> None:
    desk = EventDesk(EventOptions(RULES, tmp_path))
    sinks = {name: LiveEventSink(EventRecorder(desk, name, draw)) for name in ("north", "südtor ☂")}
    for index in range(3):
        for name, sink in sinks.items():
            assert sink.write(detected(index, ("car", 1), happenings=[crossing(1)], source=name))
    desk.finish()
    told = [(event["source"], event["number"]) for event in events_of(tmp_path)]
    assert told == [(name, number) for number in (1, 2, 3) for name in sinks]
    assert len({event["id"] for event in events_of(tmp_path)}) == 6
    assert all((tmp_path / event["snapshot"]).is_file() for event in events_of(tmp_path))


def test_two_runs_can_not_share_a_folder_at_the_same_time(tmp_path: Path) -> None:
    desk = EventDesk(EventOptions(RULES, tmp_path))
    with pytest.raises(UsageError, match="another run of streamdet writes events into"):
        EventDesk(EventOptions(RULES, tmp_path))
    desk.close()
    EventDesk(EventOptions(RULES, tmp_path)).finish()


def test_a_picture_that_can_not_be_written_does_not_stop_the_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rename", _no_room)
    desk = EventDesk(EventOptions(RULES, tmp_path / "events"))
    recorder = EventRecorder(desk, "gate", draw)
    recorder.update(detected(1, happenings=[crossing(1)]))
    recorder.update(detected(2, happenings=[crossing(2)]))
    monkeypatch.undo()
    desk.finish()
    assert [event.get("snapshot") for event in events_of(tmp_path / "events")] == [None, None]
    assert recorder.notes == [
        f"pictures of events of gate can't be written to {tmp_path / 'events'}: no space left on device"
    ]


really_rename = Path.rename


def _no_room(self: Path, target: Path) -> Path:
    if self.name.endswith(".jpg.new"):
        raise OSError(28, "No space left on device")
    return really_rename(self, target)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder of events"):
        EventDesk(EventOptions(RULES, tmp_path / "file" / "events"))


def test_old_pictures_go_and_nothing_else(tmp_path: Path) -> None:
    now_s = 2_000_000_000.0

    def lay(name: str, age_s: float, size: int = 100) -> Path:
        path = tmp_path / name
        path.write_bytes(bytes(size))
        os.utime(path, (now_s - age_s, now_s - age_s))
        return path

    old, new, foreign = lay("gate_1.jpg", 200), lay("gate_2.mp4", 50), lay("holiday.jpg", 5000)
    Housekeeping(tmp_path, 100, None, lambda: now_s).sweep(1)
    assert (old.exists(), new.exists(), foreign.exists()) == (False, True, True)
    new.unlink()
    many = [lay(f"gate_{number}.mp4", 90 - number) for number in range(10, 20)]
    Housekeeping(tmp_path, None, 500, lambda: now_s).sweep(1)
    assert [path.exists() for path in many] == [False] * 5 + [True] * 5


def test_of_the_journal_only_goes_what_everybody_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=200)
    for number in range(1, 13):
        journal.append([message(number)])
    files = sorted(path.name for path in tmp_path.glob("events-*.jsonl"))
    assert len(files) >= 6
    later = (tmp_path / files[0]).stat().st_mtime + 1000
    Housekeeping(tmp_path, 500, None, lambda: later).sweep(4)
    assert sorted(path.name for path in tmp_path.glob("events-*.jsonl")) == files[3:]
    journal.close()
    assert json.loads((tmp_path / files[3]).read_bytes().splitlines()[0])["numbers"]
