from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdet.errors import DataError
from streamdet.results.page.gather import View, gather
from streamdet.results.page.heat import HeatGrid, coloured, density, full_value
from streamdet.results.page.moments import busiest
from streamdet.results.page.objects import MOST_POINTS, Objects
from tests.results.page.lines import CLASSES, Box, frame_line

HEADER = {"source": "clip.mp4", "width": 64, "height": 48}


def view(header: Mapping[str, Any] = HEADER) -> View:
    return View("clip.mp4", CLASSES, header, live=False)


def car(x: float, y: float, size: float = 10) -> Box:
    return ("car", x, y, x + size, y + size)


def test_heat_equals_counting_pixel_by_pixel() -> None:
    rng = np.random.default_rng(3)
    grid, truth = HeatGrid(2, 1), np.zeros((2, 48, 64))
    for _ in range(300):
        n = int(rng.integers(0, 6))
        corners = rng.integers(0, (54, 38), (n, 2))
        boxes = np.concatenate([corners, corners + rng.integers(1, 10, (n, 2))], 1).astype(np.float32)
        classes = rng.integers(0, 2, n)
        grid.add(boxes, classes)
        for (left, top, right, bottom), k in zip(boxes.astype(int), classes, strict=True):
            truth[k, top:bottom, left:right] += 1
    assert np.array_equal(density(grid, 300, (64, 48)) * 300, truth)


def test_heat_is_clear_where_nothing_was_and_red_where_most_was() -> None:
    values = np.zeros((40, 40))
    values[10:30, 10:30] = 2.0
    picture = coloured(values, full_value(values))
    assert picture[0, 0, 3] == 0
    red, _, blue, alpha = picture[20, 20].tolist()
    assert red > 200 > 100 > blue
    assert alpha > 150


def test_hidden_boxes_count_nowhere() -> None:
    seen = view()
    seen.add(frame_line(0, 0.0, [car(1, 1), car(20, 20)], hidden=[False, True]))
    assert seen.counts.totals().sums.tolist() == [0, 1]
    assert (seen.coverage.boxes, seen.coverage.hidden) == (1, 1)
    assert density(seen.heat, 1, (64, 48))[1, 25, 25] == 0


def test_objects_are_counted_once_by_their_usual_class() -> None:
    objects = Objects()
    for i in range(300):
        kind = "person" if i % 10 == 0 else "car"
        boxes: list[Box] = [(kind, i, 5, i + 10, 15), car(200, 200)]
        line = frame_line(i, i / 10, boxes, tracks=[7, 8], bridged=[i % 3 == 0, False])
        objects.add(line.shown, i / 10)
    for i in range(3):  # the same number, long after: another object
        objects.add(frame_line(300 + i, 200 + i / 10, [("person", 1, 1, 9, 9)], tracks=[7]).shown, 200 + i / 10)
    objects.finish()
    assert objects.seen == {0: 1, 1: 2}
    mover = objects.ways[0]
    assert (objects.moved, mover.track_id, mover.frames, mover.bridged) == (1, 7, 300, 100)
    assert mover.points_xy[0] == (5.0, 15.0)
    assert len(mover.points_xy) <= MOST_POINTS
    assert mover.reach_px > 250
    assert objects.longest[0].lasted_s == pytest.approx(29.9)
    assert objects.median_s(1) == pytest.approx(29.9, rel=0.05)


def test_busiest_moments_are_apart_and_show_their_fullest_frame() -> None:
    seen = view()
    for i in range(600):  # 600 s at 1 fps: one crowd in minute 3, a smaller one in minute 7
        n = 9 if i == 200 else 5 if 180 <= i < 240 else 3 if 420 <= i < 480 else 1
        seen.add(frame_line(i, float(i), [car(j, j) for j in range(n)]))
    width_s, moments = busiest(seen)
    assert width_s == 60
    assert [moment.begin_s for moment in moments[:2]] == [180, 420]
    assert moments[0].peak.index == 200
    assert moments[0].mean == pytest.approx((59 * 5 + 9) / 60)


def test_what_happens_at_places_is_summed() -> None:
    seen = view()
    crossed = {"kind": "crossed", "place": "gate", "direction": "in", "class": "car", "speed_m_per_s": 5.0}
    left = {"kind": "left", "place": "yard", "class": "car", "lasted_s": 4.0}
    entered = {"kind": "entered", "place": "yard", "class": "person"}
    for i in range(100):
        scene: dict[str, Any] = {
            "lines": {"gate": {"in": {}, "out": {}}},
            "zones": {"yard": {"car": i % 3}},
            "bays": {"A1": None if i < 10 else i < 60, "A2": False},
        }
        if i in (20, 40):
            scene["happenings"] = [crossed, left, entered, crossed | {"direction": "out", "class": "person"}]
        seen.add(frame_line(i, i / 10, scene=scene))
    gate, yard, bay = seen.places.lines["gate"], seen.places.zones["yard"], seen.places.bays["A1"]
    assert (gate.in_counts, gate.out_counts) == ({"car": 2}, {"person": 2})
    assert gate.speeds_m_per_s == [20.0, 4.0]
    assert (yard.entered, yard.stays, yard.stays_s, yard.longest_s) == ({"person": 2}, 2, 8.0, 4.0)
    assert yard.over_time.totals().sums.tolist() == [99]
    assert bay.changes == [(0.0, None), (1.0, True), (6.0, False)]
    assert bay.changed == 1
    assert bay.seconds([], 9.9) == pytest.approx({None: 1.0, True: 5.0, False: 3.9})
    assert seen.places.occupied.totals().sums.tolist() == [50]


def write(path: Path, header: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], end: bool = True) -> Path:
    texts = [{"type": "header", "schema": 1, "classes": ["car"], **header}]
    texts += [{"type": "frame", "time_base": "1/10", "damaged": False, "boxes": [], **line} for line in lines]
    texts += [{"type": "end", "frames": len(lines), "complete": True}] * end
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return path


def test_cameras_go_on_through_the_files_of_a_day(tmp_path: Path) -> None:
    paths = []
    for part in range(2):
        lines = [
            {"stream": name, "session": part, "index": part * 10 + i, "pts": i, "utc_s": 1e9 + part * 100 + i}
            for i in range(10)
            for name in ("door", "yard")
        ]
        paths.append(write(tmp_path / f"{part}.jsonl", {"sources": ["door", "yard"]}, lines, end=part == 0))
    gathered = gather(paths)
    assert [found.name for found in gathered.views] == ["door", "yard"]
    door = gathered.views[0].coverage
    assert (door.frames, door.sessions, door.missing, len(door.gaps)) == (20, 2, 0, 1)
    assert gathered.complete == 1
    assert gathered.flaws == [f"{paths[1]} has no end line: the run that wrote it was killed"]


def test_two_recordings_of_one_name_are_two_views(tmp_path: Path) -> None:
    lines = [{"index": i, "pts": i} for i in range(3)]
    paths = [write(tmp_path / name, {"source": "a.mp4"}, lines) for name in ("1.jsonl", "2.jsonl")]
    assert [found.name for found in gather(paths).views] == ["a.mp4", "a.mp4 (2)"]


def test_files_with_other_classes_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.jsonl", {"classes": [name]}, []) for name in ("car", "bus")]
    with pytest.raises(
        DataError, match=r"bus\.jsonl knows the classes bus, and .*car\.jsonl car; report on them apart"
    ):
        gather(paths)
