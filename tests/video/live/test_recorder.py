from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamdet.errors import OutputError
from streamdet.report import StageTimes
from streamdet.video.live import recorder as recorder_module
from streamdet.video.live.recorder import Recorder
from streamdet.video.live.retention import Retention
from streamdet.video.live.status import SourceState, SourceStatus
from tests.media import boxes_of, packets_of, times_of
from tests.video.live.frames import AWAY, NOON, detected, painter

PLENTY = 10**12


def recorder(folder: Path, segment_s: float | None = 10, *, free: int = PLENTY, ending: str = ".mp4") -> Recorder:
    retention = Retention(folder, free=lambda _: free)
    return Recorder(folder, "cam1", painter(), retention, segment_s=segment_s, encode_times=StageTimes(), ending=ending)


def pictures(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_segments_are_cut_at_whole_multiples_and_hold_every_frame(tmp_path: Path, ending: str) -> None:
    record = recorder(tmp_path / "rec", 10, ending=ending)
    frames = [detected(k, utc_s=NOON + 3.05) for k in range(180)]
    assert all(record.write(frame) for frame in frames)
    record.finish(complete=True)
    record.close()
    stems = ["cam1_2026-11-25T12-00-03Z", "cam1_2026-11-25T12-00-10Z", "cam1_2026-11-25T12-00-20Z"]
    assert names(tmp_path / "rec") == [stem + ending for stem in stems]
    lengths = []
    for name in names(tmp_path / "rec"):
        path = tmp_path / "rec" / name
        times = times_of(path)
        lengths.append(len(times))
        assert times == [Fraction(k, 10) for k in range(len(times))]
        assert pictures(path)[0].key_frame
        if ending == ".mp4":
            assert boxes_of(path)[:2] == ["ftyp", "moov"]
    assert lengths == [70, 100, 10]
    assert (record.frames, record.left_out, record.segments, record.notes) == (180, 0, 3, [])


def test_nothing_is_written_without_a_frame(tmp_path: Path) -> None:
    record = recorder(tmp_path / "rec")
    for second in range(5):
        record.gone(AWAY, 1000 + second)
    record.finish(complete=True)
    assert names(tmp_path / "rec") == []


def test_a_camera_that_is_gone_shows_its_last_picture_with_a_badge_at_true_times(tmp_path: Path) -> None:
    record = recorder(tmp_path, None)
    for k in range(3):
        record.write(detected(k))
    for second in (2, 3, 4.5):
        record.gone(AWAY, 1000 + second)
    record.gone(SourceStatus(SourceState.LIVE, 0.0), 1005)  # slow, but not gone
    for k in range(3, 5):
        record.write(detected(k, at_s=6 + k / 10, pts=9000 * (k - 3), session=1))
    record.finish(complete=True)
    [path] = tmp_path.iterdir()
    assert times_of(path) == [
        0,
        Fraction(1, 10),
        Fraction(2, 10),
        2,
        3,
        Fraction(9, 2),
        Fraction(63, 10),
        Fraction(64, 10),
    ]
    assert (record.frames, record.gone_frames) == (5, 3)
    shown = [picture.to_ndarray(format="rgb24").astype(int) for picture in pictures(path)]
    colour = [float(np.abs(picture[..., 0] - picture[..., 2])[:30, :30].mean()) for picture in shown]
    assert min(colour[:3] + colour[6:]) > 100  # the red corner
    assert max(colour[3:6]) < 10  # in grey


def test_segments_are_cut_while_the_camera_is_gone(tmp_path: Path) -> None:
    record = recorder(tmp_path, 10)
    record.write(detected(0))
    for second in range(1, 25):
        record.gone(AWAY, 1000 + second)
    record.finish(complete=True)
    assert [len(times_of(path)) for path in sorted(tmp_path.iterdir())] == [10, 10, 5]


def test_a_still_picture_takes_little_room(tmp_path: Path) -> None:
    record = recorder(tmp_path, None)
    record.write(detected(0, size=(640, 360)))
    for second in range(1, 50):
        record.gone(AWAY, 1000 + second)
    record.finish(complete=True)
    [path] = tmp_path.iterdir()
    packets = [len(data) for _, data in packets_of(path)]
    assert max(packets[2:]) < packets[0] / 5


def test_another_size_begins_another_file(tmp_path: Path) -> None:
    record = recorder(tmp_path, 600)
    sizes = [(160, 120), (161, 121), (160, 120)]
    for k in range(9):
        record.write(detected(k, size=sizes[k // 3]))
    record.finish(complete=True)
    stem = "cam1_2026-11-25T12-00-00Z"
    assert names(tmp_path) == [f"{stem}.mp4", f"{stem}_2.mp4", f"{stem}_3.mp4"]
    shapes = [(pictures(path)[0].width, pictures(path)[0].height) for path in sorted(tmp_path.iterdir())]
    assert shapes == [(160, 120), (162, 122), (160, 120)]


def test_damaged_frames_are_marked(tmp_path: Path) -> None:
    plain, damaged = recorder(tmp_path / "a"), recorder(tmp_path / "b")
    plain.write(detected(0, size=(320, 240)))
    damaged.write(detected(0, size=(320, 240), damaged=True))
    shown = []
    for record, folder in ((plain, "a"), (damaged, "b")):
        record.finish(complete=True)
        [path] = (tmp_path / folder).iterdir()
        shown.append(pictures(path)[0].to_ndarray(format="rgb24").astype(int))
    corner = np.abs(shown[0] - shown[1])[:40, 160:]
    assert corner.max() > 100


def test_close_leaves_a_playable_file_and_finished_ones(tmp_path: Path) -> None:
    record = recorder(tmp_path, 1)
    for k in range(15):
        record.write(detected(k))
    record.close()
    first, second = sorted(tmp_path.iterdir())
    assert len(times_of(first)) == 10
    assert len(pictures(second)) == 5
    assert boxes_of(first)[:2] == ["ftyp", "moov"]
    assert "mdat" not in boxes_of(first)[:2]
    assert "moof" in boxes_of(second)


def test_a_full_disk_stops_the_recording_and_room_resumes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.video.live.retention.LOOK_EVERY_S", 0.0)
    room = [10**9]
    retention = Retention(tmp_path, reserve_bytes=5 * 10**8, free=lambda _: room[0])
    record = Recorder(tmp_path, "cam1", painter(), retention, segment_s=None, encode_times=StageTimes())
    took = []
    # below the reserve it stops; a little above is not enough to go on
    for k, megabytes in enumerate([1000, 1000, 499, 550, 599, 601, 601, 550]):
        room[0] = megabytes * 10**6
        took.append(record.write(detected(k, at_s=float(k))))
    record.finish(complete=True)
    assert took == [True, True, False, False, False, True, True, True]
    assert [len(times_of(path)) for path in sorted(tmp_path.iterdir())] == [2, 3]
    assert record.notes == [
        f"recording of cam1 stopped at 2026-11-25 12:00:02 UTC: less than 500 MB free for {tmp_path}",
        "recording of cam1 went on at 2026-11-25 12:00:05 UTC: there is room again",
        "3 frames of cam1 are not in the recording",
    ]


def test_without_room_for_a_copy_the_segment_stays_in_fragments(tmp_path: Path) -> None:
    room = [10**9]
    retention = Retention(tmp_path, reserve_bytes=5 * 10**8, free=lambda _: room[0])
    record = Recorder(tmp_path, "cam1", painter(), retention, segment_s=None, encode_times=StageTimes())
    record.write(detected(0))
    room[0] = 10**6
    record.finish(complete=True)
    [path] = tmp_path.iterdir()
    assert len(pictures(path)) == 1
    assert "moof" in boxes_of(path)


def test_a_folder_taken_away_is_noted_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "TRY_AGAIN_S", 0.0)
    folder = tmp_path / "rec"
    record = recorder(folder, 1)
    for k in range(10):
        record.write(detected(k))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    took = [record.write(detected(k)) for k in range(10, 30)]
    record.finish(complete=True)
    assert took == [False] + [True] * 19
    assert sum(len(times_of(path)) for path in folder.iterdir()) == 19
    assert any("there is no folder" in note for note in record.notes)
    assert any("went on" in note for note in record.notes)


def test_a_folder_that_can_not_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file; choose a folder"):
        recorder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot make the folder"):
        recorder(tmp_path / "file" / "rec")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_really_full_disk_never_breaks_a_segment(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "TRY_AGAIN_S", 0.0)
    retention = Retention(small_disk, reserve_bytes=0)
    record = Recorder(small_disk, "cam1", painter(), retention, segment_s=2, encode_times=StageTimes())
    files = open_files()
    took = [record.write(detected(k, size=(320, 180), snow=True)) for k in range(100)]
    record.finish(complete=True)
    assert 10 < sum(took) < 100
    assert open_files() <= files
    shown = sum(len(pictures(path)) for path in small_disk.iterdir())
    assert sum(took) * 0.8 <= shown <= sum(took) + 2
    assert any("no space left on device; free some space" in note for note in record.notes)


def test_the_reserve_of_a_real_disk_is_kept(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.video.live.retention.LOOK_EVERY_S", 0.0)
    retention = Retention(small_disk, reserve_bytes=500_000)
    record = Recorder(small_disk, "cam1", painter(), retention, segment_s=2, encode_times=StageTimes())
    took = [record.write(detected(k, size=(160, 120), snow=True)) for k in range(150)]
    record.finish(complete=True)
    assert False in took
    assert took == sorted(took, reverse=True)  # once full, it stays so: nothing is deleted
    assert shutil.disk_usage(small_disk).free > 300_000
    for path in small_disk.iterdir():
        assert boxes_of(path)[:2] == ["ftyp", "moov"]
    assert sum(len(pictures(path)) for path in small_disk.iterdir()) == sum(took)


RECORD_FOREVER = """
import sys, time
from pathlib import Path
from tests.video.live.test_recorder import recorder
from tests.video.live.frames import detected
record = recorder(Path(sys.argv[1]), 1)
for k in range(100_000):
    record.write(detected(k))
    print(k, flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_leaves_every_segment_playable(tmp_path: Path, seed: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RECORD_FOREVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    stop_at = random.Random(seed).randint(25, 40)
    written = next(int(line) for line in process.stdout if int(line) >= stop_at) + 1
    process.kill()
    process.communicate()
    segments = [path for path in sorted(tmp_path.iterdir()) if not path.name.startswith(".")]
    assert len(segments) == (written + 9) // 10 or len(segments) == (written + 10) // 10
    assert written - 6 <= sum(len(pictures(path)) for path in segments) <= written + 20
