"""Tracks, trails and places on pictures."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest

from streamdet.scene import BayState, LineState, Scene, ZoneState
from streamdet.types import Detections
from streamdet.video import labels
from streamdet.video.markings import FREE_RGB, OCCUPIED_RGB, told_counts
from streamdet.video.overlay import Overlay
from streamdet.video.planes import Coder, Planes
from tests.video.drawn import NAMES, arrays, changed, detected, detections, picture

NOTHING = Detections.empty(NAMES)
SQUARE = np.float32([[200, 200], [400, 200], [400, 400], [200, 400]])
CAR = 2


def drawn(
    source: av.VideoFrame, found: Detections = NOTHING, scene: Scene | None = None, overlay: Overlay | None = None
) -> av.VideoFrame:
    return (overlay or Overlay(NAMES)).draw(source, found, scene=scene)


def trail(*points: tuple[float, float], steps: int = 40) -> np.ndarray:
    ends = np.array(points, np.float32)
    shares = np.linspace(0, len(points) - 1, steps)
    return np.stack([np.interp(shares, np.arange(len(points)), ends[:, axis]) for axis in (0, 1)], 1).astype(np.float32)


def one_car(*, bridged: bool = False, track_id: int = 7) -> Detections:
    return detections((800, 300, 1000, 420, 0.9, CAR), ids=[track_id], bridged=bridged)


def edge(frame: av.VideoFrame, source: av.VideoFrame) -> np.ndarray:
    """Which pixels of the lower edge of `one_car` are drawn."""
    return changed(source, frame)[419, 800:1000]


class TestTracks:
    def test_the_id_stands_in_the_label_and_the_layout_stays_when_the_score_changes(self) -> None:
        source, overlay = picture(1280, 720, noise=False), Overlay(NAMES)
        box = (300, 200, 600, 500)

        def width(track_id: int, score: float) -> int:
            found = detections((*box, score, CAR), ids=[track_id])
            return int(changed(source, overlay.draw(source, found))[185:195].any(0).sum())

        assert width(-1, 0.9) < width(7, 0.9) < width(17, 0.9)
        assert len({width(17, score) for score in (0.05, 0.5, 0.99, 1.0)}) == 1

    def test_the_two_parts_of_a_label_meet_without_a_seam(self) -> None:
        source, overlay = picture(1280, 720, noise=False), Overlay(NAMES)
        u, v = Coder.of(source).yuv(overlay.colour(CAR))[1:]
        for left in (300, 301, 302.5, 303):
            frame = overlay.draw(source, detections((left, 200, left + 300, 500, 0.87, CAR), ids=[17]))
            label = np.flatnonzero(changed(source, frame)[188])  # above the letters
            columns = slice(int(label[0]) // 2 + 4, int(label[-1]) // 2 - 4)
            for plane, value in ((1, u), (2, v)):
                assert np.abs(Planes(frame).arrays[plane][90, columns] - value).max() < 6

    def test_on_a_narrow_box_the_number_of_the_track_comes_before_the_score(self) -> None:
        source = picture(1280, 720, noise=False)
        tall = (600, 100, 640, 220)
        widths = [
            int(changed(source, drawn(source, detections((*tall, 0.9, CAR), ids=[track_id])))[80:98].any(0).sum())
            for track_id in (-1, 3)
        ]
        assert 0 < widths[1] < widths[0]

    def test_a_bridged_box_is_dashed_alike_from_both_ends_and_has_whole_corners(self) -> None:
        source = picture(1280, 720, noise=False)
        whole = edge(drawn(source, one_car()), source)
        dashed = edge(drawn(source, one_car(bridged=True)), source)
        assert whole[5:-5].all()
        assert 0.4 < dashed.mean() < 0.85
        assert np.count_nonzero(np.diff(dashed.astype(int))) >= 10
        assert dashed[2:4].all()
        assert dashed[-4:-2].all()
        assert np.abs(dashed.astype(int) - dashed[::-1]).sum() <= 4

    def test_a_small_bridged_box_has_gaps_too(self) -> None:
        source = picture(1280, 720, noise=False)
        rows = (600, 300, 612, 308, 0.9, CAR)
        inks = [int(changed(source, drawn(source, detections(rows, bridged=b))).sum()) for b in (False, True)]
        assert 0.2 * inks[0] < inks[1] < 0.8 * inks[0]

    def test_what_was_not_seen_has_no_score(self) -> None:
        source = picture(1280, 720, noise=False)
        seen, not_seen = (changed(source, drawn(source, one_car(bridged=b)))[285:295] for b in (False, True))
        assert 0 < not_seen.any(0).sum() < seen.any(0).sum() - 20

    def test_ever_new_ids_don_t_fill_the_memory_and_are_drawn_right(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(labels, "_MAX_BLENDS", 20)
        source, overlay = picture(640, 360, noise=False), Overlay(NAMES)
        for track_id in range(100):
            frame = overlay.draw(source, detections((100, 100, 400, 300, 0.9, CAR), ids=[track_id]))
        assert not changed(frame, drawn(source, detections((100, 100, 400, 300, 0.9, CAR), ids=[99]))).any()


class TestTrails:
    def test_a_trail_fades_with_age(self) -> None:
        source = picture(1280, 720, noise=False)
        scene = Scene(trails={7: trail((100, 600), (900, 600))})
        frame = drawn(source, one_car(), scene)
        luma = Coder.of(source).yuv(Overlay(NAMES).colour(CAR))[0]
        strength = np.abs(Planes(frame).arrays[0][595:606].astype(int) - 110).max(0)
        parts = [strength[at : at + 50].mean() for at in (120, 320, 520, 720, 840)]
        assert parts == sorted(parts)
        assert parts[-1] > 0.5 * abs(luma - 110)
        assert changed(source, frame)[:, 900:].any(1)[610:].sum() == 0

    def test_it_lies_where_the_object_went(self) -> None:
        source = picture(1281, 721, noise=False)
        frame = drawn(source, one_car(), Scene(trails={7: trail((101, 500), (101, 700))}))
        ink = np.abs(Planes(frame).arrays[0][650, 80:120].astype(float) - 110)
        assert (ink * (np.arange(80, 120) + 0.5)).sum() / ink.sum() == pytest.approx(101, abs=0.5)

    def test_who_stands_has_none_and_neither_has_who_is_not_shown(self) -> None:
        source = picture(1280, 720)
        plain = drawn(source, one_car())
        jitter = trail((300, 300), (305, 302), (301, 304), (304, 300))
        far = trail((100, 600), (900, 600))
        for trails in (
            {7: jitter},
            {8: far},
            {-1: far},
            {7: far[:1]},
            {7: far[:0]},
            {7: np.full((9, 2), np.nan, np.float32)},
        ):
            assert not changed(plain, drawn(source, one_car(), Scene(trails=trails))).any()

    def test_nothing_of_it_is_left_in_the_next_picture(self) -> None:
        source, overlay = picture(1281, 719), Overlay(NAMES)
        scene = Scene(trails={7: trail((-50, -20), (1300, 730), (1200, 100))})
        overlay.draw(source, one_car(), scene=scene)
        second = Scene(trails={7: trail((10, 10), (200, 20))})
        after, expected = overlay.draw(source, one_car(), scene=second), drawn(source, one_car(), second)
        assert all(np.array_equal(a, b) for a, b in zip(arrays(after), arrays(expected), strict=True))

    @pytest.mark.parametrize("points", [1, 2, 3, 5, 19, 20, 21, 400])
    def test_of_any_length_up_to_the_newest_point(self, points: int) -> None:
        source = picture(1280, 720, noise=False)
        path = np.stack((np.linspace(100, 700, points), np.full(points, 600.0)), 1).astype(np.float32)
        row = changed(source, drawn(source, one_car(), Scene(trails={7: path})))[600]
        assert row[690:699].all() == (points > 1)


class TestPlaces:
    def bays(self, occupied: bool | None) -> Scene:
        return Scene(bays=(BayState("A1", SQUARE, occupied),))

    def test_bays_are_tinted_green_and_red(self) -> None:
        source = picture(1280, 720, noise=False)
        for occupied, rgb in ((False, FREE_RGB), (True, OCCUPIED_RGB)):
            y, u, v = (plane.astype(int) for plane in arrays(drawn(source, scene=self.bays(occupied))))
            expected = Coder.of(source).yuv(rgb)
            plane, value = max(((u, expected[1]), (v, expected[2])), key=lambda pair: abs(pair[1] - 110))
            tint = plane[150, 150] - 110
            assert np.sign(tint) == np.sign(value - 110)
            assert 4 <= abs(tint) < abs(value - 110) / 2
            assert np.abs(plane[120:180, 100] - value).max() < 0.5 * abs(value - 110)  # its left edge
            assert (y[500:600, 200:] == 110).all()

    def test_a_state_that_comes_back_looks_as_before(self) -> None:
        source, overlay = picture(1280, 720), Overlay(NAMES)
        first, other, again = (overlay.draw(source, NOTHING, scene=self.bays(state)) for state in (False, True, False))
        assert changed(first, other).any()
        assert not changed(first, again).any()
        moved = Scene(bays=(BayState("A1", SQUARE + 40, False),))
        assert changed(first, overlay.draw(source, NOTHING, scene=moved)).any()

    def test_the_free_bays_are_counted_in_the_corner(self) -> None:
        source = picture(1280, 720, noise=False)
        frames = [drawn(source, scene=self.bays(state)) for state in (False, True, None)]
        corner = [Planes(frame).arrays[0][660:, :200] for frame in frames]
        assert all(np.any(part != 110) for part in corner)
        assert np.any(corner[0] != corner[1])
        assert np.array_equal(corner[1], corner[2])  # not known is not free

    def test_the_arrow_of_a_line_points_in(self) -> None:
        source = picture(1280, 720, noise=False)
        for points, below in (((300, 400), (700, 400)), True), (((700, 400), (300, 400)), False):
            frame = drawn(source, scene=Scene(lines=(LineState("gate", points),)))
            luma = Planes(frame).arrays[0]
            near, far = luma[404:424, 495:505], luma[376:396, 495:505]
            arrow, other = (near, far) if below else (far, near)
            assert (arrow[:12, 4:6] if below else arrow[8:, 4:6]).min() > 150
            assert luma[400, 310:690].min() > 200
            assert not np.array_equal(arrow, other)

    def test_counts_of_a_line_stand_on_the_side_where_the_arrow_does_not(self) -> None:
        source = picture(1280, 720, noise=False)
        none, some = (
            drawn(source, scene=Scene(lines=(LineState("gate", ((300, 400), (700, 400)), counts, {}),)))
            for counts in ({}, {"car": 2, "bus": 1})
        )
        rows, columns = np.nonzero(changed(none, some))
        assert len(rows)
        assert rows.max() < 400
        assert 400 < columns.mean() < 650

    def test_a_zone_shows_who_is_in_it(self) -> None:
        source = picture(1280, 720, noise=False)
        empty, busy = (
            drawn(source, scene=Scene(zones=(ZoneState("yard", SQUARE, counts),))) for counts in ({}, {"car": 2})
        )
        tints = [abs(int(Planes(frame).arrays[1][150, 150]) - 110) for frame in (empty, busy)]
        assert 0 < tints[0] < tints[1]
        assert changed(empty, busy)[180:220, 250:400].any()  # the label

    def test_counts_in_words(self) -> None:
        assert told_counts({}) == told_counts({"car": 0}) == ""
        assert told_counts({"person": 1, "car": 2}) == "2 car, 1 person"
        assert told_counts({"person": 10, "motorcycle": 20, "truck": 3}) == "33 objects"

    def test_boxes_lie_over_places(self) -> None:
        source = picture(1280, 720, noise=False)
        found = detections((250, 250, 380, 380, 0.9, CAR))
        frame = drawn(source, found, self.bays(True))
        line = Planes(frame).arrays[0][360, 248:253].astype(float)
        assert np.abs(line - Coder.of(source).yuv(Overlay(NAMES).colour(CAR))[0]).min() < 4


SCENE = Scene(
    lines=(LineState("gate", ((-300, 40), (5000, 90)), {"car": 3}), LineState("dot", ((50, 50), (50, 50)))),
    zones=(
        ZoneState("a zone with a very long name", SQUARE * 9 - 900, {"car": 1}),
        ZoneState("far", SQUARE + 1e9, {"car": 1}),
        ZoneState("thin", SQUARE[:2]),
    ),
    bays=(BayState("A1", SQUARE / 10, True), BayState("A2", SQUARE / 5), BayState("A3", SQUARE - 250, False)),
    trails={7: trail((-1e9, 5), (20, 30)), 8: trail((5, 5), (60, 40), (90, 8))},
)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 9), (64, 48), (65, 49), (427, 241), (1920, 1080), (3840, 2160)])
def test_pictures_of_all_sizes_and_places_outside_of_them(size: tuple[int, int]) -> None:
    source = picture(*size)
    before = arrays(source)
    found = replace(detections((5, 5, 60, 40, 0.9, CAR), (9, 9, 90, 30, 0.8, 0)), track_ids=np.array([7, 8]))
    overlay = Overlay(NAMES)
    frame = overlay.draw(source, found, badge="DAMAGED", scene=SCENE)
    assert (frame.width, frame.height, frame.pts) == (*size, source.pts)
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays(source), strict=True))
    assert not changed(frame, overlay.draw(source, found, badge="DAMAGED", scene=SCENE)).any()


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12", "rgb24"])
def test_an_empty_scene_changes_nothing(form: str) -> None:
    source = picture(640, 360, form)
    assert not changed(drawn(source, one_car()), drawn(source, one_car(), Scene())).any()


def test_a_detected_frame_is_drawn_with_what_is_shown_of_it() -> None:
    source, overlay = picture(1280, 720), Overlay(NAMES)
    found = detections((800, 300, 1000, 420, 0.9, CAR), (100, 300, 300, 420, 0.2, CAR))
    frame = overlay.draw_frame(detected(source, found, damaged=True, shown=[True, False], scene=SCENE))
    assert not changed(frame, overlay.draw(source, found[:1], badge="DAMAGED", scene=SCENE)).any()


def test_own_colours() -> None:
    overlay = Overlay(NAMES, {"car": (1, 2, 3), "nobody": (9, 9, 9)})
    assert overlay.colour(CAR) == (1, 2, 3)
    assert overlay.colour(0) == Overlay(NAMES).colour(0)
